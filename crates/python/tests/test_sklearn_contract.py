"""scikit-learn's own checks, and its tools around our estimators."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import hebbian
from hebbian import (
    CompSpec,
    Convolution,
    Foldiak,
    Invariance,
    KrotovHopfield,
    MultiWinner,
    SoftHebb,
    SoftmaxReadout,
    SpatialPooler,
    Stack,
    WinnerTakeAll,
)

ESTIMATORS = [
    KrotovHopfield(units=8, k=2, epochs=2),
    KrotovHopfield(units=8, k=2, epochs=2, encoding="power"),
    CompSpec(units=8, epochs=2, learning_rate=0.001),
    SoftHebb(units=8, epochs=2),
    Foldiak(units=8, epochs=2, preset_patterns=10),
    MultiWinner(units=8, epochs=2, winners=2, learning_rate=0.0001),
    Invariance(units=8),
    SpatialPooler(units=50, epochs=2, binarize=0.0),
    Convolution(SoftHebb(units=3), kernel=1, epochs=2),
    Stack([SoftHebb(units=8), KrotovHopfield(units=4, k=2)], epochs=2),
    SoftmaxReadout(epochs=60, batch_size=20, learning_rate=0.05),
    WinnerTakeAll(SoftHebb(units=40, epochs=20, batch_size=20, random_state=0)),
]

#: What an estimator is not meant to pass, and why.
EXPECTED = {
    Invariance: {
        "check_methods_subset_invariance": "samples are a stretch of time: an answer depends on those before it",
        "check_methods_sample_order_invariance": "samples are a stretch of time: an answer depends on those before it",
    },
}


def expected_failures(estimator):
    return EXPECTED.get(type(estimator), {})


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_is_content(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


def features(**parameters):
    defaults = {"units": 60, "k": 2, "learning_rate": 0.2, "epochs": 5, "batch_size": 20, "random_state": 0}
    return KrotovHopfield(encoding="power", **{**defaults, **parameters})


def test_a_pipeline_is_cross_validated_and_learns(digits):
    X, y = digits
    model = make_pipeline(MinMaxScaler(), features(), SoftmaxReadout(learning_rate=0.01, random_state=0))
    assert cross_val_score(model, X, y, cv=3).mean() > 0.75


def test_a_grid_search_chooses_and_refits(digits):
    X, y = digits
    model = make_pipeline(features(), SoftmaxReadout(learning_rate=0.01, random_state=0))
    grid = {"krotovhopfield__units": [3, 60], "krotovhopfield__p": np.array([2.0, 3.0])}
    search = GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_params_["krotovhopfield__units"] == 60
    assert search.best_estimator_[0].weights_.shape == (60, 64)


def test_a_clone_is_unfitted_and_learns_the_same(digits):
    X, _ = digits
    first = features().fit(X)
    second = clone(first)
    assert not hasattr(second, "weights_")
    assert np.array_equal(first.weights_, second.fit(X).weights_)


def test_names_of_features_are_those_of_the_class(digits):
    X, _ = digits
    names = features(units=3).fit(X).get_feature_names_out()
    assert list(names) == ["krotovhopfield0", "krotovhopfield1", "krotovhopfield2"]


def test_every_public_name_is_there():
    assert all(hasattr(hebbian, name) for name in hebbian.__all__)
