"""Cluster bootstrap of a metric beside another: intervals of its statistics, and of its lead.

Whole targets are resampled, because the rankings of a target hang together; where people count as drawn too, people are
resampled beside them and a judgment counts as often as both of its clusters were drawn (Owen's pigeonhole bootstrap,
Annals of Applied Statistics 2007, which errs on the wide side). Both metrics see the same resamples. The p-value of a
lead is the sign-flip test's. Below `FEWEST_SETS` clusters there is no interval.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.clusters import FEWEST_SETS, Clusters
from clpips.models.agreement.rank_tables import RANK_STATISTICS, RankTable, pooled_statistics
from clpips.models.agreement.sign_flip import CHUNK, flip_clusters
from clpips.models.agreement.statistic import CONFIDENCE, NAN, Statistic, undefined

RESAMPLES: Final = 2000
FLIPS_A_RESAMPLE: Final = 5  # of a mean, which costs little: pairs have few p-values, which few flips would blur
NO_ORDER: Final = "nothing varies, or the metric orders exactly against people"


class Compared(NamedTuple):
    """A statistic of the metric and of the baseline, and how far the metric is ahead."""

    metric: Statistic
    baseline: Statistic
    lead: Statistic


def bootstrap_ranks(
    metric: RankTable,
    baseline: RankTable,
    seed: int = 0,
    resamples: int = RESAMPLES,
    clusters: Clusters | None = None,
) -> dict[str, Compared]:
    """Each of `RANK_STATISTICS`, of the metric and of the baseline, and the lead, with bootstrap intervals.

    `clusters` says what the tables' cells are; without it each is a target of its own. Intervals are percentiles.
    """
    cells = len(metric.counts)
    clusters = clusters or Clusters(np.arange(cells))
    flat = [table.counts.reshape(cells, -1) for table in (metric, baseline)]  # (c, v·v) each
    shape = (-1, len(metric.values), len(metric.values))

    def statistics(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return pooled_statistics(counts.reshape(shape), metric.values)  # of (s, v·v): (s, 4)

    def lead_with(signs: NDArray[np.float64]) -> NDArray[np.float64]:
        middle, half = (flat[0] + flat[1]).sum(axis=0) / 2, signs @ ((flat[0] - flat[1]) / 2)  # (v·v,), (s, v·v)
        return statistics(middle + half) - statistics(middle - half)

    here, there = (statistics(side.sum(axis=0))[0] for side in flat)  # (4,)
    p = flip_clusters(lead_with, clusters, seed, resamples)  # (4,)
    drawn = [np.zeros((0, len(RANK_STATISTICS)))] * 2
    if clusters.fewest >= FEWEST_SETS:
        weights = _draw(clusters, seed, resamples)  # (resamples, c)
        chunks = [weights[start : start + CHUNK] for start in range(0, resamples, CHUNK)]
        drawn = [np.concatenate([statistics(chunk @ side) for chunk in chunks]) for side in flat]  # (resamples, 4)
    return {
        name: Compared(
            _with_interval(here[column], drawn[0][:, column]),
            _with_interval(there[column], drawn[1][:, column]),
            _with_interval(here[column] - there[column], drawn[0][:, column] - drawn[1][:, column], float(p[column])),
        )
        for column, name in enumerate(RANK_STATISTICS)
    }


def bootstrap_mean(
    values: NDArray[np.float64],
    baseline: NDArray[np.float64],
    weights: NDArray[np.float64],
    seed: int = 0,
    resamples: int = RESAMPLES,
    clusters: Clusters | None = None,
) -> Compared:
    """A mean over cells, the baseline's, and the lead, with bootstrap intervals; the arrays are `(c,)`.

    `clusters` says what the cells are; without it each is a target of its own.

    >>> value, _, lead = bootstrap_mean(np.array([1.0, 0.0]), baseline=np.zeros(2), weights=np.array([3.0, 1.0]))
    >>> value.value, lead.value
    (0.75, 0.75)
    """
    clusters = clusters or Clusters(np.arange(len(values)))
    total = weights.sum()
    here, there = (float(weights @ side / total) for side in (values, baseline))
    leads = (weights * (values - baseline) / total)[:, np.newaxis]  # (c, 1)
    p = float(flip_clusters(lambda signs: signs @ leads, clusters, seed, FLIPS_A_RESAMPLE * resamples)[0])
    drawn = [np.zeros(0)] * 2
    if clusters.fewest >= FEWEST_SETS:
        draws = _draw(clusters, seed, resamples) * weights  # (resamples, c)
        totals = draws.sum(axis=1)  # (resamples,)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = [draws @ side / totals for side in (values, baseline)]  # (resamples,)
    return Compared(
        _with_interval(here, drawn[0]),
        _with_interval(there, drawn[1]),
        _with_interval(here - there, drawn[0] - drawn[1], p),
    )


def _draw(clusters: Clusters, seed: int, resamples: int) -> NDArray[np.float64]:
    """How often each cell is in each resample: float64 `(resamples, c)`."""
    rng = np.random.default_rng(seed)
    counts = [(clusters.target_count, clusters.targets)]
    if clusters.people is not None:
        counts.append((clusters.people_count or 0, clusters.people))
    weights = np.ones((resamples, len(clusters.targets)))
    for count, cluster_of in counts:
        weights *= rng.multinomial(count, np.full(count, 1 / count), resamples)[:, cluster_of]
    return weights


def _with_interval(value: float, draws: NDArray[np.float64], p: float = NAN) -> Statistic:
    """The value with the percentile interval of draws `(resamples,)`, of those that are defined."""
    if np.isnan(value):
        return undefined(NO_ORDER)
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return Statistic(float(value), p=p)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Statistic(float(value), float(low), float(high), p)
