"""A rule in a pipeline, its parameters chosen by cross-validation."""

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from hebbian import KrotovHopfield, SoftmaxReadout

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0)

hidden = KrotovHopfield(encoding="power", k=2, epochs=20, batch_size=20, random_state=0)
model = make_pipeline(MinMaxScaler(), hidden, SoftmaxReadout(learning_rate=0.01, random_state=0))
grid = {
    "krotovhopfield__units": [50, 200],
    "krotovhopfield__p": [2.0, 3.0],
    "krotovhopfield__learning_rate": [0.05, 0.2],
}
search = GridSearchCV(model, grid, cv=3).fit(X, y)

print("chosen:", search.best_params_)
print(f"cross-validation {100 * search.best_score_:.1f} %, test {100 * search.score(X_test, y_test):.1f} %")
