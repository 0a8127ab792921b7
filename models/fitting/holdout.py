"""Hold-out validation and refit: from rankings to a weights file that says how it fares on images it has not seen.

A first fit, on a share of the images, or of the targets, is evaluated on the others; the weights that are given out are
then fitted by the same recipe on everything.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.evaluation import evaluate
from clpips.models.agreement.figures import Evaluation
from clpips.models.fitting.recipes import Outcome, Recipe, fit_with
from clpips.models.metric.weights import LayerWeights
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.membership import Seen, hash_data_set, share_seen
from clpips.models.rankings.splitting import Split, SplitBy


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The evaluation, on what was held out, of `weights`, float32 `(6016,)`, fitted on the rest."""

    weights: NDArray[np.float32]
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class JudgedFit:
    """`weights` are `outcome`'s, fitted on all rankings; `held_out` judges the recipe, where something was held out.

    `parent_seen` is how much of the rankings the parent was fitted to: no figure of what begins with it is of anything
    else.
    """

    weights: LayerWeights
    outcome: Outcome
    split: Split
    held_out: HeldOut | None
    parent_seen: Seen


def fit_and_judge(
    measured: MeasuredRankings,
    parent: LayerWeights,
    baseline: LayerWeights,
    *,
    name: str,
    backbone: str,
    resolution: int | None,
    recipe: Recipe = "convex",
    share: float = 0.7,
    seed: int = 0,
    by: SplitBy | None = None,
) -> JudgedFit:
    """Fit weights to rankings, and judge the recipe on a share of them.

    The fit starts from `parent` and is judged beside `baseline`; `share`, `seed` and `by` are as in `split_rankings`,
    which says what it raises. `name`, `backbone` (its fingerprint) and `resolution` go into the weights.
    """
    split = measured.split(share, seed, by)
    held_out = None
    if split.fit and split.held_out:
        fitted = fit_with(recipe, measured.take(split.fit).pairs(), parent, seed).weights
        held_out = _judge(measured, split, fitted, parent, baseline, name, seed)
    outcome = fit_with(recipe, measured.pairs(), parent, seed)
    weights = LayerWeights(
        outcome.weights,
        name,
        parent=outcome.parent,
        backbone=backbone,
        resolution=resolution,
        recipe=_describe(recipe, outcome, len(measured.rankings)),
        agreement=_provenance(held_out.evaluation, split, share, seed) if held_out else {},
        trained_on=parent.trained_on | hash_data_set(measured) if outcome.supported else parent.trained_on,
    )
    return JudgedFit(weights, outcome, split, held_out, share_seen(parent.trained_on, measured))


def _judge(
    measured: MeasuredRankings,
    split: Split,
    weights: NDArray[np.float32],
    parent: LayerWeights,
    baseline: LayerWeights,
    name: str,
    seed: int,
) -> HeldOut:
    """Weights fitted to one side of the split, evaluated on the other, which the parent may have seen."""
    names = (name, baseline.name)
    held_out = measured.take(split.held_out)
    evaluation = replace(
        evaluate(held_out, weights, baseline.values, names, seed),
        metric_seen=share_seen(parent.trained_on, held_out),
        baseline_seen=share_seen(baseline.trained_on, held_out),
    )
    if split.warning:
        evaluation = replace(evaluation, warnings=(split.warning, *evaluation.warnings))
    return HeldOut(weights, evaluation)


def _describe(recipe: Recipe, outcome: Outcome, rankings: int) -> str:
    if not outcome.supported:
        return f"{recipe}, not supported: {outcome.reason}; these are the parent's weights"
    return f"{recipe}, {rankings} rankings ({outcome.pairs} ordered pairs) of {outcome.targets} targets"


def _provenance(held_out: Evaluation, split: Split, share: float, seed: int) -> dict[str, Any]:
    """What the weights file says of the evaluation, and of what was held out for it."""
    figures = held_out.as_json()
    chosen = ("name", "pair_agreement", "vote_agreement", "vote_ceiling", "spearman", "icc2_1", "icc2_k")
    return {
        "split": {"share": share, "seed": seed, "by": split.by},
        "held_out": {side: {name: figures[side][name] for name in chosen} for side in ("metric", "baseline")},
        "sets": held_out.sets,
        "targets": held_out.targets,
    }
