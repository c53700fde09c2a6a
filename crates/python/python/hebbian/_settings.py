"""Parameters of estimators as the native half takes them."""

from __future__ import annotations

import numbers
from contextlib import contextmanager
from typing import Any, Iterator, Optional

import numpy as np
from sklearn.utils import check_random_state


def plain(value: Any) -> Any:
    """Python's own kind of `value`, where NumPy has one of its own."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return value


def seed(random_state: Any) -> int:
    """A whole number: `random_state` itself, or one that is drawn from it."""
    if isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool):
        number = int(random_state)
        if not 0 <= number < 2**64:
            raise ValueError(f"random_state = {number} is not allowed: 0 to 2**64 - 1")
        return number
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def threads(n_jobs: Optional[int]) -> Optional[int]:
    """How many threads `n_jobs` means; None is all cores, as are more than there are."""
    if n_jobs is None:
        return None
    if not isinstance(n_jobs, numbers.Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs = {n_jobs} is not allowed: None or a whole number other than 0")
    if n_jobs > 0:
        return int(min(n_jobs, 2**31))
    import joblib

    return max(1, joblib.cpu_count() + 1 + int(n_jobs))


@contextmanager
def unchanged_on_failure(estimator: object) -> Iterator[None]:
    """Whatever is raised inside, `estimator` is then as it was before."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
