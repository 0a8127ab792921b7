"""False-positive rates of `clpips evaluate` by simulation: how often it calls chance significant.

    python -m loadtest.false_positives --trials 1000

Two metrics are made up that know nothing of people, and are as good as each other. All people order a target's images
alike, which is what misleads a test that counts each of them; and where they are enough to speak of others, each leans
to one of the metrics by chance. Of such studies 5 % should have p ≤ 0.05. Few rankings give few p-values: where the
highest that is not above 0.05 is well below it, it stands in brackets, and no test can be significant more often;
where even the smallest is above 0.05 there is a dash, and the report says so in words.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.bootstrap import bootstrap_mean, bootstrap_ranks
from clpips.models.agreement.clusters import FEWEST_PEOPLE, cluster_rankings
from clpips.models.agreement.permutation import permutation_test
from clpips.models.agreement.pooling import pool_ranks
from clpips.models.agreement.rank_tables import rank_table
from clpips.models.agreement.statistic import SIGNIFICANCE

RESAMPLES: Final = 199  # (199 + 1) · 5 % is whole: a random test of so many is exact at 5 %
RESAMPLES_OF_PAIRS: Final = 999  # pairs have few p-values, which so few draws would blur
ROUND: Final = 0.045  # a highest p-value below 0.05 that is worth a word
COLUMNS: Final = ("agreement, ranks", "agreement, distances", "lead within sets", "lead of pooled ranks")


@dataclass(frozen=True)
class Design:
    """A study: so many targets with so many images each, ranked by so many people."""

    targets: int
    images: int
    people: int

    @property
    def resamples(self) -> int:
        """Random permutations, and sign flips, a test."""
        return RESAMPLES_OF_PAIRS if self.images == 2 else RESAMPLES

    def __str__(self) -> str:
        people = "1 person" if self.people == 1 else f"{self.people} people"
        return f"{self.targets:>2} targets × {self.images:>2} images × {people}"


DESIGNS: Final = tuple(
    Design(targets, images, people)
    for people, images, numbers in (
        (1, 2, (5, 6, 10, 20, 60)),
        (1, 3, (2, 3, 6, 10, 20)),
        (1, 5, (2, 3, 6, 10, 20)),
        (1, 10, (2, 3, 6, 10, 20)),
        (4, 5, (3, 20)),
        (10, 2, (20,)),
        (10, 5, (6, 10, 20)),
    )
    for targets in numbers
)


@dataclass
class Rates:
    """p-values of a design's trials, by what is tested, and the smallest p-values that it can give."""

    p: dict[str, list[float]] = field(default_factory=dict)
    smallest: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, p: float, smallest: float) -> None:
        """Keep a trial's p-value."""
        self.p.setdefault(name, []).append(p)
        self.smallest[name] = smallest

    def rate(self, name: str) -> float | None:
        """Share of trials with p ≤ 0.05, None where no p can be."""
        if self.smallest[name] > SIGNIFICANCE:
            return None
        return float(np.mean([p <= SIGNIFICANCE for p in self.p[name]]))

    def words(self, name: str) -> str:
        """The rate in per cent, with the highest that there can be where that is well below 5."""
        rate = self.rate(name)
        if rate is None:
            return "–"
        highest = max((p for p in self.p[name] if p <= SIGNIFICANCE), default=self.smallest[name])
        return f"{100 * rate:.1f}" + (f" ({100 * highest:.1f})" if highest < ROUND else "")


def simulate(design: Design, trials: int, seed: int = 0) -> Rates:
    """The p-values of `trials` studies of this design in which nothing is to be found."""
    rates = Rates()
    for trial in range(trials):
        _study(design, np.random.default_rng([seed, trial]), trial, rates)
    return rates


def _study(design: Design, rng: np.random.Generator, seed: int, rates: Rates) -> None:
    shape = (design.targets, design.images)
    metric, baseline = rng.normal(size=shape), rng.normal(size=shape)
    targets = np.repeat(np.arange(design.targets), design.people)  # (m,)
    people = np.tile(np.arange(design.people), design.targets)  # (m,)
    distances, others = [metric[target] for target in targets], [baseline[target] for target in targets]
    shared = rng.normal(size=shape)
    test = permutation_test([_ranks(shared[target]) for target in targets], distances, targets, seed, design.resamples)
    for name, p in ((COLUMNS[0], float(test.pooled[0])), (COLUMNS[1], test.distances)):
        rates.note(name, p, test.smallest)
    leaning = rng.normal(size=design.people) * (design.people >= FEWEST_PEOPLE)
    orders = [
        _ranks(shared[target] + rng.normal(size=design.images) + leaning[person] * (metric[target] - baseline[target]))
        for target, person in zip(targets, people, strict=True)
    ]
    _test_lead(rates, orders, distances, others, targets, [f"p{person}" for person in people], seed, design.resamples)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values.argsort().argsort() + 1, np.float64)


def _test_lead(
    rates: Rates,
    orders: Sequence[NDArray[np.float64]],
    metric: Sequence[NDArray[np.float64]],
    baseline: Sequence[NDArray[np.float64]],
    targets: NDArray[np.intp],
    raters: Sequence[str],
    seed: int,
    resamples: int,
) -> None:
    clusters, cells = cluster_rankings(targets, raters)
    sides = [pool_ranks(orders, side) for side in (metric, baseline)]
    values = np.arange(2, 2 * len(orders[0]) + 1) / 2  # (v,)
    tables = [rank_table(side.people, side.metric, cells[side.sets], values) for side in sides]
    count = len(clusters.targets)
    totals = np.bincount(cells, minlength=count).astype(np.float64)  # (c,)
    here, there = (np.bincount(cells, side.within, count) / totals for side in sides)
    within = bootstrap_mean(here, there, totals, seed, resamples, clusters).lead.p
    pooled = bootstrap_ranks(tables[0], tables[1], seed, resamples, clusters)["spearman"].lead.p
    for name, p in ((COLUMNS[2], within), (COLUMNS[3], pooled)):
        rates.note(name, p, clusters.smallest_p)


def main() -> None:
    """Print a line a design."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{'of 100 studies, with p ≤ 0.05':34}" + "".join(f"{name:>22}" for name in COLUMNS))
    for design in DESIGNS:
        rates = simulate(design, options.trials, options.seed)
        print(f"{design!s:34}" + "".join(f"{rates.words(name):>22}" for name in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
