"""A learned layer as a frozen `torch.nn.Module`. Only this module needs PyTorch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Frozen"]


class Transformer(Protocol):
    """Whatever makes features of arrays: a fitted estimator of this package, or a `hebbian.Model`."""

    def transform(self, X: Any) -> np.ndarray: ...


class Frozen(nn.Module):
    """A layer that has learned, in front of modules that are trained with gradients. None flows through it.

    Tensors on the CPU that are contiguous float32 (or uint8, for a model of bytes) are read where they lie, and what comes
    out lies where NumPy put it: no copy is made on either side.

    Parameters
    ----------
    layer : object
        A fitted estimator of this package, or a `hebbian.Model`.

    Examples
    --------
    >>> import torch
    >>> from hebbian import SoftHebb
    >>> from hebbian.torch import Frozen
    >>> X = torch.rand(100, 20)
    >>> layer = SoftHebb(units=8, random_state=0).fit(X.numpy())
    >>> network = torch.nn.Sequential(Frozen(layer), torch.nn.Linear(8, 3))
    >>> network(X).shape
    torch.Size([100, 3])
    """

    def __init__(self, layer: Transformer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        """The features of `inputs (samples, ...)`, `(samples, features)`, on their device."""
        rows = np.from_dlpack(inputs.detach().flatten(1).cpu().contiguous())
        return torch.from_dlpack(self.layer.transform(rows)).to(inputs.device)
