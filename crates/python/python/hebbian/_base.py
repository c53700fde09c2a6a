"""What all layers that learn have in common: an estimator over a native layer."""

from __future__ import annotations

import json
import numbers
from os import PathLike
from typing import Any, ClassVar, Union

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from hebbian._native import Layer, keywords_of
from hebbian._settings import plain, seed, threads, unchanged_on_failure

#: Parameters that say how an estimator learns, and not what it is.
LEARNING = ("epochs", "batch_size", "schedule", "in_order", "random_state", "verbose", "device", "n_jobs")
#: Those of them that `Layer.fit` takes.
FIT = ("epochs", "batch_size", "schedule", "in_order")
#: The prefix of the parameters of the encoding `power`.
POWER = "encoding_"


class FixedLayer(BaseEstimator):
    """A layer without anything to learn by itself, for a `Stack`."""

    _rule: ClassVar[str]

    def _spec(self) -> dict[str, Any]:
        keywords = {name: plain(value) for name, value in self.get_params(deep=False).items() if value is not None}
        return {"rule": self._rule, "keywords": keywords}

    @classmethod
    def _keywords_of(cls, config: dict[str, Any]) -> dict[str, Any]:
        image = config["input"]
        return {**config, "input": (image["channels"], image["height"], image["width"])}


class Learner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A layer that learns without labels."""

    _rule: ClassVar[str]
    #: Whether inputs must not be negative.
    _positive: ClassVar[bool] = False

    def fit(self, X: Any, y: Any = None) -> Learner:
        """Learn from all samples, for all epochs, from the beginning.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples. C-contiguous float32 is read where it lies; everything else is converted first.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with unchanged_on_failure(self):
            X = self._samples(X, reset=True)
            number, options = seed(self.random_state), self._fit_options(X.shape[0])
            layer = self._new_layer(X.shape[1], number)
            layer.fit(X, options, number, verbose=bool(self.verbose), threads=threads(self.n_jobs))
            self._layer = layer
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Learner:
        """Learn from one batch in one step, at the full rate; the first call decides what is random.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The batch.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with unchanged_on_failure(self):
            first = not self.__sklearn_is_fitted__()
            X = self._samples(X, reset=first)
            layer = self._new_layer(X.shape[1], seed(self.random_state)) if first else self._layer
            layer.learn(X, threads=threads(self.n_jobs))
            self._layer = layer
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """What the layer makes of the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out), float32
            A value per sample and unit.
        """
        check_is_fitted(self)
        X = self._samples(X, reset=False)
        return self._layer.transform(X, threads=threads(self.n_jobs))

    @property
    def weights_(self) -> NDArray[np.float32]:
        """A copy of the weights, `(units, n_features_in_)`; of a convolution its filters, a row each."""
        check_is_fitted(self)
        return self._layer.weights

    @property
    def state_(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all that the rule has learned, by name."""
        check_is_fitted(self)
        return dict(self._layer.state)

    def save(self, path: Union[str, PathLike[str]]) -> None:
        """Write a safetensors file that `load`, `hebbian.Model` and the programs of Rust read.

        Parameters
        ----------
        path : str or path-like
            The file, which is there whole at every moment.
        """
        check_is_fitted(self)
        self._layer.save(path)

    @classmethod
    def load(cls, path: Union[str, PathLike[str]], *, device: str = "cpu") -> Any:
        """The fitted estimator in a safetensors file.

        Parameters
        ----------
        path : str or path-like
            A file of `save`, or a checkpoint of a program of Rust. What that did to its images before the layer saw
            them is up to the caller here; `hebbian.Model` does it itself.
        device : str, default='cpu'
            Where to compute.

        Returns
        -------
        estimator : object
            Of the class that the file is of. Its learning parameters have their defaults.
        """
        layer = Layer.load(path, device=device)
        estimator = from_config(layer.rule, json.loads(layer.config))
        if not isinstance(estimator, cls):
            raise ValueError(f"{path} holds a {type(estimator).__name__}, not a {cls.__name__}")
        kind, features = layer.encoding
        if kind == "power":
            powers = absences(json.loads(keywords_of("features", features)))
            estimator.set_params(encoding=kind, **{POWER + name: value for name, value in powers.items()})
        estimator.set_params(device=device)
        estimator._layer, estimator.n_features_in_ = layer, layer.inputs
        return estimator

    def _samples(self, X: Any, *, reset: bool) -> NDArray[np.float32]:
        X = validate_data(self, X, dtype=np.float32, order="C", reset=reset)
        if self._positive:
            check_non_negative(X, type(self).__name__)
        return X

    def _spec(self) -> dict[str, Any]:
        """What the layer is made of."""
        parameters = self.get_params(deep=False)
        own = {
            name: plain(value)
            for name, value in parameters.items()
            if name not in LEARNING and name != "binarize" and name != "encoding" and not name.startswith(POWER)
        }
        return {"rule": self._rule, "keywords": own}

    @classmethod
    def _keywords_of(cls, config: dict[str, Any]) -> dict[str, Any]:
        """The parameters that make this config of the rule again."""
        return absences(json.loads(keywords_of(cls._rule, json.dumps(config))))

    def _encoding(self) -> Any:
        """The keywords of the encoding `power`, or None where features are what the rule gives."""
        kind = getattr(self, "encoding", "layer")
        if kind not in ("layer", "power"):
            raise ValueError(f"encoding = {kind!r} is not allowed: one of layer, power")
        if kind == "layer":
            return None
        parameters = self.get_params(deep=False).items()
        return {name[len(POWER) :]: plain(value) for name, value in parameters if name.startswith(POWER)}

    def _new_layer(self, inputs: int, number: int) -> Layer:
        if not isinstance(self.device, str):
            raise ValueError(f"device = {self.device!r} is not allowed: text")
        binarize = plain(getattr(self, "binarize", None))
        spec, encoding = self._spec(), self._encoding()
        return Layer(spec, inputs, number, device=self.device, encoding=encoding, binarize=binarize)

    def _fit_options(self, samples: int) -> dict[str, Any]:
        options = {name: plain(getattr(self, name)) for name in FIT}
        if isinstance(options["batch_size"], numbers.Integral):
            options["batch_size"] = min(options["batch_size"], samples)
        return options

    @property
    def _n_features_out(self) -> int:
        return self._layer.units

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_layer")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.positive_only = self._positive
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_layer" in state:
            state["_layer"] = self._layer.to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        written = state.get("_layer")
        super().__setstate__({name: value for name, value in state.items() if name != "_layer"})
        if written is not None:
            binarize = plain(getattr(self, "binarize", None))
            self._layer = Layer.from_bytes(written, device=self.device, binarize=binarize)


def absences(keywords: dict[str, Any]) -> dict[str, Any]:
    """The keywords with None where the native half says "none", and tuples for lists."""
    kinds = {name: tuple(value) if isinstance(value, list) else value for name, value in keywords.items()}
    return {name: None if value == "none" else value for name, value in kinds.items()}


def from_config(rule: str, config: dict[str, Any]) -> Any:
    """The unfitted estimator or layer of this rule and config, as a file names them."""
    from hebbian import _estimators

    classes = {one._rule: one for one in vars(_estimators).values() if hasattr(one, "_rule")}
    if rule not in classes:
        raise ValueError(f"{rule} has no class here; known: {', '.join(sorted(classes))}")
    return classes[rule](**classes[rule]._keywords_of(config))
