"""The spatial pooler's default, 900 columns on 784 inputs, in numpy, one input after the other:

    python3 benches/peers/spatial_pooler.py

prints milliseconds an input, learning and encoding, to set beside `cargo bench -p hebbian --bench spatial_pooler`. The
inputs are random with 19 % on, as of MNIST's.
"""

import time

import numpy as np

COLUMNS, INPUTS, ACTIVE, SHOWN = 900, 784, 36, 500
CONNECTED, INCREMENT, DECREMENT, STRENGTH, PERIOD, LEAST = 0.5, 0.1, 0.03, 1.5, 1000, 4


def winners(connected, boosts, x):
    boosted = boosts * (connected @ x)
    best = np.argsort(-boosted, kind="stable")[:ACTIVE]
    return best[boosted[best] >= LEAST]


def learn(permanences, connected, pool, activity, boosts, x):
    won = winners(connected, boosts, x)
    moved = permanences[won] + np.where(x > 0, INCREMENT, -DECREMENT).astype(np.float32)
    permanences[won] = np.clip(moved, 0, 1) * pool[won]
    connected[won] = permanences[won] >= CONNECTED
    activity *= (PERIOD - 1) / PERIOD
    activity[won] += 1 / PERIOD
    boosts[:] = np.exp(STRENGTH * (activity.mean() - activity))


def measure(name, step, shown):
    begin = time.perf_counter()
    for x in shown:
        step(x)
    print(f"{name}\t{1e3 * (time.perf_counter() - begin) / len(shown):.4f} ms", flush=True)


if __name__ == "__main__":
    draws = np.random.default_rng(0)
    pool = (draws.random((COLUMNS, INPUTS)) < 0.8).astype(np.float32)
    permanences = draws.random((COLUMNS, INPUTS)).astype(np.float32) * pool
    connected = (permanences >= CONNECTED).astype(np.float32)
    activity, boosts = np.full(COLUMNS, ACTIVE / COLUMNS, np.float32), np.ones(COLUMNS, np.float32)
    shown = (draws.random((SHOWN, INPUTS)) < 0.19).astype(np.float32)
    measure("spatial pooler, learning", lambda x: learn(permanences, connected, pool, activity, boosts, x), shown)
    measure("spatial pooler, encoding", lambda x: winners(connected, boosts, x), shown)
