"""Intraclass correlation (ICC): absolute agreement of raters, its intervals, and its verdicts in words.

SciPy is loaded with the first p-value or interval (see `correlation.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clpips.models.agreement.statistic import CONFIDENCE, NAN, Statistic, is_constant, undefined

ROUNDING: Final = 1e-12  # of the mean squares: what is smaller is 0
FEWEST_ITEMS: Final = 3  # two items leave one degree of freedom: F then says nothing


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
    intervals as McGraw and Wong give them (Psychological Methods 1996, table 7), p from F = MSR/MSE; both need three
    items or more. NaN with fewer than two items or raters, where nothing varies, and where raters oppose each other so
    far that nothing is left to divide by. Raises `ValueError` for another shape.

    >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> icc = intraclass_correlation(ratings)  # Shrout and Fleiss's table 2
    >>> round(icc.single.value, 2), round(icc.average.value, 2)
    (0.29, 0.62)
    """
    table = _table(ratings)
    if why := _undefined(table):
        return IntraclassCorrelation(undefined(why), undefined(why))
    n, k = table.shape
    result = _from_mean_squares(*_mean_squares(table), n, k)
    if n >= FEWEST_ITEMS:
        return result
    return IntraclassCorrelation(*(Statistic(each.value, why=each.why) for each in (result.single, result.average)))


def average_agreement(ratings: ArrayLike) -> float:
    """The value of ICC(2,k) alone, as `intraclass_correlation` gives it; NaN where it is undefined."""
    table = _table(ratings)
    return NAN if _undefined(table) else _values(*_mean_squares(table), *table.shape)[1]


def _table(ratings: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(ratings, dtype=np.float64)  # (n, k)
    if table.ndim != 2:
        raise ValueError(f"ratings must have the shape (items, raters), these have {table.shape}")
    return table


def _undefined(table: NDArray[np.float64]) -> str:
    """Why there is no ICC of ratings `(n, k)`; empty where there is."""
    if min(table.shape) < 2:
        return "it takes two images and two raters"
    return "nothing varies" if is_constant(table) else ""


def _mean_squares(table: NDArray[np.float64]) -> tuple[float, float, float]:
    """Of items, of raters, and of the error: a two-way analysis of variance of `(n, k)`."""
    n, k = table.shape
    mean = table.mean()
    items, raters = table.mean(axis=1), table.mean(axis=0)  # (n,), (k,)
    residual = table - items[:, np.newaxis] - raters + mean  # (n, k)
    ms_items = k * float(((items - mean) ** 2).sum()) / (n - 1)
    ms_raters = n * float(((raters - mean) ** 2).sum()) / (k - 1)
    return ms_items, ms_raters, float((residual**2).sum()) / ((n - 1) * (k - 1))


def _values(ms_items: float, ms_raters: float, ms_error: float, n: int, k: int) -> tuple[float, float]:
    """ICC(2,1) and ICC(2,k) from the mean squares of n items by k raters; NaN where raters oppose each other."""
    single = _ratio(ms_items - ms_error, ms_items + (k - 1) * ms_error + k * (ms_raters - ms_error) / n)
    if ms_error <= ROUNDING * (ms_items + ms_raters):
        ms_error = 0.0
        if ms_raters <= ROUNDING * ms_items:  # perfect agreement
            return 1.0, 1.0
    variance = ms_items + (ms_raters - ms_error) / n  # k times that of the raters' mean
    if np.isnan(single) or variance <= ROUNDING * (ms_items + ms_raters + ms_error):
        return single, NAN
    return single, (ms_items - ms_error) / variance


def _from_mean_squares(ms_items: float, ms_raters: float, ms_error: float, n: int, k: int) -> IntraclassCorrelation:
    """Both ICCs with their intervals and p-values."""
    single, average = _values(ms_items, ms_raters, ms_error, n, k)
    if ms_error <= ROUNDING * (ms_items + ms_raters):
        ms_error = 0.0
        if ms_raters <= ROUNDING * ms_items:
            return IntraclassCorrelation(Statistic(1.0, 1.0, 1.0, 0.0), Statistic(1.0, 1.0, 1.0, 0.0))
    from scipy import special

    f_ratio = ms_items / ms_error if ms_error else float("inf")
    p = float(special.fdtrc(n - 1, (n - 1) * (k - 1), f_ratio))
    low, high = _interval(single, ms_items, ms_raters, ms_error, n, k)
    if np.isnan(average):
        opposed = undefined("the raters oppose each other")
        return IntraclassCorrelation(opposed if np.isnan(single) else Statistic(single, low, high, p), opposed)
    return IntraclassCorrelation(
        Statistic(single, low, high, p),
        Statistic(average, _stepped_up(low, k), _stepped_up(high, k), p),
    )


def _interval(single: float, ms_items: float, ms_raters: float, ms_error: float, n: int, k: int) -> tuple[float, float]:
    """Confidence interval of ICC(2,1), with Satterthwaite's degrees of freedom of its denominator a·MSC + b·MSE."""
    a = k * single / (n * (1 - single))
    b = 1 + k * single * (n - 1) / (n * (1 - single))
    degrees = _ratio(
        (a * ms_raters + b * ms_error) ** 2,
        (a * ms_raters) ** 2 / (k - 1) + (b * ms_error) ** 2 / ((n - 1) * (k - 1)),
    )
    from scipy import special

    quantile = (1 + CONFIDENCE) / 2
    rest = k * ms_raters + (k * n - k - n) * ms_error
    above, below = float(special.fdtri(n - 1, degrees, quantile)), float(special.fdtri(degrees, n - 1, quantile))
    low = _ratio(n * (ms_items - above * ms_error), above * rest + n * ms_items)
    high = _ratio(n * (below * ms_items - ms_error), rest + n * below * ms_items)
    return low, high


def _ratio(numerator: float, denominator: float) -> float:
    """NaN where the denominator is 0: raters who contradict each other exactly leave nothing to divide by."""
    return numerator / denominator if denominator else NAN


def _stepped_up(single: float, k: int) -> float:
    """Spearman-Brown formula: what the mean of k raters reaches where one reaches `single`."""
    denominator = 1 + (k - 1) * single
    return k * single / denominator if denominator > 0 else NAN


def koo_li(icc: float) -> str:
    """Verdict of Koo and Li, "A guideline of selecting and reporting intraclass correlation coefficients", 2016.

    >>> koo_li(0.8)
    'good'
    """
    return _category(icc, ((0.5, "poor"), (0.75, "moderate"), (0.9, "good")), "excellent")


def cicchetti(icc: float) -> str:
    """Verdict of Cicchetti, "Guidelines, criteria, and rules of thumb…", Psychological Assessment 1994.

    >>> cicchetti(0.8)
    'excellent'
    """
    return _category(icc, ((0.4, "poor"), (0.6, "fair"), (0.75, "good")), "excellent")


def _category(icc: float, limits: Sequence[tuple[float, str]], best: str) -> str:
    if np.isnan(icc):
        return "undefined"
    return next((name for limit, name in limits if icc < limit), best)
