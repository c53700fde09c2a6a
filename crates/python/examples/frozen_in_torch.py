"""A learned layer in front of a classifier of PyTorch."""

import torch
from torch import nn

from hebbian import Model, load_mnist
from hebbian.torch import Frozen

X, y, X_test, y_test = map(torch.from_numpy, load_mnist())
y, y_test = y.long(), y_test.long()

torch.manual_seed(0)
network = nn.Sequential(Frozen(Model.load("kh_mnist")), nn.Linear(2000, 10))
features, classifier = network[0](X[:10_000]), network[1]

optimizer = torch.optim.Adam(classifier.parameters(), lr=1e-3)
for epoch in range(5):
    for batch in torch.randperm(len(features)).split(100):
        loss = nn.functional.cross_entropy(classifier(features[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

with torch.no_grad():
    right = (network(X_test).argmax(dim=1) == y_test).float().mean()
print(f"test accuracy {100 * right:.2f} % from 10 000 labels")
