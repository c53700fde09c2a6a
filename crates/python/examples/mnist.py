"""MNIST: hidden units that never see a label, and a readout on them. About a minute on two cores."""

from time import perf_counter

import numpy as np
from sklearn.pipeline import make_pipeline

from hebbian import KrotovHopfield, SoftmaxReadout, load_mnist

X, y, X_test, y_test = load_mnist()
X, X_test = X.astype(np.float32) / 255, X_test.astype(np.float32) / 255

hidden = KrotovHopfield(units=2000, epochs=40, encoding="power", random_state=0, verbose=True)
readout = SoftmaxReadout(epochs=20, learning_rate=2e-3, loss="cross-entropy:0.1", random_state=0, verbose=True)
model = make_pipeline(hidden, readout)

begin = perf_counter()
model.fit(X, y)
print(f"learned in {perf_counter() - begin:.0f} s")
print(f"test accuracy {100 * model.score(X_test, y_test):.2f} %")
hidden.save("hidden.safetensors")
