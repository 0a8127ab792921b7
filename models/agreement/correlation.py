"""Rank correlation: Spearman's ρ and Kendall's τ-b, of series as they are and as means over sets.

A statistic that is undefined (too few items, or no variance at all) is NaN, never 0. Ties get mid-ranks. SciPy is
loaded with the first p-value or interval: a process that fits asks for neither, and would start a third later.
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clpips.models.agreement.mid_ranks import mid_ranks
from clpips.models.agreement.statistic import CONFIDENCE, NAN, Statistic, is_constant, undefined

EXACT_ITEMS: Final = 8  # 8! = 40,320 orders


def spearman(x: ArrayLike, y: ArrayLike) -> Statistic:
    """Spearman's ρ of two series `(n,)` with mid-ranks for ties; p exact up to `EXACT_ITEMS`, else from t.

    Exact: ρ of every order of one series, two-sided as in `_exact_p`. The interval, from Fisher's z, uses the standard
    error of Bonett and Wright (Psychometrika 2000), √((1 + ρ²/2) / (n − 3)).

    >>> round(spearman([1, 2, 3, 4], [1, 2, 4, 3]).value, 2)
    0.8
    >>> round(spearman([1, 2, 3], [1, 2, 3]).p, 2)  # of six orders, two are as extreme
    0.33
    """
    x, y = _series(x, y)
    if why := _undefined(x, y, fewest=3):
        return undefined(why)
    first, second = (mid_ranks(side) - (len(side) + 1) / 2 for side in (x, y))  # (n,)
    rho = float(np.clip(first @ second / np.sqrt((first @ first) * (second @ second)), -1, 1))
    exact = len(x) <= EXACT_ITEMS
    p = _exact_p(second[_orders(len(x))] @ first) if exact else _spearman_p(rho, len(x))
    if len(x) < 4 or abs(rho) >= 1:
        return Statistic(rho, p=p)
    from scipy import special

    half = special.ndtri((1 + CONFIDENCE) / 2) * np.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    centre = np.arctanh(rho)
    return Statistic(rho, float(np.tanh(centre - half)), float(np.tanh(centre + half)), p)


def _spearman_p(rho: float, count: int) -> float:
    """Two-sided p-value of Spearman's ρ of so many items, from t."""
    if abs(rho) >= 1:
        return 0.0
    from scipy import special

    t = rho * np.sqrt((count - 2) / ((1 + rho) * (1 - rho)))
    return float(2 * special.stdtr(count - 2, -abs(t)))


def kendall(x: ArrayLike, y: ArrayLike) -> Statistic:
    """Kendall's τ-b of two series `(n,)`, with its p-value: exact up to `EXACT_ITEMS`, and up to 33 items without ties.

    >>> round(kendall([1, 2, 3, 4], [1, 2, 4, 3]).value, 2)
    0.67
    """
    x, y = _series(x, y)
    if why := _undefined(x, y, fewest=2):
        return undefined(why)
    from scipy import stats  # what fits to a person's rankings never comes here

    result = stats.kendalltau(x, y)
    if len(x) > EXACT_ITEMS:
        return Statistic(float(result.statistic), p=float(result.pvalue))
    signs = [np.sign(np.subtract.outer(side, side)) for side in (x, y)]  # (n, n) each
    orders = _orders(len(x))  # (n!, n)
    permuted = signs[1][orders[:, :, np.newaxis], orders[:, np.newaxis, :]]  # (n!, n, n)
    return Statistic(float(result.statistic), p=_exact_p(np.einsum("ij,bij->b", signs[0], permuted)))


def _undefined(x: NDArray[np.float64], y: NDArray[np.float64], fewest: int) -> str:
    """Why there is no correlation, or nothing."""
    if len(x) < fewest:
        return f"it takes {fewest} images"
    return "all are tied" if is_constant(x) or is_constant(y) else ""


@cache
def _orders(count: int) -> NDArray[np.intp]:
    """All orders of so many items, `(count!, count)`, as they are first."""
    return np.array(list(permutations(range(count))), np.intp)


def _exact_p(values: NDArray[np.float64]) -> float:
    """Two-sided p-value of the first of all orders' values, `(n!,)`: twice the share of the rarer tail."""
    slack = 1e-9 * (1 + np.abs(values).max())
    above, below = (values >= values[0] - slack).mean(), (values <= values[0] + slack).mean()
    return min(1.0, 2 * float(min(above, below)))


@dataclass(frozen=True)
class MeanWithin:
    """Mean of a statistic over sets: `undefined` sets had none and are left out of `sets`."""

    mean: Statistic
    sets: int
    undefined: int


def within_spearman(people: ArrayLike, metric: ArrayLike) -> NDArray[np.float64]:
    """Spearman's ρ within each of m sets of k items, `(m, k)` each: float64 `(m,)`.

    NaN where a side ties everything, or k < 2.

    >>> within_spearman([[1, 2, 3], [1, 2, 3]], [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    array([ 1., -1.])
    """
    x, y = (mid_ranks(np.asarray(side, np.float64)) for side in (people, metric))  # (m, k)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))  # (m,)
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(axis=1) / np.where(spread > 0, spread, NAN))


def mean_within(statistics: NDArray[np.float64]) -> MeanWithin:
    """Mean over sets of one statistic a set, `(m,)`, with a t interval and p-value; NaN counts as undefined.

    >>> mean_within(np.array([0.5, NAN, 1.0])).mean.value
    0.75
    """
    defined = statistics[~np.isnan(statistics)]
    return MeanWithin(_mean(defined), len(defined), len(statistics) - len(defined))


def mean_value(statistics: NDArray[np.float64]) -> float:
    """The value of `mean_within` alone: the mean of those of `(m,)` that are not NaN, and NaN where there are none."""
    defined = statistics[~np.isnan(statistics)]
    return float(defined.mean()) if len(defined) else NAN


def _mean(values: NDArray[np.float64]) -> Statistic:
    if not len(values):
        return undefined("no set has an order to compare with")
    mean = mean_value(values)
    if len(values) < 2 or is_constant(values):
        return Statistic(mean)
    from scipy import special

    error = float(values.std(ddof=1)) / np.sqrt(len(values))
    half = float(special.stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * error
    return Statistic(mean, mean - half, mean + half, float(2 * special.stdtr(len(values) - 1, -abs(mean) / error)))


def _series(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"expected two series of the same length, these have {first.shape} and {second.shape}")
    return first, second
