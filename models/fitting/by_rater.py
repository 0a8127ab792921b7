"""One fit a person: how far each is followed on what was held out, and what that says of new targets and of new people.

All share one split, so that what is judged is new to every fit. Each person's rankings on the one side give weights of
their own; those of all the others give weights that know nothing of the person. Both are judged, beside a baseline, by
what the person said of the other side.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.bootstrap import bootstrap_mean
from clpips.models.agreement.clusters import Clusters
from clpips.models.agreement.statistic import Statistic
from clpips.models.fitting.rater_results import SIDES, ByRater, Leads, Line
from clpips.models.fitting.recipes import Recipe, fit_with
from clpips.models.metric.weights import LayerWeights
from clpips.models.rankings.files import Ranking, RankingsError
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.splitting import SplitBy


def fit_by_rater(
    measured: MeasuredRankings,
    parent: LayerWeights,
    baseline: LayerWeights,
    recipe: Recipe = "convex",
    share: float = 0.7,
    seed: int = 0,
    by: SplitBy | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ByRater:
    """Fit each person's weights by a recipe, from a parent. `share`, `seed` and `by` are as in `split_rankings`.

    Raises `RankingsError` where a ranking names no rater, or all name the same.
    """
    raters = people_of(measured.rankings, by)
    split = measured.split(share, seed, by)
    steps, done = 3 * len(raters), 0

    def fit(rankings: Sequence[Ranking]) -> tuple[NDArray[np.float32], str]:
        nonlocal done
        outcome = fit_with(recipe, measured.take(rankings).pairs(), parent, seed)
        done += 1
        if progress:
            progress(done, steps)
        return outcome.weights, outcome.reason

    final, judged, reasons, unsupported = {}, [], {}, {}
    for rater in raters:
        own, reasons[rater] = fit([ranking for ranking in split.fit if ranking.rater == rater])
        others, _ = fit([ranking for ranking in split.fit if ranking.rater != rater])
        final[rater], unsupported[rater] = fit([ranking for ranking in measured.rankings if ranking.rater == rater])
        held_out = measured.take([ranking for ranking in split.held_out if ranking.rater == rater])
        judged.append(_judge(held_out, raters.index(rater), (baseline.values, own, others)))
    cells = np.concatenate(judged)  # (m, 6): target, person, choices, and those that each side makes too
    if not len(cells):
        raise RankingsError(f"nothing is held out to judge by, {split.words}: collect more rankings", [])
    learned = {rater: sum(ranking.rater == rater for ranking in split.fit) for rater in raters}
    return ByRater(
        weights=final,
        unsupported={rater: reason for rater, reason in unsupported.items() if reason},
        people=[
            _line(cells[cells[:, 1] == number], rater, learned[rater], reasons[rater])
            for number, rater in enumerate(raters)
        ],
        targets=[
            _line(cells[cells[:, 0] == target], _target_name(measured, int(target)))
            for target in np.unique(cells[:, 0])
        ],
        own=_leads(cells, SIDES.index("own"), seed),
        others=_leads(cells, SIDES.index("others"), seed),
        split=split,
    )


def people_of(rankings: Sequence[Ranking], by: SplitBy | None) -> list[str]:
    """The names of the people, sorted. Raises `RankingsError` where one fit a person cannot be made, or judged."""
    raters = sorted({ranking.rater for ranking in rankings})
    if not all(raters) or len(raters) < 2:
        raise RankingsError("one fit a person needs a rater in every ranking, and two people or more", [])
    if by == "rater":
        raise RankingsError("a split by rater leaves nobody rankings to learn from: split by image or by target", [])
    return raters


def _judge(held_out: MeasuredRankings, person: int, sides: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """For each target its number, the person's, their choices, and how many of them each side makes: `(t, 6)`."""
    pairs = held_out.pairs()
    targets, which = np.unique(pairs.targets, return_inverse=True)  # (t,), (n,)
    right = [np.bincount(which, pairs.counts * pairs.right(side), len(targets)) for side in sides]  # (t,) each
    totals = np.bincount(which, pairs.counts, len(targets))  # (t,)
    return np.column_stack([targets, np.full(len(targets), person), totals, *right]).astype(np.float64)


def _line(cells: NDArray[np.float64], name: str, learned: int | None = None, reason: str = "") -> Line:
    total = cells[:, 2].sum()
    shares = cells[:, 3:].sum(axis=0) / total if total else np.full(len(SIDES), np.nan)
    return Line(
        name=name, judged=len(cells), learned=learned, reason=reason,
        **{side: float(value) for side, value in zip(SIDES, shares, strict=True)},
    )  # fmt: skip


def _leads(cells: NDArray[np.float64], side: int, seed: int) -> Leads:
    """The lead of a side over the baseline, with targets, people, or both for its clusters."""
    totals = cells[:, 2]  # (c,)
    here, there = cells[:, 3 + side] / totals, cells[:, 3] / totals  # (c,)
    targets, people = (np.unique(cells[:, column], return_inverse=True)[1] for column in (0, 1))  # (c,) each

    def lead(clusters: Clusters) -> Statistic:
        return bootstrap_mean(here, there, totals, seed, clusters=clusters).lead

    return Leads(
        new_targets=lead(Clusters(targets)), new_people=lead(Clusters(people)), both=lead(Clusters(targets, people))
    )


def _target_name(measured: MeasuredRankings, target: int) -> str:
    return measured.rankings[int(np.flatnonzero(measured.targets == target)[0])].target
