"""Is one metric closer to people than another? Resampling whole target sets, because a set's rankings hang together."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.correlation import CONFIDENCE, NAN, ROUNDING, Statistic

RESAMPLES: Final = 2000
FLIPS: Final = 10_000
EXACT_SETS: Final = 13  # up to here all 2^sets sign patterns are fewer than `FLIPS`
FEWEST_SETS: Final = 10  # below it a bootstrap interval is too narrow to trust
CHUNK: Final = 64  # resamples at a time

RANK_STATISTICS: Final = ("spearman", "icc2_1", "icc2_k")


@dataclass(frozen=True, eq=False)
class RankTable:
    """People's rank against a metric's, counted for each target set: all that the pooled statistics need.

    `values` are the v distinct within-set ranks, ascending; `counts`, float64 `(sets, v, v)`, says how often people
    gave the first and the metric the second.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.float64]


def rank_table(
    people: NDArray[np.float64], metric: NDArray[np.float64], sets: NDArray[np.intp], values: NDArray[np.float64]
) -> RankTable:
    """Count within-set ranks `(n,)` of n images; `sets` `(n,)` numbers their target set from 0."""
    shape = (int(sets.max()) + 1 if len(sets) else 0, len(values), len(values))
    counts = np.zeros(shape)
    np.add.at(counts, (sets, np.searchsorted(values, people), np.searchsorted(values, metric)), 1)
    return RankTable(values, counts)


def pooled_statistics(counts: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's ρ, ICC(2,1) and ICC(2,2) of pooled ranks, from counts `(…, v, v)`: float64 `(…, 3)`.

    They are NaN where `correlation.py` says so.
    """
    people, metric = counts.sum(axis=-1), counts.sum(axis=-2)
    n = people.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = _correlation(counts, people, metric, _mid_ranks(people), _mid_ranks(metric))
        # Two raters: every mean square follows from the sums of the items' sums and differences.
        mean_people, mean_metric = people @ values / n, metric @ values / n
        square_people, square_metric = people @ values**2, metric @ values**2
        product = np.einsum("...ij,i,j->...", counts, values, values)
        total = square_people + square_metric + 2 * product
        ms_items = (total / 2 - n * (mean_people + mean_metric) ** 2 / 2) / (n - 1)
        gap = mean_people - mean_metric
        ms_raters = n * gap**2 / 2
        ms_error = ((square_people + square_metric - 2 * product) / 2 - n * gap**2 / 2) / (n - 1)
        single = (ms_items - ms_error) / (ms_items + ms_error + 2 * (ms_raters - ms_error) / n)
        variance = ms_items + (ms_raters - ms_error) / n
        positive = variance > ROUNDING * (ms_items + ms_raters + ms_error)
        average = (ms_items - ms_error) / np.where(positive, variance, NAN)
    return np.stack([rho, single, average], axis=-1)


def _mid_ranks(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cumsum(counts, axis=-1) - (counts - 1) / 2


def _correlation(
    counts: NDArray[np.float64],
    people: NDArray[np.float64],
    metric: NDArray[np.float64],
    people_ranks: NDArray[np.float64],
    metric_ranks: NDArray[np.float64],
) -> NDArray[np.float64]:
    n = people.sum(axis=-1)
    x = people_ranks - ((people * people_ranks).sum(axis=-1) / n)[..., np.newaxis]
    y = metric_ranks - ((metric * metric_ranks).sum(axis=-1) / n)[..., np.newaxis]
    covariance = np.einsum("...ij,...i,...j->...", counts, x, y)
    spread = np.sqrt((people * x**2).sum(axis=-1) * (metric * y**2).sum(axis=-1))
    return np.asarray(covariance / spread)


def bootstrap_ranks(metric: RankTable, baseline: RankTable, seed: int = 0) -> dict[str, tuple[Statistic, Statistic]]:
    """For each of `RANK_STATISTICS`: the metric's value, and its lead over the baseline, with bootstrap intervals.

    Both are resampled alike (paired), by target set, `RESAMPLES` times; the intervals are percentiles, p is two-sided.
    """
    here = pooled_statistics(metric.counts.sum(axis=0), metric.values)
    there = pooled_statistics(baseline.counts.sum(axis=0), baseline.values)
    draws_here, draws_there = _resample([metric, baseline], seed)
    return {
        name: (
            Statistic(float(here[column]), *_interval(draws_here[:, column])),
            _difference(float(here[column] - there[column]), draws_here[:, column] - draws_there[:, column]),
        )
        for column, name in enumerate(RANK_STATISTICS)
    }


def _resample(tables: list[RankTable], seed: int) -> list[NDArray[np.float64]]:
    sets = len(tables[0].counts)
    weights = np.random.default_rng(seed).multinomial(sets, np.full(sets, 1 / sets), RESAMPLES).astype(np.float64)
    results = []
    for table in tables:
        flat = table.counts.reshape(sets, -1)
        shape = (-1, len(table.values), len(table.values))
        chunks = (weights[start : start + CHUNK] for start in range(0, RESAMPLES, CHUNK))
        results.append(
            np.concatenate([pooled_statistics((chunk @ flat).reshape(shape), table.values) for chunk in chunks])
        )
    return results


def bootstrap_mean(
    values: NDArray[np.float64], baseline: NDArray[np.float64], weights: NDArray[np.float64], seed: int = 0
) -> tuple[Statistic, Statistic]:
    """A weighted mean over sets, `values` `(sets,)`, and its lead over the baseline's, with bootstrap intervals."""
    sets = len(values)
    draws = np.random.default_rng(seed).multinomial(sets, np.full(sets, 1 / sets), RESAMPLES) * weights
    totals = draws.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        here, there = draws @ values / totals, draws @ baseline / totals
    value, other = float(weights @ values / weights.sum()), float(weights @ baseline / weights.sum())
    return Statistic(value, *_interval(here)), _difference(value - other, here - there)


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return NAN, NAN
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _difference(value: float, draws: NDArray[np.float64]) -> Statistic:
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return Statistic(value)
    # One is added to both counts: of B draws none may claim a p-value below 1/(B + 1).
    tail = min(float((defined <= 0).sum()), float((defined >= 0).sum()))
    return Statistic(value, *_interval(defined), p=min(1.0, 2 * (tail + 1) / (len(defined) + 1)))


def sign_flip_test(differences: NDArray[np.float64], seed: int = 0) -> float:
    """p-value, two-sided, of per-set differences `(sets,)` having mean 0, if their signs were as likely either way.

    Exact for few sets, else `FLIPS` random sign patterns. NaN without sets.
    """
    differences = differences[~np.isnan(differences)]
    sets = len(differences)
    if not sets:
        return NAN
    observed = abs(differences.sum()) * (1 - 1e-12)
    if sets <= EXACT_SETS:
        signs = 1 - 2 * ((np.arange(2**sets)[:, np.newaxis] >> np.arange(sets)) & 1)
        return float((np.abs(signs @ differences) >= observed).mean())
    rng = np.random.default_rng(seed)
    extreme = sum(
        int((np.abs(rng.choice((-1.0, 1.0), (1000, sets)) @ differences) >= observed).sum())
        for _ in range(FLIPS // 1000)
    )
    return (extreme + 1) / (FLIPS + 1)
