"""Recipes by name: what each gives for some rankings, and the parent's weights where the rankings support no fit."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.fit import fit_convex
from clpips.models.fitting.convex.guard import Validation
from clpips.models.fitting.convex.members import PERSONAL, ConvexRecipe
from clpips.models.fitting.convex.voted_pairs import NoFitError
from clpips.models.metric.weights import LayerWeights
from clpips.models.rankings.pairs import RankedPairs

Recipe = Literal["convex", "personal", "paper"]

DEFAULT_PARENTS: Final[dict[Recipe, str]] = {"convex": "balanced", "personal": "balanced", "paper": "lpips"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What a recipe gives: weights, float32 `(6016,)`, and how it came to them.

    Where the pairs support no fit, `reason` says why, and `weights` are the parent's. `validation` is None where
    nothing could be held out, and for `paper`, whose own validation chose its epoch.
    """

    weights: NDArray[np.float32]
    parent: str
    validation: Validation | None = None
    reason: str = ""
    pairs: int
    targets: int
    seconds: float

    @property
    def supported(self) -> bool:
        """Whether the weights are fitted ones."""
        return not self.reason


def fit_with(recipe: Recipe, pairs: RankedPairs, parent: LayerWeights, seed: int = 0) -> Outcome:
    """Fit pairs by a recipe, from a parent. `seed` is `paper`'s; the others are deterministic.

    Raises `ModuleNotFoundError` for `paper` without PyTorch.

    >>> from clpips.models.metric.weights_files import load_weights
    >>> from clpips.models.rankings.pairs import join_pairs
    >>> fit_with("convex", join_pairs([]), load_weights("balanced")).reason
    'there are no ordered pairs: every candidate is tied, or no ranking came'
    """
    fit = _load(recipe)
    started = perf_counter()
    validation: Validation | None = None
    try:
        weights, validation = fit(pairs, parent.values, seed)
        reason = "" if validation is None or validation.supports else _behind(validation, parent.name)
    except NoFitError as error:
        weights, reason = parent.values, str(error)
    return Outcome(
        weights=parent.values if reason else weights,
        parent=parent.name,
        validation=validation,
        reason=reason,
        pairs=len(pairs),
        targets=len(np.unique(pairs.targets)),
        seconds=perf_counter() - started,
    )


Fitting = Callable[[RankedPairs, NDArray[np.float32], int], tuple[NDArray[np.float32], Validation | None]]


def _load(recipe: Recipe) -> Fitting:
    """The recipe as a function. PyTorch is imported here, which takes seconds that are not the fit's."""
    if recipe == "paper":
        from clpips.models.fitting.paper import fit_paper

        return lambda pairs, parent, seed: (fit_paper(pairs, parent, seed=seed).weights, None)
    return _convex(None if recipe == "convex" else PERSONAL)


def _convex(recipe: ConvexRecipe | None) -> Fitting:
    def fit(pairs: RankedPairs, parent: NDArray[np.float32], _: int) -> tuple[NDArray[np.float32], Validation]:
        fitted = fit_convex(pairs, parent, recipe)
        return fitted.weights, fitted.validation

    return fit


def _behind(validation: Validation, parent: str) -> str:
    """Why a fit that predicts held-out choices worse than its parent is not taken."""
    return (
        f"on {validation.words} the fitted weights agree with {validation.agreement:.1%} of the choices, {parent} with "
        f"{validation.parent_agreement:.1%}: more rankings are needed"
    )
