"""Nothing that a user can give ends the interpreter, and what fails changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.exceptions import NotFittedError

from hebbian import (
    CompSpec,
    Convolution,
    Foldiak,
    Invariance,
    KrotovHopfield,
    Model,
    MultiWinner,
    Pooling,
    SoftHebb,
    SoftmaxReadout,
    SpatialPooler,
    Stack,
    WinnerTakeAll,
)

RULES = [KrotovHopfield, CompSpec, SoftHebb, Foldiak, MultiWinner, Invariance, SpatialPooler]
X = np.random.default_rng(0).random((30, 9))

#: What a parameter may be given.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([-(2**70), -1, 2**31, 2**63, 2**64, 10**12, 10**30]),
    st.floats(),
    st.sampled_from(
        ["none", "set", "linear", "staircase:0:0", "halving:0.5", "neighborhood", "one-shot", "below-best", ""]
    ),
    st.tuples(st.integers(-1, 9), st.integers(0, 9)),
    st.lists(st.integers(0, 3), max_size=3),
    st.just(np.float32(0.5)),
    st.just(object()),
)
#: What makes a run too long to wait for, and not wrong.
ENDLESS = {"epochs", "settling_iterations", "device", "verbose", "encoding_power"}

NUMBERS = arrays.arrays(
    dtype=st.sampled_from([np.float16, np.float32, np.float64, ">f4", np.uint8, np.int64, bool, complex, "U3"]),
    shape=arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12),
)
REFUSALS = (ValueError, TypeError, MemoryError, OverflowError)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_parameter_is_taken_or_refused(rule, data):
    estimator = rule(epochs=1, batch_size=10, random_state=0).set_params(units=12)
    names = sorted(set(estimator.get_params()) - ENDLESS)
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)):
        estimator.set_params(**{name: data.draw(VALUES, label=name)})
    try:
        estimator.fit(np.round(X)).transform(np.round(X))
    except REFUSALS:
        pass


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(samples=NUMBERS, more=NUMBERS, order=st.sampled_from("CF"), kind=st.sampled_from([None, object]))
def test_any_array_is_taken_or_refused(rule, samples, more, order, kind):
    estimator = rule(epochs=1, random_state=0).set_params(units=8)
    steps = [estimator.fit, estimator.partial_fit, estimator.transform, estimator.partial_fit]
    for step, given_array in zip(steps, [samples, more, samples, samples]):
        try:
            step(np.asarray(given_array, dtype=kind, order=order))
        except (*REFUSALS, NotFittedError):
            pass


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    kernel=VALUES,
    stride=VALUES,
    padding=st.sampled_from(["reflect", "zero", "none", "wrap", 3]),
    image=st.one_of(VALUES, st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 9))),
    pool=st.tuples(VALUES, VALUES, VALUES),
)
def test_any_network_is_taken_or_refused(kernel, stride, padding, image, pool):
    convolution = Convolution(SoftHebb(units=2), kernel, stride=stride, padding=padding, input=image)
    pooling = Pooling(pool[0], stride=pool[1], padding=pool[2])
    try:
        Stack([convolution, pooling], epochs=1).fit(X).transform(X)
    except REFUSALS:
        pass


@settings(max_examples=60, deadline=None, derandomize=True)
@given(samples=NUMBERS, labels=NUMBERS)
def test_any_labels_are_taken_or_refused(samples, labels):
    for classifier in (SoftmaxReadout(epochs=1), WinnerTakeAll(SoftHebb(units=4, epochs=1))):
        try:
            classifier.fit(samples, labels).predict(samples)
        except REFUSALS:
            pass


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_or_refused(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("bytes") / "model.safetensors"
    path.write_bytes(written)
    with pytest.raises(ValueError):
        Model.load(path)


def test_what_would_not_fit_into_memory_is_refused():
    with pytest.raises(MemoryError, match="numbers need about"):
        KrotovHopfield(units=10**12).fit(X)
    with pytest.raises(MemoryError, match="numbers need about"):
        Foldiak(units=10**7).fit(X)


def test_a_parameter_outside_its_range_is_named_with_what_is_allowed():
    with pytest.raises(ValueError, match=r"^units = 1 is not allowed: at least 2$"):
        KrotovHopfield(units=1).fit(X)
    with pytest.raises(ValueError, match=r"^p = NaN or infinity is not allowed: a number of at least 1$"):
        KrotovHopfield(p=float("nan")).fit(X)
    with pytest.raises(ValueError, match=r"^charge_delta = 0.7 is not allowed: only where charge is set$"):
        CompSpec(charge_delta=0.7).fit(X)
    with pytest.raises(ValueError, match=r"^batch_size = 0 is not allowed: at least 1$"):
        SoftHebb(batch_size=0).fit(X)


def test_what_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="within each other"):
        SoftHebb(units=endless).fit(X)
    stack = Stack([])
    stack.layers.append(stack)
    with pytest.raises((ValueError, RecursionError)):
        stack.fit(X)


def test_what_is_not_finite_is_refused_in_scikit_learns_words():
    broken = X.copy()
    broken[3, 2] = np.nan
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            getattr(SoftHebb(units=4), method)(broken)


def test_a_fit_that_fails_leaves_the_estimator_as_it_was():
    estimator = SoftHebb(units=4, epochs=2, random_state=0).fit(X)
    before, answers = dict(vars(estimator)), estimator.transform(X)
    estimator.set_params(units=0)
    with pytest.raises(ValueError):
        estimator.fit(X[:, :5])
    estimator.set_params(units=4)
    assert vars(estimator).keys() == before.keys() and estimator.n_features_in_ == 9
    assert np.array_equal(estimator.transform(X), answers)


@pytest.mark.parametrize("rule", RULES)
def test_a_step_that_fails_leaves_the_estimator_as_it_was(rule):
    samples = np.round(X)
    stepped, spared = (rule(random_state=0).set_params(units=30).partial_fit(samples) for _ in range(2))
    huge = np.full((30, 9), 3e38)
    if rule not in (Foldiak, Invariance):
        with pytest.raises(ValueError):
            stepped.partial_fit(huge)
    with pytest.raises(ValueError):
        stepped.partial_fit(samples[:, :4])
    for estimator in (stepped, spared):
        estimator.partial_fit(samples)
    assert np.array_equal(stepped.weights_, spared.weights_)


def test_before_it_has_learned_an_estimator_says_so():
    for call in (lambda: SoftHebb().transform(X), lambda: SoftHebb().weights_, lambda: SoftmaxReadout().predict(X)):
        with pytest.raises(NotFittedError):
            call()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.safetensors"):
        Model.load(tmp_path / "nothing.safetensors")
    with pytest.raises(ValueError, match="nothing is not among those that were found"):
        Model.load("nothing")
