"""The work of the bench `foldiak` in plain numpy, one pattern after the other, float64:

    python3 benches/peers/foldiak.py

prints milliseconds a pattern, to set beside `cargo bench -p hebbian -- Foldiak`.
"""

import time

import numpy as np


def settle(drive, lateral, iterations, slope=10.0, time_step=0.1):
    y = np.zeros_like(drive)
    for _ in range(iterations):
        y += time_step * (1.0 / (1.0 + np.exp(-slope * (drive + lateral @ y))) - y)
    return y


def learn(layer, x, activity, iterations, inhibition_rate=0.1, learning_rate=0.02, threshold_rate=0.02):
    weights, lateral, thresholds = layer
    z = (settle(weights @ x - thresholds, lateral, iterations) > 0.5).astype(float)
    lateral -= inhibition_rate * (np.outer(z, z) - activity**2)
    np.minimum(lateral, 0.0, out=lateral)
    np.fill_diagonal(lateral, 0.0)
    weights += learning_rate * z[:, None] * (x - weights)
    thresholds += threshold_rate * (z - activity)


def bars(draws, count, side):
    rows, columns = (draws.random((count, side)) < 1 / side for _ in range(2))
    return (rows[:, :, None] | columns[:, None, :]).reshape(count, -1).astype(float)


def measure(name, patterns, units, activity, iterations):
    draws = np.random.default_rng(0)
    weights = draws.random((units, patterns.shape[1]))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    layer = weights, np.zeros((units, units)), np.ones(units)
    learn(layer, patterns[0], activity, iterations)
    begin = time.perf_counter()
    for x in patterns:
        learn(layer, x, activity, iterations)
    seconds = time.perf_counter() - begin
    print(f"{name}\t{1e3 * seconds / len(patterns):.4f} ms", flush=True)


if __name__ == "__main__":
    draws = np.random.default_rng(1)
    measure("8 x 8, 16 units, 200 iterations", bars(draws, 1000, 8), 16, 1 / 8, 200)
    measure("10 x 10, 100 units, 60 iterations", draws.random((1000, 100)), 100, 0.05, 60)
