"""How well two orders agree: Spearman's ρ, Kendall's τ-b, and the intraclass correlation, with its verdicts in words.

Undefined statistics (too few items, or no variance at all) are NaN, never 0. Ties get mid-ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE: Final = 0.95
NAN: Final = float("nan")
ROUNDING: Final = 1e-12  # of the mean squares: what is smaller is 0


@dataclass(frozen=True)
class Statistic:
    """A value with its 95 % confidence interval and p-value (of the value being 0), NaN where there is none."""

    value: float
    low: float = NAN
    high: float = NAN
    p: float = NAN


def spearman(x: ArrayLike, y: ArrayLike) -> Statistic:
    """Spearman's ρ of two series `(n,)` with mid-ranks for ties; p from the t distribution, interval from Fisher's z.

    The interval uses the standard error of Bonett and Wright (Psychometrika 2000), √((1 + ρ²/2) / (n − 3)).
    """
    x, y = _series(x, y)
    if len(x) < 3 or _constant(x) or _constant(y):
        return Statistic(NAN)
    result = stats.spearmanr(x, y)
    rho = float(result.statistic)
    if len(x) < 4 or abs(rho) >= 1:
        return Statistic(rho, p=float(result.pvalue))
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    centre = np.arctanh(rho)
    return Statistic(rho, float(np.tanh(centre - half)), float(np.tanh(centre + half)), float(result.pvalue))


def kendall(x: ArrayLike, y: ArrayLike) -> Statistic:
    """Kendall's τ-b of two series `(n,)`, with its p-value (exact for few items without ties)."""
    x, y = _series(x, y)
    if len(x) < 2 or _constant(x) or _constant(y):
        return Statistic(NAN)
    result = stats.kendalltau(x, y)
    return Statistic(float(result.statistic), p=float(result.pvalue))


@dataclass(frozen=True)
class MeanWithin:
    """The mean of a statistic over sets: `undefined` sets had none and are left out of `sets`."""

    mean: Statistic
    sets: int
    undefined: int


def within_spearman(people: ArrayLike, metric: ArrayLike) -> NDArray[np.float64]:
    """ρ within each of m sets of k items, `(m, k)` each: float64 `(m,)`, NaN where a side ties everything or k < 2."""
    x, y = (stats.rankdata(np.asarray(side, np.float64), axis=1) for side in (people, metric))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(axis=1) / np.where(spread > 0, spread, NAN))


def mean_within(statistics: NDArray[np.float64]) -> MeanWithin:
    """Mean over sets of one statistic a set, `(m,)`, with a t interval and p-value; NaN counts as undefined."""
    defined = statistics[~np.isnan(statistics)]
    return MeanWithin(_mean(defined), len(defined), len(statistics) - len(defined))


def _mean(values: NDArray[np.float64]) -> Statistic:
    if not len(values):
        return Statistic(NAN)
    mean = float(values.mean())
    if len(values) < 2 or _constant(values):
        return Statistic(mean)
    error = float(values.std(ddof=1)) / np.sqrt(len(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return Statistic(mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, len(values) - 1)))


@dataclass(frozen=True)
class IntraclassCorrelation:
    """Two-way random effects, absolute agreement: of one rater (`single`) and of the mean of all k (`average`).

    `average` flatters: with two raters on ranks it is about 2ρ/(1 + ρ). Quote `single` beside it.

    Both are ratios of variances that are estimated, not bounded, so raters who oppose each other take them below 0 and
    even below −1: `single` down to −n/(n − 2) for two raters who rank n items the opposite way, `average` without end.
    All of that reads "no agreement", and is given as it is, as R's psych and pingouin do. Where the variance that
    `average` is a share of comes out at 0 or less, it is NaN: the bare formula gives n there, for exact opposites.
    """

    single: Statistic
    average: Statistic


def intraclass_correlation(ratings: ArrayLike) -> IntraclassCorrelation:
    """ICC(2,1) and ICC(2,k) of ratings `(items, raters)`.

    Shrout and Fleiss, "Intraclass correlations: uses in assessing rater reliability", Psychological Bulletin 1979;
    intervals as McGraw and Wong give them (Psychological Methods 1996, table 7), p from F = MSR/MSE. NaN with fewer
    than two items or raters, where nothing varies, and where raters oppose each other so far that nothing is left to
    divide by. Raises `ValueError` for another shape.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"ratings must have the shape (items, raters), these have {table.shape}")
    n, k = table.shape
    if n < 2 or k < 2 or _constant(table):
        return IntraclassCorrelation(Statistic(NAN), Statistic(NAN))
    mean = table.mean()
    items, raters = table.mean(axis=1), table.mean(axis=0)
    residual = table - items[:, np.newaxis] - raters + mean
    ms_items = k * float(((items - mean) ** 2).sum()) / (n - 1)
    ms_raters = n * float(((raters - mean) ** 2).sum()) / (k - 1)
    ms_error = float((residual**2).sum()) / ((n - 1) * (k - 1))
    return _from_mean_squares(ms_items, ms_raters, ms_error, n, k)


def _from_mean_squares(ms_items: float, ms_raters: float, ms_error: float, n: int, k: int) -> IntraclassCorrelation:
    single = _ratio(ms_items - ms_error, ms_items + (k - 1) * ms_error + k * (ms_raters - ms_error) / n)
    if ms_error <= ROUNDING * (ms_items + ms_raters):
        ms_error = 0.0
        if ms_raters <= ROUNDING * ms_items:  # perfect agreement
            return IntraclassCorrelation(Statistic(1.0, 1.0, 1.0, 0.0), Statistic(1.0, 1.0, 1.0, 0.0))
    f_ratio = ms_items / ms_error if ms_error else float("inf")
    p = float(stats.f.sf(f_ratio, n - 1, (n - 1) * (k - 1)))
    low, high = _interval(single, ms_items, ms_raters, ms_error, n, k)
    variance = ms_items + (ms_raters - ms_error) / n  # k times that of the raters' mean
    average = (ms_items - ms_error) / variance if variance > ROUNDING * (ms_items + ms_raters + ms_error) else NAN
    return IntraclassCorrelation(
        Statistic(single, low, high, p),
        Statistic(average, _stepped_up(low, k), _stepped_up(high, k), p),
    )


def _interval(single: float, ms_items: float, ms_raters: float, ms_error: float, n: int, k: int) -> tuple[float, float]:
    # Satterthwaite's degrees of freedom of the denominator a·MSC + b·MSE.
    a = k * single / (n * (1 - single))
    b = 1 + k * single * (n - 1) / (n * (1 - single))
    degrees = _ratio(
        (a * ms_raters + b * ms_error) ** 2,
        (a * ms_raters) ** 2 / (k - 1) + (b * ms_error) ** 2 / ((n - 1) * (k - 1)),
    )
    quantile = (1 + CONFIDENCE) / 2
    rest = k * ms_raters + (k * n - k - n) * ms_error
    above, below = float(stats.f.ppf(quantile, n - 1, degrees)), float(stats.f.ppf(quantile, degrees, n - 1))
    low = _ratio(n * (ms_items - above * ms_error), above * rest + n * ms_items)
    high = _ratio(n * (below * ms_items - ms_error), rest + n * below * ms_items)
    return low, high


def _ratio(numerator: float, denominator: float) -> float:
    """NaN where the denominator is 0: raters who contradict each other exactly leave nothing to divide by."""
    return numerator / denominator if denominator else NAN


def _stepped_up(single: float, k: int) -> float:
    """Spearman and Brown: what the mean of k raters reaches where one reaches `single`."""
    denominator = 1 + (k - 1) * single
    return k * single / denominator if denominator > 0 else NAN


def koo_li(icc: float) -> str:
    """Koo and Li, "A guideline of selecting and reporting intraclass correlation coefficients", 2016."""
    return _category(icc, ((0.5, "poor"), (0.75, "moderate"), (0.9, "good")), "excellent")


def cicchetti(icc: float) -> str:
    """Cicchetti, "Guidelines, criteria, and rules of thumb…", Psychological Assessment 1994."""
    return _category(icc, ((0.4, "poor"), (0.6, "fair"), (0.75, "good")), "excellent")


def _category(icc: float, limits: Sequence[tuple[float, str]], best: str) -> str:
    if np.isnan(icc):
        return "undefined"
    return next((name for limit, name in limits if icc < limit), best)


def _series(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"expected two series of the same length, these have {first.shape} and {second.shape}")
    return first, second


def _constant(values: NDArray[np.float64]) -> bool:
    return bool((values == values.flat[0]).all())
