"""MNIST, which the package carries, so that what it says can be tried without a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hebbian._native import mnist


def load_mnist() -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint32]]:
    """MNIST's handwritten digits, in their published order.

    Returns
    -------
    X_train : ndarray of shape (60000, 784), uint8
        Pixels, 0 to 255.
    y_train : ndarray of shape (60000,), uint32
        Which digit each is.
    X_test : ndarray of shape (10000, 784), uint8
        Pixels.
    y_test : ndarray of shape (10000,), uint32
        Which digit each is.
    """
    (X_train, y_train), (X_test, y_test) = mnist()
    return X_train, y_train, X_test, y_test
