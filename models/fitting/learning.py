"""From rankings to a weights file: fit, judge on targets held out, fit again on everything, say where it came from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.evaluation import Evaluation, evaluate
from clpips.models.fitting.convex import Fit, fit_convex, fit_personal
from clpips.models.metric.weights import LayerWeights
from clpips.models.rankings.measured import Measured
from clpips.models.rankings.splitting import Split, SplitBy, split_rankings

Recipe = Literal["convex", "personal", "paper"]
CURVE_SIZES: Final = (10, 20, 50, 200, 1000)  # rankings; and all of them


@dataclass(frozen=True, eq=False)
class Learned:
    """`weights` are fitted on all rankings; `held_out` judges the same recipe fitted on a share of the targets.

    `held_out` is None where nothing could be held out. `held_out_weights` are what it judges.
    """

    weights: LayerWeights
    fit: Fit
    split: Split
    held_out: Evaluation | None
    held_out_weights: NDArray[np.float32]


@dataclass(frozen=True)
class CurvePoint:
    """One fit on `rankings` randomly drawn rankings, and its lead over the parent in share of choices held out."""

    recipe: Recipe
    rankings: int
    seed: int
    vote_agreement: float
    lead: float
    seconds: float


def learn(
    measured: Measured,
    name: str,
    parents: Mapping[str, NDArray[np.float32]],
    backbone: str,
    resolution: int | None,
    recipe: Recipe = "convex",
    share: float = 0.7,
    seed: int = 0,
    by: SplitBy = "target",
) -> Learned:
    """Fit weights to rankings. `parents` as in `fit_convex`; `share`, `seed` and `by` as in `split_rankings`."""
    split = split_rankings(measured.rankings, share, seed, by)
    parent_name, parent = next(iter(parents.items()))
    held_out, part = None, parent
    if split.fit and split.held_out:
        part = fit_with(recipe, measured.take(split.fit), parents, seed).weights
        held_out = evaluate(measured.take(split.held_out), part, parent, (name, parent_name), seed)
        if split.warning:
            held_out = replace(held_out, warnings=(split.warning, *held_out.warnings))
    fit = fit_with(recipe, measured, parents, seed)
    weights = LayerWeights(
        fit.weights,
        name,
        parent=fit.parent,
        backbone=backbone,
        resolution=resolution,
        recipe=_describe(recipe, fit, len(measured.rankings)),
        agreement=_agreement(held_out, share, seed, by),
    )
    return Learned(weights, fit, split, held_out, part)


def fit_with(recipe: Recipe, measured: Measured, parents: Mapping[str, NDArray[np.float32]], seed: int) -> Fit:
    """Fit by a recipe. Raises `ModuleNotFoundError` for `paper` without PyTorch."""
    pairs = measured.pairs()
    name, parent = next(iter(parents.items()))
    if recipe == "convex":
        return fit_convex(pairs, parents)
    if recipe == "personal":
        return fit_personal(pairs, parent, name)
    from clpips.models.fitting.paper import fit_paper

    targets = len(np.unique(pairs.targets))
    try:
        done = fit_paper(pairs, parent, seed=seed)
    except ValueError as error:
        return Fit(parent, False, str(error), name, None, float("nan"), float("nan"), len(pairs), targets, 0.0)
    before, best = done.validation[0], done.validation[done.best_epoch]
    return Fit(done.weights, True, "", name, None, best, before, len(pairs), targets, done.seconds)


def _describe(recipe: Recipe, fit: Fit, rankings: int) -> str:
    if not fit.supported:
        return f"{recipe}, not supported: {fit.reason}; these are the parent's weights"
    ridge = "" if fit.ridge is None else f", ridge {fit.ridge:g}"
    return f"{recipe}{ridge}, {rankings} rankings ({fit.pairs} ordered pairs) of {fit.targets} targets"


def _agreement(held_out: Evaluation | None, share: float, seed: int, by: SplitBy) -> dict[str, Any]:
    """What the weights file says of held-out targets: of the same recipe, fitted on `share` of them."""
    if held_out is None:
        return {}
    figures = held_out.as_json()
    chosen = ("name", "pair_agreement", "vote_agreement", "vote_ceiling", "spearman", "icc2_1", "icc2_k")
    return {
        "split": {"share": share, "seed": seed, "by": by},
        "held_out": {side: {name: figures[side][name] for name in chosen} for side in ("metric", "baseline")},
        "sets": held_out.sets,
        "targets": held_out.targets,
    }


def learning_curve(
    measured: Measured,
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
            fit = fit_with(recipe, measured.take([split.fit[index] for index in drawn]), parents, seed)
            pairs = measured.take(split.held_out).pairs()
            reached, before = pairs.agreement(fit.weights), pairs.agreement(parent)
            yield CurvePoint(recipe, len(drawn), seed, reached, reached - before, fit.seconds)
        if progress:
            progress(done, len(steps))
