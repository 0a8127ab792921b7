"""A metric against people, beside a baseline: all statistics of agreement for one set of rankings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from clpips.models.agreement.bootstrap import (
    FEWEST_SETS,
    RankTable,
    bootstrap_mean,
    bootstrap_ranks,
    rank_table,
    sign_flip_test,
)
from clpips.models.agreement.correlation import (
    NAN,
    MeanWithin,
    Statistic,
    cicchetti,
    intraclass_correlation,
    kendall,
    koo_li,
    mean_within,
    spearman,
    within_spearman,
)
from clpips.models.rankings.measured import Measured
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
    measured: Measured,
    weights: NDArray[np.float32],
    baseline: NDArray[np.float32],
    names: tuple[str, str] = ("metric", "baseline"),
    seed: int = 0,
) -> Evaluation:
    """Compare two weights, float32 `(1152,)`, on the same rankings. `seed` is the bootstrap's."""
    people = [ranking.order for ranking in measured.rankings]
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
        sign_flip=sign_flip_test(_by_target(here.within - there.within, measured.targets), seed),
        warnings=_warnings(targets, here.within, (metric, other)),
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

    def __init__(self, measured: Measured, weights: NDArray[np.float32], people: Sequence[NDArray[np.float64]]) -> None:
        distances = measured.rows.astype(np.float64) @ weights
        sizes = np.array([len(rows) for rows in measured.rows_of])
        self.within = np.full(len(sizes), NAN)
        parts: list[tuple[NDArray[Any], ...]] = []
        for size in np.unique(sizes):
            members = np.flatnonzero(sizes == size)
            theirs = np.stack([people[index] for index in members.tolist()])
            ours = np.stack([distances[measured.rows_of[index]] for index in members.tolist()])
            self.within[members] = within_spearman(theirs, ours)
            sets = np.repeat(measured.targets[members], size)
            ranks = (rankdata(side, axis=1).ravel() for side in (theirs, ours))
            parts.append((*ranks, sets, ours.ravel()))
        self.people, self.metric, sets, self.distances = (np.concatenate(column) for column in zip(*parts, strict=True))
        values = np.unique(np.arange(2, 2 * sizes.max() + 1) / 2)  # every whole and half rank
        self.table: RankTable = rank_table(self.people, self.metric, np.unique(sets, return_inverse=True)[1], values)

    def scores(self, name: str, bootstrapped: Mapping[str, tuple[Statistic, Statistic]], ceiling: float) -> Scores:
        rho, (resampled, _) = spearman(self.people, self.metric), bootstrapped["spearman"]
        icc = intraclass_correlation(np.stack([self.people, self.metric], axis=1))
        return Scores(
            name,
            bootstrapped["pair_agreement"][0],
            bootstrapped["vote_agreement"][0],
            ceiling,
            Statistic(rho.value, resampled.low, resampled.high, rho.p),
            spearman(self.people, self.distances),
            mean_within(self.within),
            kendall(self.people, self.metric),
            icc.single,
            icc.average,
        )


def _shares(
    pairs: RankedPairs, weights: NDArray[np.float32], baseline: NDArray[np.float32], seed: int
) -> dict[str, tuple[Statistic, Statistic]]:
    """Value and lead of the two shares of `SHARES`."""
    decided = majorities(pairs)
    decided = RankedPairs(decided.rows, decided.better, decided.worse, np.ones(len(decided)), decided.targets)
    return {
        name: _share(chosen, weights, baseline, seed) if len(chosen) else (Statistic(NAN), Statistic(NAN))
        for name, chosen in zip(SHARES, (decided, pairs), strict=True)
    }


def _share(
    pairs: RankedPairs, weights: NDArray[np.float32], baseline: NDArray[np.float32], seed: int
) -> tuple[Statistic, Statistic]:
    _, sets = np.unique(pairs.targets, return_inverse=True)
    totals = np.bincount(sets, pairs.counts).astype(np.float64)
    here, there = (np.bincount(sets, pairs.counts * pairs.right(side)) / totals for side in (weights, baseline))
    return bootstrap_mean(here, there, totals, seed)


def _ceiling(pairs: RankedPairs) -> float:
    """What siding with every majority would get of all choices."""
    if not len(pairs):
        return NAN
    lead = majorities(pairs).counts.sum()
    return float((pairs.counts.sum() + lead) / (2 * pairs.counts.sum()))


def _by_target(values: NDArray[np.float64], targets: NDArray[np.intp]) -> NDArray[np.float64]:
    defined = ~np.isnan(values)
    _, sets = np.unique(targets[defined], return_inverse=True)
    return np.bincount(sets, values[defined]) / np.bincount(sets)


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
