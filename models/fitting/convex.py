"""Convex recipe: a squared hinge on people's ordered pairs, with a ridge towards a parent, solved to its one optimum.

Every channel is standardised by its root mean square over the rankings' images, so that the ridge acts on what a
channel adds to a distance and not on a weight that is large because its channel is quiet. The ridge pulls towards the
parent, whose five layers may each be scaled freely, because rankings determine no scale and LPIPS's balance of layers
is what people differ from first. Parent and ridge are chosen by cross-validation. Deterministic, no epochs.

The margin of the hinge is no parameter here: with the scale free, another gives the same weights times a constant.
(The paper's own recipe is `paper.py`.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from clpips.models.fitting.ridge_path import RidgePath
from clpips.models.fitting.validation import NoFitError, Validation, choose, compare_with_parent, split_folds
from clpips.models.fitting.voted_pairs import VotedPairs
from clpips.models.metric.backbone import TOTAL_CHANNELS
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.pairs import RankedPairs

RIDGES: Final = (30.0, 10.0, 3.0, 1.0, 0.5, 0.2)  # in units of the mean squared difference of a pair
# One BLAS thread: beside an engine that keeps all cores busy, several wait for each other (1.5 s become a minute).
# The number is the process's, not the thread's: hence one fit at a time.
_ONE_AT_A_TIME: Final = Lock()
_BLAS: Final = ThreadpoolController()


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """Weights fitted to pairs.

    `weights` is float32 `(1152,)`, ≥ 0; `parent` names the weights that the ridge pulled them towards; `ridge` is in
    units of the mean squared difference of a pair. `validation` compares such fits with the first parent on pairs that
    they had not seen: whether these weights are any better is for the caller to judge by. `blind[target]`, `(1152,)`,
    are the weights of the fold that held the target out, up to a factor; there are none where candidates were held out.
    """

    weights: NDArray[np.float32]
    parent: str
    ridge: float
    validation: Validation
    blind: Mapping[int, NDArray[np.float32]]


def default_parents() -> dict[str, NDArray[np.float32]]:
    """LPIPS v0.1, and equal weights on all channels: on some people's rankings the second is the better start."""
    return {"lpips": load_weights("lpips").values, "equal": np.ones(TOTAL_CHANNELS, np.float32)}


def fit_convex(
    pairs: RankedPairs,
    parents: Mapping[str, NDArray[np.float32]] | None = None,
    *,
    ridges: Sequence[float] = RIDGES,
    one_target: bool = False,
) -> Fit:
    """Fit weights to people's ordered pairs.

    `parents` are named weights, float32 `(1152,)`, to start from; the first is the one to compare with. Without any:
    `default_parents()`. The fitted weights are scaled so that the mean distance over the pairs' rows is the first
    parent's: 0.3 stays as far as it was. Deterministic.

    Cross-validation tries `ridges`, the largest first. With `one_target`, rankings that all share a target support a
    fit too: cross-validation then holds candidates out. Raises `NoFitError` where the pairs support none, and
    `ValueError` for no parent or one of another shape.

    >>> from clpips.models.rankings.pairs import join_pairs, pairs_of_ranking
    >>> z = np.random.default_rng(0).gamma(1, 0.001, (8, 5, TOTAL_CHANNELS)).astype(np.float32)
    >>> pairs = join_pairs([pairs_of_ranking(rows, [1, 2, 3, 4, 5], target) for target, rows in enumerate(z)])
    >>> pairs.agreement(fit_convex(pairs).weights) > pairs.agreement(load_weights("lpips").values)
    True
    """
    with _ONE_AT_A_TIME, _BLAS.limit(limits=1, user_api="blas"):
        return _fit(pairs, dict(default_parents() if parents is None else parents), ridges, one_target)


def _fit(
    pairs: RankedPairs, parents: Mapping[str, NDArray[np.float32]], ridges: Sequence[float], one_target: bool
) -> Fit:
    if not parents:
        raise ValueError("a fit needs at least one parent to start from")
    for name, weights in parents.items():
        if weights.shape != (TOTAL_CHANNELS,):
            raise ValueError(f"the parent {name!r} has the shape {weights.shape}, expected ({TOTAL_CHANNELS},)")
    if not len(pairs):
        raise NoFitError("there are no ordered pairs: every candidate is tied, or no ranking came")
    data = VotedPairs(pairs)
    if not len(data):
        raise NoFitError("all compared candidates look the same to the metric: their channel distances are equal")
    if not np.any(data.votes_for != data.votes_against):
        raise NoFitError("the rankings contradict each other exactly: every pair is ordered both ways equally often")
    folds = split_folds(data)
    if len(folds.splits) < 2 or (len(np.unique(pairs.targets)) < 2 and not one_target):
        raise NoFitError("all rankings share one target: with a second one it can be told what carries over")

    paths = {name: RidgePath(data, folds.splits, weights, ridges) for name, weights in parents.items()}
    losses = np.stack([path.losses for path in paths.values()])  # (parents, folds, ridges)
    parent, ridge = choose(losses, ridges)
    name, path = list(paths.items())[parent]
    first = next(iter(parents.values()))
    validation = compare_with_parent(data, folds, path.agreeing[:, ridge], first)
    fitted = data.channel_weights(path.refit(ridge), first)
    if fitted is None:
        raise NoFitError("the rankings favour no channel at all: they contradict each other", validation)
    blind: dict[int, NDArray[np.float32]] = {}
    if folds.unit == "targets":
        for (_, held_out), weights_of in zip(folds.splits, path.weights, strict=True):
            unseeing = (weights_of[ridge] / data.rms).astype(np.float32)  # (c,)
            blind |= dict.fromkeys(np.unique(data.targets[held_out]).tolist(), unseeing)
    return Fit(weights=fitted, parent=name, ridge=ridges[ridge], validation=validation, blind=blind)
