"""Cluster bootstrap: is one metric closer to people than another?

Whole target sets are resampled, because the rankings of a set hang together, and both metrics on the same resamples.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.rank_tables import RANK_STATISTICS, RankTable, pooled_statistics
from clpips.models.agreement.statistic import CONFIDENCE, NAN, Statistic

RESAMPLES: Final = 2000
FEWEST_SETS: Final = 10  # below it a bootstrap interval is too narrow to trust
CHUNK: Final = 64  # resamples at a time


def bootstrap_ranks(
    metric: RankTable, baseline: RankTable, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, tuple[Statistic, Statistic]]:
    """For each of `RANK_STATISTICS`: the metric's value, and its lead over the baseline, with bootstrap intervals.

    Both are resampled alike (paired), by target set; the intervals are percentiles, p is two-sided.
    """
    here = pooled_statistics(metric.counts.sum(axis=0), metric.values)  # (3,)
    there = pooled_statistics(baseline.counts.sum(axis=0), baseline.values)
    draws_here, draws_there = _resample([metric, baseline], seed, resamples)  # (resamples, 3) each
    return {
        name: (
            Statistic(float(here[column]), *_interval(draws_here[:, column])),
            _difference(float(here[column] - there[column]), draws_here[:, column] - draws_there[:, column]),
        )
        for column, name in enumerate(RANK_STATISTICS)
    }


def _resample(tables: list[RankTable], seed: int, resamples: int) -> list[NDArray[np.float64]]:
    """The pooled statistics of every resample, `(resamples, 3)`, for each table; all are resampled alike."""
    sets = len(tables[0].counts)
    weights = _draw(sets, seed, resamples).astype(np.float64)  # (resamples, sets)
    results = []
    for table in tables:
        flat = table.counts.reshape(sets, -1)  # (sets, v·v)
        shape = (-1, len(table.values), len(table.values))
        chunks = (weights[start : start + CHUNK] for start in range(0, resamples, CHUNK))
        results.append(
            np.concatenate([pooled_statistics((chunk @ flat).reshape(shape), table.values) for chunk in chunks])
        )
    return results


def bootstrap_mean(
    values: NDArray[np.float64],
    baseline: NDArray[np.float64],
    weights: NDArray[np.float64],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[Statistic, Statistic]:
    """A mean over sets, and its lead over the baseline's, with bootstrap intervals; all arguments are `(sets,)`.

    >>> value, lead = bootstrap_mean(np.array([1.0, 0.0]), baseline=np.zeros(2), weights=np.array([3.0, 1.0]))
    >>> value.value, lead.value
    (0.75, 0.75)
    """
    draws = _draw(len(values), seed, resamples) * weights  # (resamples, sets)
    totals = draws.sum(axis=1)  # (resamples,)
    with np.errstate(invalid="ignore", divide="ignore"):
        here, there = draws @ values / totals, draws @ baseline / totals  # (resamples,)
    value, other = float(weights @ values / weights.sum()), float(weights @ baseline / weights.sum())
    return Statistic(value, *_interval(here)), _difference(value - other, here - there)


def _draw(sets: int, seed: int, resamples: int) -> NDArray[np.int64]:
    """How often each set is in each resample: int64 `(resamples, sets)`."""
    return np.random.default_rng(seed).multinomial(sets, np.full(sets, 1 / sets), resamples)


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile interval of draws `(resamples,)`, of those that are defined."""
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return NAN, NAN
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _difference(value: float, draws: NDArray[np.float64]) -> Statistic:
    """A difference with its percentile interval, and p from the share of draws `(resamples,)` beyond 0."""
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return Statistic(value)
    # One is added to both counts: of B draws none may claim a p-value below 1/(B + 1).
    tail = min(float((defined <= 0).sum()), float((defined >= 0).sum()))
    return Statistic(value, *_interval(defined), p=min(1.0, 2 * (tail + 1) / (len(defined) + 1)))
