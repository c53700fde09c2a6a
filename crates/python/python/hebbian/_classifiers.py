"""What learns from labels."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import gen_batches
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hebbian._native import count_votes, train_readout
from hebbian._settings import plain, seed, threads, unchanged_on_failure

#: Samples whose winners are found at once.
PORTION = 1000


class Classifier(ClassifierMixin, BaseEstimator):
    """Samples to classes that are called as in `y`."""

    def _samples_and_numbers(self, X: Any, y: Any) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """The samples, and of each the number of its class; the classes become `classes_`."""
        X, y = validate_data(self, X, y, dtype=np.float32, order="C")
        check_classification_targets(y)
        self.classes_, places = np.unique(y, return_inverse=True)
        return X, np.ascontiguousarray(places, dtype=np.uint32)

    def _samples(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float32, order="C", reset=False)


class ReadoutBase(Classifier):
    """Softmax regression."""

    def fit(self, X: Any, y: Any) -> ReadoutBase:
        """Learn the classes of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples, such as the features that a layer gives.
        y : array-like of shape (n_samples,)
            Their classes.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with unchanged_on_failure(self):
            X, numbers_of = self._samples_and_numbers(X, y)
            own = ("random_state", "verbose", "device", "n_jobs")
            descent = {name: plain(value) for name, value in self.get_params(deep=False).items() if name not in own}
            if isinstance(descent["batch_size"], numbers.Integral):
                descent["batch_size"] = min(descent["batch_size"], X.shape[0])
            self.coef_, self.intercept_ = train_readout(
                X,
                numbers_of,
                len(self.classes_),
                descent,
                seed(self.random_state),
                device=self.device,
                verbose=bool(self.verbose),
                threads=threads(self.n_jobs),
            )
        return self

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """The score of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            For two classes, by how much the second is ahead.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """The probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Those of a sample add up to 1.
        """
        scores = self._scores(X)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """The class with the largest score, the first of equals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Their classes.
        """
        places = self._scores(X).argmax(axis=1)
        return self.classes_[places]

    def _scores(self, X: Any) -> NDArray[np.float32]:
        return self._samples(X) @ self.coef_.T + self.intercept_


class VotesBase(Classifier):
    """Each unit of a layer speaks for the class that it wins most."""

    def fit(self, X: Any, y: Any) -> VotesBase:
        """Let the rule learn the samples, then count what its units win.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,)
            Their classes.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with unchanged_on_failure(self):
            X, numbers_of = self._samples_and_numbers(X, y)
            self.rule_ = clone(self._rule_or_default()).fit(X)
            weights = np.ascontiguousarray(self.rule_.weights_, dtype=np.float32)
            if weights.shape[1] != X.shape[1]:
                raise ValueError(f"rule = {self.rule!r} is not allowed: its units must see whole samples")
            votes = count_votes(weights, X, numbers_of, len(self.classes_), threads=threads(self.n_jobs))
            lengths = np.sqrt(np.square(weights).sum(axis=1, keepdims=True))
            self._directions = weights / np.maximum(lengths, 1e-12)
            self.votes_ = votes.astype(np.int64)
            self.unit_classes_ = self.classes_[self.votes_.argmax(axis=1)]
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of the unit that matches best, the first of equals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Their classes.
        """
        X = self._samples(X)
        portions = gen_batches(X.shape[0], PORTION)
        winners = [(X[rows] @ self._directions.T).argmax(axis=1) for rows in portions]
        return self.unit_classes_[np.concatenate(winners)]

    def _rule_or_default(self) -> Any:
        from hebbian import KrotovHopfield

        return KrotovHopfield() if self.rule is None else self.rule
