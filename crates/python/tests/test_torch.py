"""Learned layers in PyTorch's networks; skipped where PyTorch is not installed."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hebbian import Model, SoftHebb, load_mnist  # noqa: E402
from hebbian.torch import Frozen  # noqa: E402

X = torch.rand(50, 16, generator=torch.Generator().manual_seed(0))


def test_a_frozen_layer_answers_as_the_estimator_does():
    layer = SoftHebb(units=4, random_state=0).fit(X.numpy())
    answer = Frozen(layer)(X.reshape(50, 1, 4, 4))
    assert np.array_equal(answer.numpy(), layer.transform(X.numpy()))


def test_only_what_is_behind_a_frozen_layer_learns():
    layer = SoftHebb(units=4, random_state=0).fit(X.numpy())
    network = torch.nn.Sequential(Frozen(layer), torch.nn.Linear(4, 2))
    network(X).sum().backward()
    assert [name for name, _ in network.named_parameters()] == ["1.weight", "1.bias"]
    assert all(one.grad is not None for one in network.parameters())


def test_a_published_layer_reads_tensors_of_bytes_where_they_lie():
    images = torch.from_numpy(load_mnist()[2][:5])
    read = []

    class Seen:
        def transform(self, rows):
            read.append(rows)
            return Model.load("kh_mnist").transform(rows)

    assert Frozen(Seen())(images).shape == (5, 2000)
    assert read[0].ctypes.data == images.data_ptr()


def test_arrays_come_from_tensors_without_a_copy():
    layer = SoftHebb(units=4, random_state=0)
    assert np.array_equal(layer.fit(X).weights_, layer.fit(X.numpy()).weights_)
