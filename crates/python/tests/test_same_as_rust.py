"""The same numbers as the programs of Rust, to the bit, and as the reference in float64, to 1e-5."""

import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

import hebbian
from hebbian import KrotovHopfield, Model, SoftHebb, load_mnist

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"
DTYPES = {"F32": "<f4", "I32": "<i4", "U8": "u1", "F16": "<f2"}


def program(name):
    """A program of Rust: in the folder that HEBBIAN_PROGRAMS names, or where cargo builds it."""
    path = Path(os.environ.get("HEBBIAN_PROGRAMS", ROOT / "target" / "release" / "examples")) / name
    if not path.exists():
        pytest.skip(f"{path} is not built: cargo build --release --examples")
    return path


def read(path):
    """The metadata and the tensors of a safetensors file."""
    written = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", written[:8])
    header, data = json.loads(written[8 : 8 + length]), written[8 + length :]
    metadata = header.pop("__metadata__", {})
    tensors = {
        name: np.frombuffer(data[slice(*one["data_offsets"])], DTYPES[one["dtype"]]).reshape(one["shape"])
        for name, one in header.items()
    }
    return metadata, tensors


def layer(folder, rule, config, state):
    """The estimator of a rule with this state, through a file as the programs of Rust write it."""
    tensors = {f"rule.{name}": np.ascontiguousarray(value) for name, value in state.items()}
    names = {"f": "F32", "u": "U8"}
    header, end = {"__metadata__": {"hebbian": json.dumps({"format": 2, "rule": rule, "config": config})}}, 0
    for name, value in tensors.items():
        begin, end = end, end + value.nbytes
        header[name] = {"dtype": names[value.dtype.kind], "shape": value.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path = folder / "layer.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(map(np.ndarray.tobytes, tensors.values())))
    return hebbian.load(path)


def trace(name):
    metadata, tensors = read(GOLDEN / f"{name}.safetensors")
    return json.loads(metadata["json"])["hyper"], tensors


def assert_close(ours, reference):
    assert np.abs(ours - reference).max() <= 1e-5 * np.abs(reference).max()


@pytest.fixture(scope="module")
def digits():
    return load_mnist()[0].astype(np.float32) / 255


@pytest.mark.parametrize("name", ["kh_p2_k2", "kh_p3_k7"])
def test_krotov_hopfield_follows_its_trace(name, digits, tmp_path):
    hyper, trace_of = trace(name)
    weights = trace_of["w_init"]
    for step, batch in enumerate(trace_of["batch_index"]):
        config = {"units": len(weights), "p": hyper["p"], "k": hyper["k"], "delta": hyper["delta"]}
        config["learning_rate"] = float(trace_of["eps"][step])
        rule = layer(tmp_path, "krotov-hopfield", config, {"weights": weights}).partial_fit(digits[batch])
        weights = rule.weights_
        assert_close(weights, trace_of["w_steps"][step])


@pytest.mark.parametrize("name", ["comp_spec", "charged_comp_spec_k2"])
def test_comp_spec_follows_its_trace(name, digits, tmp_path):
    hyper, trace_of = trace(name)
    config = {"units": len(trace_of["w_init"]), "learning_rate": hyper["xi"], "specialization_rate": hyper["phi"]}
    if "delta" in hyper:
        # The notebook counts k from the winner.
        config["charge"] = {"delta": hyper["delta"], "k": hyper["k"] + 1, "largest_weight": hyper.get("wmax", 10.0)}
    rule = layer(tmp_path, "comp-spec", config, {"weights": trace_of["w_init"], "specialization": trace_of["s_init"]})
    for step, batch in enumerate(trace_of["batch_index"]):
        rule.partial_fit(digits[batch])
        assert_close(rule.weights_, trace_of["w_steps"][step])
        assert_close(rule.state_["specialization"].ravel(), trace_of["s_steps"][step])


@pytest.mark.parametrize("name", ["soft_hebb_mnist", "soft_hebb_mnist_published"])
def test_soft_hebb_follows_its_trace(name, digits, tmp_path):
    hyper, trace_of = trace(name)
    config = {"units": len(trace_of["w_init"]), "inverse_temperature": hyper["t"], "learning_rate": hyper["lr"]}
    config["rate_exponent"] = hyper["q"] if hyper.get("adaptive", True) else 0.0
    config["anti_hebbian"] = hyper.get("anti_hebbian", True)
    rule = layer(tmp_path, "soft-hebb", config, {"weights": trace_of["w_init"]})
    for step, batch in enumerate(trace_of["batch_index"]):
        rule.partial_fit(digits[batch])
        assert_close(rule.weights_, trace_of["w_steps"][step])


@pytest.mark.parametrize("name", ["mwta_nw3", "mwta_nw4"])
def test_multi_winner_follows_its_trace(name, tmp_path):
    hyper, trace_of = trace(name)
    config = {"units": len(trace_of["sw_init"]), "winners": hyper["n_w"], "learning_rate": hyper["xi"]}
    config |= {"floor": hyper["prec"], "clamp": False}
    rule = layer(tmp_path, "multi-winner", config, {"weights": trace_of["sw_init"]})
    for step, frame in enumerate(trace_of["frames"]):
        rule.partial_fit(frame[None] / 255)
        if step < len(trace_of["sw_steps"]):
            assert_close(rule.weights_, trace_of["sw_steps"][step])
    assert_close(rule.weights_, trace_of["sw_final"])


def test_foldiak_follows_its_trace(tmp_path):
    hyper, trace_of = trace("foldiak1990_bars")
    config = {"units": len(trace_of["q_init"]), "activity": hyper["p"], "inhibition_rate": hyper["alpha"]}
    config |= {"learning_rate": hyper["beta"], "threshold_rate": hyper["gamma"]}
    settling = {"slope": hyper["lam"], "time_step": hyper["dt"], "iterations": hyper["n_iter"], "tolerance": 0.0}
    config["settling"] = {"kind": "equilibrium", **settling}
    state = {"weights": trace_of["q_init"], "lateral": trace_of["wlat_init"], "thresholds": trace_of["t_init"]}
    rule = layer(tmp_path, "foldiak", config, state)
    for step, pattern in enumerate(trace_of["x"]):
        rule.partial_fit(pattern[None])
        assert_close(rule.weights_, trace_of["q_steps"][step])
        assert_close(rule.state_["thresholds"].ravel(), trace_of["t_steps"][step])


@pytest.mark.parametrize("name", ["sp_boost", "sp_noboost"])
def test_the_spatial_pooler_follows_its_trace(name, digits, tmp_path):
    hyper, trace_of = trace(name)
    config = {"units": len(trace_of["perm_init"]), "sparsity": hyper["sparsity"], "connected": hyper["threshold"]}
    config |= {"increment": hyper["inc"], "decrement": hyper["dec"], "min_activation": hyper["min_activation"]}
    config["boost_strength"] = hyper["boost_factor"] if hyper["boosting"] else 0.0
    config |= {"activity_period": hyper["act_window"], "overlap_period": hyper["ovl_window"]}
    if hyper["overlap_boost"]:
        config["starved"] = {"lowest": {"share": hyper["overlap_frac"]}}
    units = config["units"]
    state = {"weights": trace_of["perm_init"], "pool": trace_of["rf"]}
    state |= {"activity": np.full(units, hyper["sparsity"], np.float32), "overlap": np.ones(units, np.float32)}
    rule = layer(tmp_path, "spatial-pooler", config, state)
    for step, image in enumerate(trace_of["image_index"]):
        pixels = np.round(digits[image] * 255)
        rule.partial_fit((pixels * 784 >= pixels.sum())[None])
        if step < len(trace_of["perm_steps"]):
            assert_close(rule.weights_, trace_of["perm_steps"][step])
    assert_close(rule.weights_.sum(axis=1), trace_of["perm_final_rowsum"])


SHUFFLED = {"epochs": 3, "batch_size": 40}
IN_ORDER = {"epochs": 2, "batch_size": 50, "schedule": "constant", "in_order": True}
RULE = {"units": 30, "k": 2, "learning_rate": 0.1}


def train(folder, arrays, learning, *more):
    """The checkpoint that the program `train` makes of `arrays`."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    given = {**RULE, **learning, "seed": 7, "device": "cpu"}
    flags = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in given.items()]
    data = [f"--data-dir={folder}", "--rule=krotov-hopfield", "--quiet", f"--out={folder / 'run'}"]
    subprocess.run([program("train"), *data, *flags, *more], check=True, capture_output=True)
    return folder / "run" / "checkpoint.safetensors"


@pytest.mark.parametrize("learning", [SHUFFLED, IN_ORDER])
def test_fit_is_the_programs_training_to_the_bit(learning, digits, tmp_path):
    X, _, X_test, _ = load_mnist()
    trained = train(tmp_path, {"x_train": X[:600], "x_test": X_test[:50]}, learning)
    ours = KrotovHopfield(**RULE, **learning, random_state=7, encoding="power").fit(digits[:600])
    assert np.array_equal(ours.weights_, read(trained)[1]["rule.weights"])
    assert ours.transform(digits[:600]).tobytes() == Model.load(trained).transform(X[:600]).tobytes()


def test_partial_fit_batch_by_batch_is_the_programs_training_to_the_bit(digits, tmp_path):
    X, _, X_test, _ = load_mnist()
    trained = train(tmp_path, {"x_train": X[:600], "x_test": X_test[:50]}, IN_ORDER)
    ours = KrotovHopfield(**RULE, random_state=7)
    for _ in range(2):
        for start in range(0, 600, 50):
            ours.partial_fit(digits[start : start + 50])
    assert np.array_equal(ours.weights_, read(trained)[1]["rule.weights"])


def test_a_shuffled_fit_is_its_own_saved_training_to_the_bit(digits, tmp_path):
    ours = SoftHebb(units=20, epochs=2, batch_size=50, random_state=3).fit(digits[:500])
    ours.save(tmp_path / "layer.safetensors")
    metadata, tensors = read(tmp_path / "layer.safetensors")
    training = json.loads(metadata["hebbian"])["training"]
    assert (training["epoch"], training["step"], training["generator"]["seed"]) == (2, 20, 3)
    assert np.array_equal(ours.weights_, tensors["rule.weights"])


def test_a_model_answers_as_the_programs_do_to_the_bit(tmp_path):
    from PIL import Image

    X, y, X_test, y_test = load_mnist()
    arrays = {"x_train": X[:600], "y_train": y[:600], "x_test": X_test[:200], "y_test": y_test[:200]}
    trained = train(tmp_path, arrays, SHUFFLED, "--validation-size=0", "--readout-epochs=5")
    images = X_test[:20].reshape(-1, 28, 28)
    paths = [tmp_path / f"{place:02}.png" for place in range(len(images))]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    model = Model.load(trained)
    run = [program("predict"), "--checkpoint", trained, "--top=1", *paths]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()
    named = [line.split()[1] for line in said]
    percent = [float(line.split()[2]) for line in said]
    for given in (images, images.reshape(20, 784), paths):
        assert list(model.predict(given)) == named
        assert np.abs(100 * model.predict_proba(given).max(axis=1) - percent).max() <= 0.0501
    written = tmp_path / "features.npy"
    subprocess.run(
        [program("transform"), "--checkpoint", trained, *paths, "--out", written], check=True, capture_output=True
    )
    assert np.array_equal(model.transform(images), np.load(written))


def test_a_published_layer_is_one_call():
    model = Model.load("kh_mnist")
    _, _, X, y = load_mnist()
    assert (model.predict(X[:1000]) == y[:1000].astype(str)).mean() > 0.97
    assert model.image_shape == (28, 28, 1) and model.weights_.shape == (2000, 784)
