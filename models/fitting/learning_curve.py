"""Learning curve: held-out agreement of fits on growing random draws of rankings."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np

from clpips.models.fitting.curve_points import CurvePoint
from clpips.models.fitting.recipes import Recipe, fit_with
from clpips.models.metric.weights import LayerWeights
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.splitting import SplitBy

CURVE_SIZES: Final = (10, 20, 50, 200, 1000)  # rankings; and all of them


def learning_curve(
    measured: MeasuredRankings,
    parents: Mapping[Recipe, LayerWeights],
    baseline: LayerWeights,
    seeds: int,
    share: float = 0.7,
    by: SplitBy | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[CurvePoint]:
    """Fits by each recipe from its parent on growing random draws of rankings, one split and one draw a seed.

    They are judged on what was held out, beside the baseline.
    """
    splits = [measured.split(share, seed, by) for seed in range(seeds)]
    fewest = min(len(split.fit) for split in splits)
    sizes: list[int | None] = [*(size for size in CURVE_SIZES if size < fewest), None]
    steps = [(size, seed, recipe) for size in sizes for seed in range(seeds) for recipe in parents]
    for done, (size, seed, recipe) in enumerate(steps, start=1):
        split = splits[seed]
        if split.held_out:
            drawn = np.random.default_rng(seed).permutation(len(split.fit))[:size]
            chosen = measured.take([split.fit[index] for index in drawn])
            outcome = fit_with(recipe, chosen.pairs(), parents[recipe], seed)
            pairs = measured.take(split.held_out).pairs()
            reached, before = pairs.agreement(outcome.weights), pairs.agreement(baseline.values)
            yield CurvePoint(recipe, len(drawn), seed, reached, reached - before, outcome.seconds)
        if progress:
            progress(done, len(steps))
