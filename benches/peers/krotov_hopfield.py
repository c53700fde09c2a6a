"""One learning step of Krotov-Hopfield and of CompSpec as the notebooks write them, in numpy, and as one writes
Krotov-Hopfield in PyTorch, where torch is installed:

    python3 benches/peers/krotov_hopfield.py [FOLDER_WITH_MNIST]

prints milliseconds a step at 2000 x 784 with a batch of 100, to set beside `cargo bench -p hebbian -- "2000 x 784"`. The
notebooks compute in float64; the same in float32 is there too. All of them touch all weights at every step; that, and
the passes it takes, is what they cost. Without a folder, random images of which 81 % is 0 stand in for MNIST's.
"""

import gzip
import os
import sys
import time

import numpy as np

try:
    import torch
except ImportError:
    torch = None

UNITS, INPUTS, BATCH = 2000, 784, 100


def images(count):
    if len(sys.argv) > 1:
        with gzip.open(os.path.join(sys.argv[1], "train-images-idx3-ubyte.gz")) as file:
            return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, INPUTS)[:count].astype(np.float32) / 255
    draws = np.random.default_rng(0)
    return np.where(draws.random((count, INPUTS)) < 0.19, draws.random((count, INPUTS)), 0).astype(np.float32)


def krotov_hopfield(w, x, p, k, rate=0.02, delta=0.4, floor=1e-30):
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


def comp_spec(w, x, specialization, rate=0.02, phi=0.1, floor=1e-12):
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


def krotov_hopfield_torch(w, x, p, k, rate=0.02, delta=0.4, floor=1e-30):
    drive = (w.sign() * w.abs() ** (p - 1)) @ x.T
    ranked = drive.topk(k, dim=0).indices
    strength = torch.zeros_like(drive)
    batch = torch.arange(x.shape[0])
    strength[ranked[0], batch] = 1
    strength[ranked[-1], batch] = -delta
    change = strength @ x - (strength * drive).sum(dim=1, keepdim=True) * w
    w += rate * change / change.abs().max().clamp(min=floor)


def measure(name, step, w, batches, repeats=20):
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        for batch in batches:
            step(w, batch)
        best = min(best, (time.perf_counter() - begin) / len(batches))
    print(f"{name}\t{1e3 * best:.4f} ms", flush=True)


if __name__ == "__main__":
    shown = np.split(images(1000), 10)
    begins = np.random.default_rng(1).normal(0, 1, (UNITS, INPUTS))
    measure("forward product alone", lambda w, x: x @ w.T, begins.astype(np.float32), shown)
    for kind, suffix in ((np.float64, ""), (np.float32, ", float32")):
        batches = [batch.astype(kind) for batch in shown]
        for p, k in ((2, 2), (3, 7)):
            step = lambda w, x: krotov_hopfield(w, x, p, k)
            measure(f"Krotov-Hopfield, p={p} k={k}{suffix}", step, begins.astype(kind), batches)
        specialization = np.zeros(UNITS, kind)
        step = lambda w, x: comp_spec(w, x, specialization)
        measure(f"CompSpec{suffix}", step, begins.astype(kind), batches)
    if torch:
        batches = [torch.from_numpy(batch) for batch in shown]
        for p, k in ((2, 2), (3, 7)):
            step = lambda w, x: krotov_hopfield_torch(w, x, p, k)
            w = torch.from_numpy(begins.astype(np.float32))
            measure(f"Krotov-Hopfield, p={p} k={k}, PyTorch", step, w, batches)
