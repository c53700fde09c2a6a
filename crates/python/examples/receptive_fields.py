"""What hidden units look for in digits: their weights, as pictures."""

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from hebbian import KrotovHopfield, load_mnist

X = load_mnist()[0].astype(np.float32) / 255
layer = KrotovHopfield(units=100, epochs=20, random_state=0, verbose=True).fit(X)

figure, axes = plt.subplots(10, 10, figsize=(8, 8), layout="constrained")
for axis, weights in zip(axes.flat, layer.weights_):
    largest = np.abs(weights).max()
    axis.imshow(weights.reshape(28, 28), cmap="bwr", vmin=-largest, vmax=largest)
    axis.set_axis_off()
path = sys.argv[1] if len(sys.argv) > 1 else "receptive_fields.png"
figure.savefig(path, dpi=100)
print(path)
