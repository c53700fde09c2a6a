"""One learning step of Krotov-Hopfield and of CompSpec as a notebook writes them, in numpy, float32:

    python3 benches/peers/krotov_hopfield.py [FOLDER_WITH_MNIST]

prints milliseconds a step at 2000 x 784 with a batch of 100, to set beside `cargo bench -p hebbian -- "2000 x 784"`. The
notebooks touch all weights at every step; that, and the passes it takes, is what they cost. Without a folder, random
images of which 81 % is 0 stand in for MNIST's.
"""

import gzip
import os
import sys
import time

import numpy as np

UNITS, INPUTS, BATCH = 2000, 784, 100


def images(count):
    if len(sys.argv) > 1:
        with gzip.open(os.path.join(sys.argv[1], "train-images-idx3-ubyte.gz")) as file:
            return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, INPUTS)[:count].astype(np.float32) / 255
    draws = np.random.default_rng(0)
    return np.where(draws.random((count, INPUTS)) < 0.19, draws.random((count, INPUTS)), 0).astype(np.float32)


def krotov_hopfield(w, x, p, k, rate=np.float32(0.02), delta=np.float32(0.4), floor=np.float32(1e-30)):
    synapses = np.sign(w) * np.abs(w) ** (p - 1)
    drive = synapses @ x.T
    ranks = np.argsort(drive, axis=0)
    strength = np.zeros_like(drive)
    batch = np.arange(x.shape[0])
    strength[ranks[-1], batch] = 1
    strength[ranks[-k], batch] = -delta
    decay = np.multiply(strength, drive).sum(axis=1)
    change = strength @ x - decay[:, None] * w
    w += rate * change / max(np.abs(change).max(), floor)


def comp_spec(w, specialization, x, rate=np.float32(0.02), phi=np.float32(0.1), floor=np.float32(1e-12)):
    drive = x @ w.T
    overlaps = drive / (np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(w, axis=1) + floor)
    free = (1 - specialization) ** 2
    winners = np.argmax(free / np.maximum(1 - overlaps, floor), axis=1)
    won = np.zeros_like(drive)
    won[np.arange(x.shape[0]), winners] = 1
    share = won / np.maximum(won.sum(axis=0), 1)
    change = share.T @ x - (share * drive).sum(axis=0)[:, None] * w
    w += (rate * (free + np.float32(0.1)))[:, None] * change
    mean = (share * overlaps).sum(axis=0)
    specialization[:] = np.where(won.any(axis=0), (1 - phi) * specialization + phi * mean, specialization)


def measure(name, step, shown, repeats=5, steps=10):
    w = np.random.default_rng(1).normal(0, 1, (UNITS, INPUTS)).astype(np.float32)
    batches = [shown[start : start + BATCH] for start in range(0, steps * BATCH, BATCH)]
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        for batch in batches:
            step(w, batch)
        best = min(best, (time.perf_counter() - begin) / steps)
    print(f"{name}\t{1e3 * best:.4f} ms", flush=True)


if __name__ == "__main__":
    shown = images(1000)
    specialization = np.zeros(UNITS, np.float32)
    measure("forward product alone", lambda w, x: x @ w.T, shown)
    measure("Krotov-Hopfield, p=2 k=2", lambda w, x: krotov_hopfield(w, x, 2, 2), shown)
    measure("Krotov-Hopfield, p=3 k=7", lambda w, x: krotov_hopfield(w, x, 3, 7), shown)
    measure("CompSpec", lambda w, x: comp_spec(w, specialization, x), shown)
