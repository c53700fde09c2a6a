"""One's own images: a folder per class, two layers, and a model that is kept.

python own_data.py DIR       # DIR/CLASS/*.png, all of one size
"""

import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hebbian import Convolution, Pooling, SoftHebb, SoftmaxReadout, Stack, Triangle, load_mnist


def some_digits() -> Path:
    """A folder like one's own: a few digits of MNIST as image files."""
    folder = Path(tempfile.mkdtemp())
    X, y, _, _ = load_mnist()
    for place, (image, digit) in enumerate(zip(X[:2000], y)):
        (folder / str(digit)).mkdir(exist_ok=True)
        Image.fromarray(image.reshape(28, 28)).save(folder / str(digit) / f"{place}.png")
    return folder


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else some_digits()
paths = sorted(folder.glob("*/*.png"))
images = np.stack([np.asarray(Image.open(path).convert("L"), np.float32) / 255 for path in paths])
classes = np.array([path.parent.name for path in paths])
height, width = images.shape[1:]
train, test, y_train, y_test = train_test_split(
    images.reshape(len(images), -1), classes, test_size=0.25, random_state=0, stratify=classes
)

layers = [
    Convolution(SoftHebb(units=64), kernel=5, input=(1, height, width)),
    Triangle(power=1.0),
    Pooling(kernel=4, stride=4),
]
network = Stack(layers, epochs=2, batch_size=10, schedule="constant", random_state=0, verbose=True)
model = make_pipeline(network, StandardScaler(), SoftmaxReadout(epochs=30, random_state=0))
model.fit(train, y_train)
print(f"{len(train)} images of {len(set(classes))} classes: test accuracy {100 * model.score(test, y_test):.1f} %")

joblib.dump(model, "model.joblib")
print(joblib.load("model.joblib").predict(test[:5]), y_test[:5])
