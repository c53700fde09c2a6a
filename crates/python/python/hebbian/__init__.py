"""Local learning rules as scikit-learn estimators.

A synapse changes by what its own two ends see: no labels, no error that is passed back, no gradient. Each rule is a
transformer with `fit`, `partial_fit` and `transform`; `SoftmaxReadout` and `WinnerTakeAll` read classes from what was
learned, and `Model` answers with layers that were trained before, here or by the programs of Rust.
"""

import os

# Read by the native half, which is loaded below: without it candle counts the processor's cores at each product, which
# takes as long as a small one.
os.environ.setdefault("RAYON_NUM_THREADS", str(os.cpu_count() or 1))

from hebbian._estimators import (
    CompSpec,
    Convolution,
    Foldiak,
    Invariance,
    KrotovHopfield,
    MultiWinner,
    Pooling,
    Power,
    SoftHebb,
    SoftmaxReadout,
    SpatialPooler,
    Stack,
    Standardize,
    Triangle,
    WinnerTakeAll,
)
from hebbian._base import Learner
from hebbian._digits import load_mnist
from hebbian._model import Model

#: The fitted estimator in a safetensors file: see `Learner.load`.
load = Learner.load

__all__ = [
    "CompSpec",
    "Convolution",
    "Foldiak",
    "Invariance",
    "KrotovHopfield",
    "Learner",
    "Model",
    "MultiWinner",
    "Pooling",
    "Power",
    "SoftHebb",
    "SoftmaxReadout",
    "SpatialPooler",
    "Stack",
    "Standardize",
    "Triangle",
    "WinnerTakeAll",
    "load",
    "load_mnist",
]
