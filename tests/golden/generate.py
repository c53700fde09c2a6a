"""Writes a golden trace: a few steps of a rule, computed in float64 by a function in NumPy.

    python3 tests/golden/generate.py        # needs: pip install numpy safetensors

A trace for a rule of your own takes a `step(state, batch)` that returns the state after it, and the winners
`(batch, winners)` or None. `hebbian::golden::replay` holds the rule to it. README.md beside this file says more.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

FORMAT = 2


def write(path, rule, config, state, batches, step):
    """`state`: {name: array}, as the rule's own; `batches`: (steps, batch, inputs)."""
    tensors = {f"rule.{name}": value.astype(np.float32) for name, value in state.items()}
    tensors["trace.inputs"] = batches.astype(np.float32)
    # The reference begins with what the file holds, not with digits that float32 lost.
    state = {name: tensors[f"rule.{name}"].astype(np.float64) for name in state}
    states, winners = [], []
    for batch in tensors["trace.inputs"].astype(np.float64):
        state, won = step(state, batch)
        states.append(state)
        winners.append(won)
    for name in state:
        tensors[f"trace.{name}"] = np.stack([state[name] for state in states]).astype(np.float32)
    if winners[0] is not None:
        tensors["trace.winners"] = np.stack(winners).astype(np.uint32)
    about = {"format": FORMAT, "rule": rule, "config": config}
    save_file(tensors, path, metadata={"hebbian": json.dumps(about)})


def sanger(rate):
    """One step of Sanger's rule; no unit wins."""

    def step(state, batch):
        w = state["weights"]
        y = batch @ w.T
        delta = y.T @ batch - np.tril(y.T @ y) @ w
        return {"weights": w + rate / len(batch) * delta}, None

    return step


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "external_rule" / "tests"
    mixing = generator.normal(size=(20, 20)) * np.linspace(1, 0.1, 20)
    write(
        folder / "sanger.safetensors",
        rule="sanger",
        config={"units": 5, "learning_rate": 0.01},
        state={"weights": 0.1 * generator.normal(size=(5, 20))},
        batches=generator.normal(size=(8, 25, 20)) @ mixing,
        step=sanger(0.01),
    )
