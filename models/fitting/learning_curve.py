"""Learning curve: held-out agreement of fits on growing random draws of rankings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.recipes import Recipe, fit_with
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.splitting import SplitBy, split_rankings

CURVE_SIZES: Final = (10, 20, 50, 200, 1000)  # rankings; and all of them


@dataclass(frozen=True)
class CurvePoint:
    """One fit on `rankings` randomly drawn rankings, and its lead over the parent in share of choices held out."""

    recipe: Recipe
    rankings: int
    seed: int
    vote_agreement: float
    lead: float
    seconds: float


def learning_curve(
    measured: MeasuredRankings,
    parents: Mapping[str, NDArray[np.float32]],
    recipes: Sequence[Recipe],
    seeds: int,
    share: float = 0.7,
    by: SplitBy = "target",
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[CurvePoint]:
    """Fits on growing random draws of rankings, judged on targets held out, one split and one draw a seed."""
    _, parent = next(iter(parents.items()))
    splits = [split_rankings(measured.rankings, share, seed, by) for seed in range(seeds)]
    fewest = min(len(split.fit) for split in splits)
    sizes: list[int | None] = [*(size for size in CURVE_SIZES if size < fewest), None]
    steps = [(size, seed, recipe) for size in sizes for seed in range(seeds) for recipe in recipes]
    for done, (size, seed, recipe) in enumerate(steps, start=1):
        split = splits[seed]
        if split.held_out:
            drawn = np.random.default_rng(seed).permutation(len(split.fit))[:size]
            chosen = measured.take([split.fit[index] for index in drawn])
            outcome = fit_with(recipe, chosen.pairs(), parents, seed)
            pairs = measured.take(split.held_out).pairs()
            reached, before = pairs.agreement(outcome.weights), pairs.agreement(parent)
            yield CurvePoint(recipe, len(drawn), seed, reached, reached - before, outcome.seconds)
        if progress:
            progress(done, len(steps))


def group_by_size(curve: Sequence[CurvePoint]) -> dict[tuple[str, int], list[CurvePoint]]:
    """Points of a recipe and a size together; "all" differs a little from split to split and counts as its median."""
    draws = max(point.seed for point in curve) + 1
    by_recipe: dict[str, list[CurvePoint]] = {}
    for point in curve:
        by_recipe.setdefault(point.recipe, []).append(point)
    grouped = {}
    for recipe, points in by_recipe.items():
        for start in range(0, len(points), draws):
            group = points[start : start + draws]
            grouped[recipe, int(np.median([point.rankings for point in group]))] = group
    return grouped
