"""Evaluation of a metric against people, beside a baseline: all statistics of agreement for one set of rankings.

Values are of all rankings. p-values of agreement are the permutation test's, those of a lead the sign-flip test's, and
intervals the cluster bootstrap's: none takes the rankings of one target, or of one person, for independent.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.bootstrap import RESAMPLES, Compared, bootstrap_mean, bootstrap_ranks
from clpips.models.agreement.clusters import FEWEST_PEOPLE, FEWEST_SETS, Clusters, cluster_rankings
from clpips.models.agreement.correlation import MeanWithin, spearman
from clpips.models.agreement.figures import Evaluation, Scores
from clpips.models.agreement.permutation import permutation_test
from clpips.models.agreement.pooling import pool_ranks
from clpips.models.agreement.provisos import mixed_resolutions, unknown_families
from clpips.models.agreement.rank_tables import RANK_STATISTICS, RankTable, rank_table
from clpips.models.agreement.statistic import NAN, SIGNIFICANCE, Statistic, undefined
from clpips.models.rankings.files import Ranking
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.pairs import RankedPairs, majorities

NO_MAJORITY: Final = "no pair has a majority"
NO_CHOICE: Final = "people tie everything"
NO_ORDERS: Final = "in no set do people and both metrics order anything"


def evaluate(
    measured: MeasuredRankings,
    weights: NDArray[np.float32],
    baseline: NDArray[np.float32],
    names: tuple[str, str] = ("metric", "baseline"),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Compare two weights, float32 `(6016,)`, on the same rankings; `seed` and `resamples` are of what is random."""
    raters = [ranking.rater for ranking in measured.rankings]
    clusters, cells = cluster_rankings(measured.targets, raters)  # cells (m,)
    sides = _Side(measured, weights, cells), _Side(measured, baseline, cells)
    values = np.union1d(sides[0].values, sides[1].values)  # (v,)
    pairs = measured.pairs()
    decided = majorities(pairs)
    compared = {
        "pair_agreement": _majority_share(decided, weights, baseline, seed, resamples),
        "vote_agreement": _choice_share(measured, pairs, cells, clusters, (weights, baseline), seed, resamples),
        **bootstrap_ranks(sides[0].table(values), sides[1].table(values), seed, resamples, clusters),
        "spearman_within": _mean_within(sides, cells, clusters, seed, resamples),
    }
    ceiling = _ceiling(pairs)
    metric = sides[0].scores(names[0], {name: each.metric for name, each in compared.items()}, ceiling, seed, resamples)
    other = sides[1].scores(
        names[1], {name: each.baseline for name, each in compared.items()}, ceiling, seed, resamples
    )
    return Evaluation(
        sets=len(measured.rankings),
        targets=clusters.target_count,
        people=len({rater for rater in raters if rater}),
        pairs=len(decided),
        drawn=clusters.words,
        smallest_p=clusters.smallest_p,
        metric=metric,
        baseline=other,
        difference={name: each.lead for name, each in compared.items()},
        warnings=(
            *_warnings(clusters, raters, sides, (metric, other)),
            *mixed_resolutions(measured.rankings),
            *unknown_families(measured.rankings, names, (weights, baseline)),
        ),
    )


class _Side:
    """One metric's distances of all rankings beside the people's orders, ranked within each set."""

    def __init__(self, measured: MeasuredRankings, weights: NDArray[np.float32], cells: NDArray[np.intp]) -> None:
        distances = measured.rows.astype(np.float64) @ weights  # (r,)
        self._targets = measured.targets  # (m,)
        self._people = [ranking.order for ranking in measured.rankings]  # (k,) each
        self._distances = [distances[rows] for rows in measured.rows_of]  # (k,) each
        self._ranks = pool_ranks(self._people, self._distances)
        self.within = self._ranks.within  # (m,)
        self._cells = cells[self._ranks.sets]  # (n,)
        self.smallest_p = 1.0  # of the permutation test, once `scores` has made it

    @property
    def values(self) -> NDArray[np.float64]:
        """Every rank that there is, `(v,)`: half ranks where somebody ties an even number, and no others."""
        return np.union1d(self._ranks.people, self._ranks.metric)

    def table(self, values: NDArray[np.float64]) -> RankTable:
        """How often people gave one of these ranks, `(v,)`, and the metric another."""
        return rank_table(self._ranks.people, self._ranks.metric, self._cells, values)

    def scores(self, name: str, values: dict[str, Statistic], ceiling: float, seed: int, resamples: int) -> Scores:
        test = permutation_test(self._people, self._distances, self._targets, seed, resamples)
        self.smallest_p = test.smallest
        raw = spearman(self._ranks.people, np.concatenate(self._distances)[self._ranks.places])
        tested = {
            column: replace(values[column], p=float(p)) for column, p in zip(RANK_STATISTICS, test.pooled, strict=True)
        }
        defined = ~np.isnan(self.within)
        return Scores(
            name=name,
            pair_agreement=values["pair_agreement"],
            vote_agreement=values["vote_agreement"],
            vote_ceiling=ceiling,
            spearman_distances=Statistic(raw.value, p=test.distances, why=raw.why),
            spearman_within=MeanWithin(
                replace(values["spearman_within"], p=test.within), int(defined.sum()), int((~defined).sum())
            ),
            **tested,
        )


def _majority_share(
    decided: RankedPairs,
    weights: NDArray[np.float32],
    baseline: NDArray[np.float32],
    seed: int,
    resamples: int,
) -> Compared:
    """The share of pairs where a metric sides with the majority. People make the majority: targets alone are drawn."""
    if not len(decided):
        return Compared(*[undefined(NO_MAJORITY)] * 3)
    _, targets = np.unique(decided.targets, return_inverse=True)  # (n,)
    totals = np.bincount(targets).astype(np.float64)  # (t,)
    here, there = (np.bincount(targets, decided.right(side)) / totals for side in (weights, baseline))
    return bootstrap_mean(here, there, totals, seed, resamples)


def _choice_share(
    measured: MeasuredRankings,
    pairs: RankedPairs,
    cells: NDArray[np.intp],
    clusters: Clusters,
    sides: tuple[NDArray[np.float32], NDArray[np.float32]],
    seed: int,
    resamples: int,
) -> Compared:
    """The share of all choices that a metric makes too."""
    if not len(pairs):
        return Compared(*[undefined(NO_CHOICE)] * 3)
    own = np.array([_choices(ranking) for ranking in measured.rankings])  # (m,)
    cell = np.repeat(cells, own)  # (n,)
    count = len(clusters.targets)
    totals = np.bincount(cell, pairs.counts, count).astype(np.float64)  # (c,)
    chosen = [np.bincount(cell, pairs.counts * pairs.right(side), count) for side in sides]  # (c,) each
    here, there = (side / np.where(totals > 0, totals, 1) for side in chosen)
    return bootstrap_mean(here, there, totals, seed, resamples, clusters)


def _choices(ranking: Ranking) -> int:
    """The number of ordered pairs that a ranking gives."""
    if ranking.votes is not None:
        return int(np.count_nonzero(ranking.votes))
    return int(np.count_nonzero(ranking.order[:, np.newaxis] < ranking.order))


def _mean_within(
    sides: tuple[_Side, _Side], cells: NDArray[np.intp], clusters: Clusters, seed: int, resamples: int
) -> Compared:
    """The mean of ρ within sets, of the sets where both metrics have one."""
    both = ~(np.isnan(sides[0].within) | np.isnan(sides[1].within))  # (m,)
    if not both.any():
        return Compared(*[undefined(NO_ORDERS)] * 3)
    count = len(clusters.targets)
    totals = np.bincount(cells[both], minlength=count).astype(np.float64)  # (c,)
    here, there = (
        np.bincount(cells[both], side.within[both], count) / np.where(totals > 0, totals, 1) for side in sides
    )
    return bootstrap_mean(here, there, totals, seed, resamples, clusters)


def _ceiling(pairs: RankedPairs) -> float:
    """Upper bound of the vote agreement: what siding with every majority would get of all choices."""
    if not len(pairs):
        return NAN
    lead = majorities(pairs).counts.sum()
    return float((pairs.counts.sum() + lead) / (2 * pairs.counts.sum()))


def _warnings(
    clusters: Clusters, raters: Sequence[str], sides: tuple[_Side, _Side], judged: tuple[Scores, Scores]
) -> tuple[str, ...]:
    warnings = []
    targets, people = clusters.target_count, clusters.people_count
    if targets == 1:
        warnings.append("only one target: nothing can be said of others, so no difference has a p-value or an interval")
    elif targets < FEWEST_SETS:
        warnings.append(f"only {targets} target sets: there are no intervals below {FEWEST_SETS}; collect more targets")
    elif people is not None and people < FEWEST_SETS:
        warnings.append(f"only {people} people: there are no intervals below {FEWEST_SETS}; ask more people")
    if targets > 1 and clusters.smallest_p > SIGNIFICANCE:
        warnings.append(
            f"with {targets} targets the smallest possible p of a difference is {clusters.smallest_p:.2g}: none can "
            "be significant; collect more targets"
        )
    if sides[0].smallest_p > SIGNIFICANCE:
        warnings.append(
            f"with so few images the smallest possible p of agreement is {sides[0].smallest_p:.2g}: none can be "
            "significant; collect more rankings"
        )
    named = len(set(raters)) if all(raters) else 0
    if 1 < named < FEWEST_PEOPLE:
        warnings.append(
            f"{named} people are too few to speak of others (that takes {FEWEST_PEOPLE}): figures are for new targets, "
            "as these people see them"
        )
    if undecided := judged[0].spearman_within.undefined:
        sets = undecided + judged[0].spearman_within.sets
        warnings.append(
            f"ρ within a set is undefined in {undecided:,} of {sets:,} sets, where people or the metric tie everything"
        )
    warnings += [
        f"{scores.name} orders these images against people: its ICCs may lie below −1, and ICC(2,k) is undefined where "
        "the orders are opposite; read both as no agreement"
        for scores in judged
        if scores.icc2_1.value < 0 and not scores.icc2_k.value >= -1
    ]
    return tuple(warnings)
