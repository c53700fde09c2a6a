"""The notebook's two layers in numpy, float64 as there and float32, on frames like the tapestry's: what `cargo bench` is compared with.

    python3 benches/peers/invariance.py FOLDER_WITH_MNIST
    cargo bench --bench learning_step -- "one at a time"

Without a folder, strokes stand in for MNIST's digits. Each prints frames per second with 900 / 100 units, 400 inputs, both layers learning from one frame at a time.
"""
import gzip
import os
import sys
import time

import numpy as np

UNITS, TOP, SIDE, WINNERS, FRAMES = 900, 100, 20, 4, 1000
XI, ALPHA, ON, OFF, FLOOR = 0.008, 1 / 3, 0.05, 0.0005, 1e-10


def images():
    """MNIST's training images from the folder given, or strokes with as much ink where there is none."""
    if len(sys.argv) > 1:
        with gzip.open(os.path.join(sys.argv[1], "train-images-idx3-ubyte.gz")) as file:
            return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[3000:3900] / 255.0
    rng = np.random.default_rng(0)
    blobs = np.zeros((900, 28, 28))
    for blob in blobs:
        for _ in range(4):
            x, y, along = rng.integers(5, 15), rng.integers(5, 15), rng.integers(2)
            blob[y : y + (9 if along else 3), x : x + (3 if along else 9)] = 1
    return blobs


def frames():
    tapestry = images().reshape(30, 30, 28, 28).transpose(1, 2, 0, 3).reshape(840, 840)
    rng = np.random.default_rng(1)
    place, speed, seen = np.full(2, 420.0), np.zeros(2), []
    for frame in range(FRAMES):
        if frame % 20 == 0:
            push = rng.uniform(-1, 1, 2)
        place, speed = place + speed, np.clip(speed + push, -3, 3)
        x, y = place.astype(int) % 812
        seen.append(tapestry[y : y + SIDE, x : x + SIDE].ravel())
    return np.array(seen, np.float32)


def learn(v, sw, iw, io):
    p = sw @ v
    winners = np.argsort(-p, kind="stable")[:WINNERS]
    active = np.zeros_like(p)
    active[winners] = p[winners]
    r = sw.T @ active
    sw += sw * active[:, None] * ((v - r) / np.maximum(r, FLOOR)) * XI
    so = active / sw.sum(axis=1)
    io += (iw @ so - io) * ALPHA
    r = iw.T @ io
    zeta = np.where(so > 0, ON, OFF)
    iw += iw * io[:, None] * ((so - r) * zeta / np.maximum(r, FLOOR))


def learn_winners_only(v, sw, iw, io):
    """The same with the one saving that the notebook lacks: only the winners' rows are touched."""
    p = sw @ v
    winners = np.argsort(-p, kind="stable")[:WINNERS]
    a, rows = p[winners], sw[winners]
    r = a @ rows
    rows += rows * a[:, None] * ((v - r) / np.maximum(r, FLOOR)) * XI
    sw[winners] = rows
    so = np.zeros_like(p)
    so[winners] = a / rows.sum(axis=1)
    io += (iw @ so - io) * ALPHA
    r = iw.T @ io
    zeta = np.where(so > 0, ON, OFF)
    iw += iw * io[:, None] * ((so - r) * zeta / np.maximum(r, FLOOR))


rng = np.random.default_rng(2)
shown = frames()
print(f"{np.mean(shown != 0):.3f} of the pixels are on")
for kind in (np.float64, np.float32):
    for step in (learn, learn_winners_only):
        sw = rng.uniform(0, 0.2, (UNITS, SIDE * SIDE)).astype(kind)
        iw = rng.uniform(0, 0.1, (TOP, UNITS)).astype(kind)
        io, stream = np.zeros(TOP, kind), shown.astype(kind)
        rates = []
        for _ in range(3):
            begin = time.perf_counter()
            for v in stream:
                step(v, sw, iw, io)
            rates.append(FRAMES / (time.perf_counter() - begin))
        print(f"{step.__name__}, {kind.__name__}: {max(rates):.0f} frames per second at best of {len(rates)}")
        if step is learn:
            suffix = ", float32" if kind is np.float32 else ""
            print(f"multi-winner and invariance{suffix}\t{1e3 / max(rates):.4f} ms")
