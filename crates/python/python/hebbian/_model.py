"""Models that are trained: published ones, and the checkpoints of any run."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import NDArray

from hebbian._native import SavedModel
from hebbian._settings import threads


class Model:
    """A layer with what is before and behind it: how images become its inputs, what its answer becomes, a readout.

    Made by `Model.load`. It answers to the bit as the programs `predict` and `transform` do.

    Attributes
    ----------
    rule : str
        The name of the layer's rule.
    image_shape : tuple of int or None
        Height, width and values per pixel of the images that it takes.
    classes_ : ndarray of str or None
        What the classes are called; None without a readout.
    weights_ : ndarray of shape (units, inputs), float32
        The weights of the layer.

    Examples
    --------
    >>> from hebbian import Model
    >>> model = Model.load("kh_mnist")  # doctest: +SKIP
    >>> model.predict(["three.png"])  # doctest: +SKIP
    array(['3'], dtype='<U1')
    """

    def __init__(self, saved: SavedModel, device: str = "cpu", n_jobs: Optional[int] = None) -> None:
        self._saved, self._device, self.n_jobs = saved, device, n_jobs

    @classmethod
    def load(
        cls, path_or_name: Union[str, PathLike[str]], *, device: str = "cpu", n_jobs: Optional[int] = None
    ) -> Model:
        """The model in a file, or a published one.

        Parameters
        ----------
        path_or_name : str or path-like
            A safetensors file of this project, or the name of a published layer, `kh_mnist`: those are looked for in
            the folder that HEBBIAN_PRETRAINED names, in `pretrained` here or with the sources, and in the hub's cache.
        device : str, default='cpu'
            Where to compute: auto, cpu, cuda, cuda:N or metal.
        n_jobs : int or None, default=None
            Threads; None is all cores.

        Returns
        -------
        model : Model
            The model.
        """
        path = Path(path_or_name)
        if path.is_file() or path.suffix or len(path.parts) > 1:
            return cls(SavedModel.load(path, device=device), device, n_jobs)
        return cls(SavedModel.published(fspath(path_or_name), device=device), device, n_jobs)

    def predict(self, images: Any, *, invert: bool = False) -> NDArray[Any]:
        """The class of each image.

        Parameters
        ----------
        images : ndarray of shape (n_images, n_inputs), (n_images, height, width[, channels]), or paths
            Bytes, or for a model of numbers floats; or image files and folders of them, which are resized and made gray
            where the layer sees them so.
        invert : bool, default=False
            Make negatives of image files: for dark strokes on paper, where the layer has seen bright ones on black.

        Returns
        -------
        classes : ndarray of shape (n_images,)
            Their names, as in `classes_`.
        """
        names = self.classes_
        if names is None:
            raise ValueError("the model has no readout, so it knows no classes")
        return names[self._saved.predict(self._images(images), invert=invert, threads=threads(self.n_jobs))]

    def predict_proba(self, images: Any, *, invert: bool = False) -> NDArray[np.float32]:
        """The probability of each class.

        Parameters
        ----------
        images : ndarray or paths
            As for `predict`.
        invert : bool, default=False
            As for `predict`.

        Returns
        -------
        probabilities : ndarray of shape (n_images, n_classes), float32
            In the order of `classes_`.
        """
        return self._saved.probabilities(self._images(images), invert=invert, threads=threads(self.n_jobs))

    def transform(self, images: Any, *, invert: bool = False) -> NDArray[np.float32]:
        """What the readout sees of each image, or what the layer gives where there is no readout.

        Parameters
        ----------
        images : ndarray or paths
            As for `predict`.
        invert : bool, default=False
            As for `predict`.

        Returns
        -------
        features : ndarray of shape (n_images, n_features), float32
            A row per image.
        """
        return self._saved.transform(self._images(images), invert=invert, threads=threads(self.n_jobs))

    @property
    def rule(self) -> str:
        return self._saved.rule

    @property
    def image_shape(self) -> Optional[tuple[int, int, int]]:
        return self._saved.image

    @property
    def classes_(self) -> Optional[NDArray[Any]]:
        names = self._saved.class_names
        return None if names is None else np.asarray(names)

    @property
    def weights_(self) -> NDArray[np.float32]:
        return self._saved.weights

    def _images(self, images: Any) -> Any:
        """Rows of bytes or float32, or paths."""
        if isinstance(images, (str, PathLike)):
            return [Path(images)]
        if isinstance(images, (list, tuple)) and images and all(isinstance(one, (str, PathLike)) for one in images):
            return [Path(one) for one in images]
        array = np.asarray(images)
        if array.ndim < 2:
            raise ValueError(f"Expected 2D array, got {array.ndim}D array instead: an image per row")
        rows = array.reshape(len(array), -1) if len(array) else array.reshape(0, self._saved.inputs)
        if rows.shape[1] != self._saved.inputs:
            raise ValueError(f"images have {rows.shape[1]} values, but the model expects {self._saved.inputs}")
        if len(rows) == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required")
        if not self._saved.takes_numbers:
            if rows.dtype != np.uint8:
                raise ValueError(f"images are {rows.dtype}, but the model takes bytes (uint8), 0 to 255")
            return np.ascontiguousarray(rows)
        numbers = np.ascontiguousarray(rows, dtype=np.float32)
        if not np.isfinite(numbers).all():
            raise ValueError("Input images contain NaN or infinity")
        return numbers

    def __reduce__(self) -> Any:
        return _restored, (self._saved.to_bytes(), self._device, self.n_jobs)

    def __repr__(self) -> str:
        return f"<hebbian.Model of {self.rule}, {self._saved.inputs} inputs>"


def _restored(file: bytes, device: str, n_jobs: Optional[int]) -> Model:
    return Model(SavedModel.from_bytes(file, device=device), device, n_jobs)
