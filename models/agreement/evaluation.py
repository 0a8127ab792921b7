"""Evaluation of a metric against people, beside a baseline: all statistics of agreement for one set of rankings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.bootstrap import FEWEST_SETS, bootstrap_mean, bootstrap_ranks
from clpips.models.agreement.correlation import MeanWithin, kendall, mean_within, spearman
from clpips.models.agreement.icc import cicchetti, intraclass_correlation, koo_li
from clpips.models.agreement.pooling import pool_ranks
from clpips.models.agreement.rank_tables import rank_table
from clpips.models.agreement.sign_flip import sign_flip_test
from clpips.models.agreement.statistic import NAN, Statistic
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.pairs import RankedPairs, majorities

SHARES: Final = ("pair_agreement", "vote_agreement")


@dataclass(frozen=True)
class Scores:
    """One metric's agreement with people.

    `pair_agreement`: share of pairs with a majority where the metric sides with it; `vote_agreement`: share of all
    choices that it makes too, of which siding with every majority would get `vote_ceiling`. `spearman`, `kendall` and
    the ICCs are of ranks within sets, pooled, with images as items, people and metric as the two raters;
    `spearman_distances` pools raw distances over sets (the paper's section 5.1); `spearman_within` is the mean of ρ
    within sets.
    """

    name: str
    pair_agreement: Statistic
    vote_agreement: Statistic
    vote_ceiling: float
    spearman: Statistic
    spearman_distances: Statistic
    spearman_within: MeanWithin
    kendall: Statistic
    icc2_1: Statistic
    icc2_k: Statistic

    @property
    def verdicts(self) -> dict[str, str]:
        """ICC(2,1) in the words of Koo and Li, and of Cicchetti."""
        return {"koo_li": koo_li(self.icc2_1.value), "cicchetti": cicchetti(self.icc2_1.value)}


@dataclass(frozen=True)
class Evaluation:
    """A metric and a baseline on the same rankings, `difference` being the metric's lead with bootstrap intervals.

    `sign_flip` is the p-value of a sign-flip test on the differences of ρ within sets, averaged by target.
    """

    sets: int
    targets: int
    pairs: int
    metric: Scores
    baseline: Scores
    difference: dict[str, Statistic]
    sign_flip: float
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON types; what is undefined is null."""
        return {
            "sets": self.sets,
            "targets": self.targets,
            "pairs": self.pairs,
            "metric": _json(asdict(self.metric) | {"icc2_1_verdict": self.metric.verdicts}),
            "baseline": _json(asdict(self.baseline) | {"icc2_1_verdict": self.baseline.verdicts}),
            "difference": _json(
                {name: asdict(value) for name, value in self.difference.items()} | {"sign_flip_p": self.sign_flip}
            ),
            "warnings": list(self.warnings),
        }


def evaluate(
    measured: MeasuredRankings,
    weights: NDArray[np.float32],
    baseline: NDArray[np.float32],
    names: tuple[str, str] = ("metric", "baseline"),
    seed: int = 0,
) -> Evaluation:
    """Compare two weights, float32 `(3456,)`, on the same rankings. `seed` is the bootstrap's."""
    people = [ranking.order for ranking in measured.rankings]  # (k,) each
    here = _Side(measured, weights, people)
    there = _Side(measured, baseline, people)
    pairs = measured.pairs()
    shares = _shares(pairs, weights, baseline, seed)
    swapped = _shares(pairs, baseline, weights, seed)
    ranks = bootstrap_ranks(here.table, there.table, seed)
    targets = len(np.unique(measured.targets))
    metric = here.scores(names[0], shares | ranks, _ceiling(pairs))
    other = there.scores(names[1], swapped | bootstrap_ranks(there.table, here.table, seed), _ceiling(pairs))
    return Evaluation(
        sets=len(measured.rankings),
        targets=targets,
        pairs=len(majorities(pairs)),
        metric=metric,
        baseline=other,
        difference={name: lead for name, (_, lead) in (shares | ranks).items()},
        sign_flip=sign_flip_test(_by_target(here.ranks.within - there.ranks.within, measured.targets), seed),
        warnings=_warnings(targets, here.ranks.within, (metric, other)),
    )


def _warnings(targets: int, within: NDArray[np.float64], judged: Sequence[Scores]) -> tuple[str, ...]:
    warnings = []
    if targets < FEWEST_SETS:
        warnings.append(
            f"only {targets} target sets: bootstrap intervals are too narrow below {FEWEST_SETS}; collect more targets"
        )
    if undefined := int(np.isnan(within).sum()):
        warnings.append(
            f"ρ within a set is undefined in {undefined:,} of {len(within):,} sets, where people tie everything"
        )
    warnings += [
        f"{scores.name} orders these images against people: its ICCs may lie below −1, and ICC(2,k) is undefined where "
        "the orders are opposite; read both as no agreement"
        for scores in judged
        if scores.icc2_1.value < 0 and not scores.icc2_k.value >= -1
    ]
    return tuple(warnings)


class _Side:
    """One metric's distances of all rankings beside the people's orders, ranked within each set."""

    def __init__(
        self, measured: MeasuredRankings, weights: NDArray[np.float32], people: Sequence[NDArray[np.float64]]
    ) -> None:
        distances = measured.rows.astype(np.float64) @ weights  # (r,)
        own = [distances[rows] for rows in measured.rows_of]  # (k,) each
        self.ranks = pool_ranks(people, own)
        self.distances = np.concatenate(own)[self.ranks.places]  # (n,)
        values = np.arange(2, 2 * max(map(len, own)) + 1) / 2  # (v,), every whole and half rank
        _, targets = np.unique(measured.targets[self.ranks.sets], return_inverse=True)  # (n,)
        self.table = rank_table(self.ranks.people, self.ranks.metric, targets, values)

    def scores(self, name: str, bootstrapped: Mapping[str, tuple[Statistic, Statistic]], ceiling: float) -> Scores:
        people, metric = self.ranks.people, self.ranks.metric  # (n,)
        rho, (resampled, _) = spearman(people, metric), bootstrapped["spearman"]
        icc = intraclass_correlation(np.stack([people, metric], axis=1))  # of (n, 2)
        return Scores(
            name=name,
            pair_agreement=bootstrapped["pair_agreement"][0],
            vote_agreement=bootstrapped["vote_agreement"][0],
            vote_ceiling=ceiling,
            spearman=Statistic(rho.value, resampled.low, resampled.high, rho.p),
            spearman_distances=spearman(people, self.distances),
            spearman_within=mean_within(self.ranks.within),
            kendall=kendall(people, metric),
            icc2_1=icc.single,
            icc2_k=icc.average,
        )


def _shares(
    pairs: RankedPairs, weights: NDArray[np.float32], baseline: NDArray[np.float32], seed: int
) -> dict[str, tuple[Statistic, Statistic]]:
    """Value and lead of the two shares of `SHARES`."""
    majority = majorities(pairs)
    decided = replace(majority, counts=np.ones(len(majority)))
    return {
        name: _share(chosen, weights, baseline, seed) if len(chosen) else (Statistic(NAN), Statistic(NAN))
        for name, chosen in zip(SHARES, (decided, pairs), strict=True)
    }


def _share(
    pairs: RankedPairs, weights: NDArray[np.float32], baseline: NDArray[np.float32], seed: int
) -> tuple[Statistic, Statistic]:
    """The share of the pairs' counts that the weights order alike, and its lead, by bootstrap over targets."""
    _, targets = np.unique(pairs.targets, return_inverse=True)  # (n,)
    totals = np.bincount(targets, pairs.counts).astype(np.float64)  # (t,)
    here, there = (np.bincount(targets, pairs.counts * pairs.right(side)) / totals for side in (weights, baseline))
    return bootstrap_mean(here, there, totals, seed)


def _ceiling(pairs: RankedPairs) -> float:
    """Upper bound of the vote agreement: what siding with every majority would get of all choices."""
    if not len(pairs):
        return NAN
    lead = majorities(pairs).counts.sum()
    return float((pairs.counts.sum() + lead) / (2 * pairs.counts.sum()))


def _by_target(values: NDArray[np.float64], targets: NDArray[np.intp]) -> NDArray[np.float64]:
    """The mean of the defined values, `(m,)`, of each of t targets, `(t,)`."""
    defined = ~np.isnan(values)  # (m,)
    _, sets = np.unique(targets[defined], return_inverse=True)
    return np.bincount(sets, values[defined]) / np.bincount(sets)


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
