"""Contingency tables of ranks: ρ, τ-b and the ICCs of pooled ranks, from counts that a resampling test can add up."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.icc import ROUNDING
from clpips.models.agreement.statistic import NAN

RANK_STATISTICS: Final = ("spearman", "icc2_1", "icc2_k", "kendall")


@dataclass(frozen=True, eq=False)
class RankTable:
    """Contingency table of people's rank against a metric's for each of c cells: all that pooled statistics need.

    `values` are the v distinct within-set ranks, ascending; `counts`, float64 `(c, v, v)`, says how often people
    gave the first and the metric the second.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.float64]


def rank_table(
    people: NDArray[np.float64], metric: NDArray[np.float64], cells: NDArray[np.intp], values: NDArray[np.float64]
) -> RankTable:
    """Count within-set ranks `(n,)` of n images; `cells` `(n,)` numbers their cell from 0.

    >>> ranks = np.array([1.0, 2.0])
    >>> rank_table(ranks, ranks, np.array([0, 0]), values=ranks).counts
    array([[[1., 0.],
            [0., 1.]]])
    """
    shape = (int(cells.max()) + 1 if len(cells) else 0, len(values), len(values))
    counts = np.zeros(shape)  # (c, v, v)
    np.add.at(counts, (cells, np.searchsorted(values, people), np.searchsorted(values, metric)), 1)
    return RankTable(values, counts)


def pooled_statistics(counts: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's ρ, ICC(2,1), ICC(2,2) and τ-b of pooled ranks, from counts `(…, v, v)`: float64 `(…, 4)`.

    They are NaN where `correlation.py` and `icc.py` say so.
    """
    people, metric = counts.sum(axis=-1), counts.sum(axis=-2)  # (…, v)
    n = people.sum(axis=-1)  # (…)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = _spearman(counts, people, metric)
        # Two raters: every mean square follows from the sums of the items' sums and differences. All below is (…).
        mean_people, mean_metric = people @ values / n, metric @ values / n
        square_people, square_metric = people @ values**2, metric @ values**2
        product = np.einsum("...ij,i,j->...", counts, values, values)
        total = square_people + square_metric + 2 * product
        ms_items = (total / 2 - n * (mean_people + mean_metric) ** 2 / 2) / (n - 1)
        gap = mean_people - mean_metric
        ms_raters = n * gap**2 / 2
        ms_error = ((square_people + square_metric - 2 * product) / 2 - n * gap**2 / 2) / (n - 1)
        whole = ms_items + ms_error + 2 * (ms_raters - ms_error) / n
        positive = whole > ROUNDING * (ms_items + ms_raters + ms_error)  # not of two items in opposite orders
        single = (ms_items - ms_error) / np.where(positive, whole, NAN)
        variance = ms_items + (ms_raters - ms_error) / n
        positive = variance > ROUNDING * (ms_items + ms_raters + ms_error)
        average = (ms_items - ms_error) / np.where(positive, variance, NAN)
    return np.stack([rho, single, average, _kendall(counts, people, metric)], axis=-1)


def _spearman(
    counts: NDArray[np.float64], people: NDArray[np.float64], metric: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pearson's correlation of the pooled mid-ranks, `(…)`; `people` and `metric` are the counts' margins `(…, v)`."""
    n = people.sum(axis=-1)  # (…)
    x, y = _mid_ranks(people), _mid_ranks(metric)  # (…, v)
    x = x - ((people * x).sum(axis=-1) / n)[..., np.newaxis]
    y = y - ((metric * y).sum(axis=-1) / n)[..., np.newaxis]
    covariance = np.einsum("...ij,...i,...j->...", counts, x, y)  # (…)
    spread = np.sqrt((people * x**2).sum(axis=-1) * (metric * y**2).sum(axis=-1))  # (…)
    return np.asarray(covariance / spread)


def _kendall(
    counts: NDArray[np.float64], people: NDArray[np.float64], metric: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Kendall's τ-b, `(…)`: of each pair of cells of a table, whether its ranks agree, over those that are not tied."""
    above = np.cumsum(counts, axis=-2) - counts  # of the smaller ranks by people, (…, v, v)
    agreeing = np.cumsum(above, axis=-1) - above  # and smaller by the metric
    opposed = above.sum(axis=-1, keepdims=True) - np.cumsum(above, axis=-1)  # and larger by the metric
    concordance = (counts * (agreeing - opposed)).sum(axis=(-2, -1))  # (…)
    total = people.sum(axis=-1) ** 2  # (…), each pair twice, and each item with itself
    untied = (total - (people**2).sum(axis=-1)) * (total - (metric**2).sum(axis=-1))
    return np.asarray(2 * concordance / np.sqrt(np.where(untied > 0, untied, NAN)))


def _mid_ranks(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pooled mid-rank of each value from its counts, `(…, v)` both."""
    return np.cumsum(counts, axis=-1) - (counts - 1) / 2
