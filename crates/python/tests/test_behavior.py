"""Saving, going on, memory, threads, signals, and what is generated."""

import copy
import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import joblib
import numpy as np
import pytest

import hebbian
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
    Standardize,
    Triangle,
    WinnerTakeAll,
)

HERE = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(0)
X = RNG.random((60, 36)).astype(np.float32)
Y = RNG.integers(0, 3, 60)


def network():
    layers = [
        Standardize(),
        Convolution(SoftHebb(units=4), kernel=3),
        Triangle(power=0.7),
        Pooling(kernel=2, stride=2),
    ]
    return Stack(layers, epochs=2, batch_size=10, random_state=0)


TRANSFORMERS = [
    KrotovHopfield(units=8, k=2, encoding="power", encoding_power=2.0, random_state=0),
    CompSpec(units=8, charge="set", charge_k=3, random_state=0),
    SoftHebb(units=8, init="positive", random_state=0),
    Foldiak(units=8, settling="one-shot", random_state=0),
    MultiWinner(units=8, winners=2, random_state=0),
    Invariance(units=8, normalization=None, random_state=0),
    SpatialPooler(units=30, binarize="mean", starved="lowest", starved_share=0.1, random_state=0),
    Convolution(KrotovHopfield(units=4, k=2), kernel=3, padding="zero", random_state=0),
    network(),
]
names = [type(one).__name__ for one in TRANSFORMERS]


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=names)
def test_what_is_pickled_copied_or_dumped_answers_and_learns_on_as_before(estimator, tmp_path):
    fitted = estimator.fit(X)
    joblib.dump(fitted, tmp_path / "layer.joblib")
    copies = [pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted), joblib.load(tmp_path / "layer.joblib")]
    assert all(np.array_equal(one.transform(X), fitted.transform(X)) for one in copies)
    after = [one.partial_fit(X[:20]).transform(X) for one in [fitted, *copies]]
    assert all(np.array_equal(one, after[0]) for one in after)


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=names)
def test_what_is_saved_comes_back_with_its_parameters(estimator, tmp_path):
    fitted = estimator.fit(X)
    fitted.save(tmp_path / "layer.safetensors")
    loaded = hebbian.load(tmp_path / "layer.safetensors")
    assert type(loaded) is type(fitted) and loaded.n_features_in_ == 36
    own = [
        name
        for name in fitted.get_params(deep=False)
        if name not in ("epochs", "batch_size", "random_state", "binarize")
    ]
    assert all(
        repr(getattr(loaded, name)) == repr(getattr(fitted, name))
        for name in own
        if name not in ("rule", "layers", "in_order", "input")
    )
    samples = X if estimator.get_params().get("binarize") is None else (X >= X.mean(axis=1, keepdims=True))
    assert np.array_equal(loaded.transform(samples), fitted.transform(X))
    assert np.array_equal(type(fitted).load(tmp_path / "layer.safetensors").weights_, fitted.weights_)


def test_a_file_of_another_class_is_refused(tmp_path):
    SoftHebb(units=3).fit(X).save(tmp_path / "layer.safetensors")
    with pytest.raises(ValueError, match="holds a SoftHebb, not a Foldiak"):
        Foldiak.load(tmp_path / "layer.safetensors")


def test_a_loaded_layer_is_a_model_too(tmp_path):
    fitted = TRANSFORMERS[0].fit(X)
    fitted.save(tmp_path / "layer.safetensors")
    model = Model.load(tmp_path / "layer.safetensors")
    assert np.array_equal(model.transform(X), fitted.transform(X))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).transform(X), model.transform(X))
    with pytest.raises(ValueError, match="no readout"):
        model.predict(X)


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=names)
def test_the_number_of_threads_changes_no_bit(estimator):
    answers = [copy.deepcopy(estimator).set_params(n_jobs=threads).fit(X).transform(X) for threads in (1, 2, -1, None)]
    assert all(np.array_equal(one, answers[0]) for one in answers)


def test_arrays_of_any_layout_and_type_give_the_same():
    expected = SoftHebb(units=5, random_state=0).fit(X).weights_
    for given in (np.asfortranarray(X), X.astype(np.float64), X[::1, :].copy(), X.tolist()):
        assert np.array_equal(SoftHebb(units=5, random_state=0).fit(given).weights_, expected)


def test_several_threads_ask_one_layer_while_it_is_learned_on():
    layer = SoftHebb(units=5, random_state=0).fit(X)
    failures = []

    def ask():
        try:
            for _ in range(20):
                assert np.isfinite(layer.transform(X)).all()
        except BaseException as error:
            failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for _ in range(20):
        layer.partial_fit(X)
    for asker in askers:
        asker.join()
    assert failures == []


MEMORY = """
import resource, sys
import numpy as np
from hebbian import SoftHebb
X = np.ones((200_000, 400), np.float32)
X[:, 0] = np.arange(len(X)) % 7
SoftHebb(units=4, epochs=1).fit(X[:1000]).transform(X[:1000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
SoftHebb(units=4, epochs=1).fit(X).transform(X)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown / (X.nbytes / 1024))
"""


def test_learning_takes_no_copy_of_the_samples():
    run = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    assert float(run.stdout) < 0.15


INTERRUPTED = """
import signal
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # even where these tests were started to ignore it
from hebbian import SoftHebb
X = np.random.default_rng(0).random((1000, 50)).astype(np.float32)
layer = SoftHebb(units=5, random_state=0).fit(X)
before = layer.weights_
try:
    print("begins", flush=True)
    layer.set_params(epochs=10**9).fit(X)
except KeyboardInterrupt:
    assert np.array_equal(layer.weights_, before)
    print("ended")
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_an_interruption_ends_a_fit_and_changes_nothing():
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "begins\n"
        run.send_signal(signal.SIGINT)
        try:
            said, _ = run.communicate(timeout=60)
        finally:
            run.kill()
    assert (said, run.returncode) == ("ended\n", 0)


FORKED = """
import os
import numpy as np
from hebbian import SoftHebb
X = np.random.default_rng(0).random((200, 50)).astype(np.float32)
expected = SoftHebb(units=5, random_state=0).fit(X).weights_
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(SoftHebb(units=5, random_state=0).fit(X).weights_, expected) else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
def test_a_forked_process_learns_too():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, timeout=120)


def test_a_progress_bar_is_shown_where_it_is_asked_for(capfd):
    KrotovHopfield(units=4, k=2, epochs=1).fit(X)
    assert capfd.readouterr().err == ""
    KrotovHopfield(units=4, k=2, epochs=1, verbose=True).fit(X)


def test_partial_fit_of_whole_stacks_and_greedy_ones_learn():
    online = network().partial_fit(X).partial_fit(X)
    greedy = network().set_params(greedy_epochs=(1, 1, 1, 1), epochs=4).fit(X)
    assert online.transform(X).shape == greedy.transform(X).shape == (60, 36)
    assert online.get_feature_names_out()[0] == "stack0"


def test_a_readout_and_votes_learn_names():
    named = np.array(["a", "b", "c"])[Y]
    for classifier in (SoftmaxReadout(random_state=0), WinnerTakeAll(SoftHebb(units=30, random_state=0))):
        fitted = classifier.fit(X, named)
        assert set(fitted.predict(X)) <= {"a", "b", "c"}
        assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))


def test_a_random_state_gives_the_same_twice_and_another_gives_another():
    same = [SoftHebb(units=3, random_state=np.random.RandomState(5)).fit(X).weights_ for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], SoftHebb(units=3, random_state=6).fit(X).weights_)


def test_the_estimators_are_those_that_the_config_structs_declare():
    spec = importlib.util.spec_from_file_location("generate", HERE / "tools" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    installed = Path(hebbian.__file__).parent / "_estimators.py"
    assert installed.read_text() == generate.source(), "python tools/generate.py writes it anew"
