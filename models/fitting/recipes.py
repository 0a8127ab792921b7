"""Recipes by name: what each gives for some rankings, and the parent's weights where the rankings support no fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex import fit_convex
from clpips.models.fitting.personal import fit_personal
from clpips.models.fitting.validation import NoFitError, Validation
from clpips.models.rankings.pairs import RankedPairs

Recipe = Literal["convex", "personal", "paper"]
Parents = Mapping[str, NDArray[np.float32]]  # (1152,) by name, the first to be compared with


class Fitted(NamedTuple):
    """What every recipe finds: weights `(1152,)`, the parent's name, the ridge where it has one, and the validation."""

    weights: NDArray[np.float32]
    parent: str
    ridge: float | None
    validation: Validation


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What a recipe gives: weights, float32 `(1152,)`, and how it came to them.

    Where the pairs support no fit, `reason` says why, and `weights` are the first parent's. `parent` names the weights
    that the fit started from, or those. `ridge` is None where the recipe has none, or no fit; `validation` where
    nothing could be held out.
    """

    weights: NDArray[np.float32]
    parent: str
    ridge: float | None = None
    validation: Validation | None = None
    reason: str = ""
    pairs: int
    targets: int
    seconds: float

    @property
    def supported(self) -> bool:
        """Whether the weights are fitted ones."""
        return not self.reason


def fit_with(recipe: Recipe, pairs: RankedPairs, parents: Parents, seed: int = 0) -> Outcome:
    """Fit pairs by a recipe. `parents` are as in `fit_convex`; every other recipe takes the first. `seed` is `paper`'s.

    Raises `ModuleNotFoundError` for `paper` without PyTorch.

    >>> from clpips.models.fitting.convex import default_parents
    >>> from clpips.models.rankings.pairs import join_pairs
    >>> fit_with("convex", join_pairs([]), default_parents()).reason
    'there are no ordered pairs: every candidate is tied, or no ranking came'
    """
    first, original = next(iter(parents.items()))
    fit = _load(recipe)
    started = perf_counter()
    validation: Validation | None
    try:
        weights, parent, ridge, validation = fit(pairs, parents, seed)
        reason = "" if validation.supports else _behind(validation, first)
    except NoFitError as error:
        validation, reason = error.validation, str(error)
    if reason:
        weights, parent, ridge = original, first, None
    return Outcome(
        weights=weights,
        parent=parent,
        ridge=ridge,
        validation=validation,
        reason=reason,
        pairs=len(pairs),
        targets=len(np.unique(pairs.targets)),
        seconds=perf_counter() - started,
    )


def _load(recipe: Recipe) -> Callable[[RankedPairs, Parents, int], Fitted]:
    """The recipe as a function. PyTorch is imported here, which takes seconds that are not the fit's."""
    if recipe == "paper":
        from clpips.models.fitting.paper import fit_paper

        def paper(pairs: RankedPairs, parents: Parents, seed: int) -> Fitted:
            name, parent = next(iter(parents.items()))
            fit = fit_paper(pairs, parent, seed=seed)
            before, best = fit.validation[0], fit.validation[fit.best_epoch]
            validation = Validation(agreement=best, parent_agreement=before, lead_error=0.0, unit="targets")
            return Fitted(fit.weights, name, None, validation)

        return paper
    return _convex if recipe == "convex" else _personal


def _convex(pairs: RankedPairs, parents: Parents, _: int) -> Fitted:
    fit = fit_convex(pairs, parents)
    return Fitted(fit.weights, fit.parent, fit.ridge, fit.validation)


def _personal(pairs: RankedPairs, parents: Parents, _: int) -> Fitted:
    name, parent = next(iter(parents.items()))
    fit = fit_personal(pairs, parent, name)
    return Fitted(fit.weights, fit.parent, fit.ridge, fit.validation)


def _behind(validation: Validation, parent: str) -> str:
    """Why a fit that predicts held-out choices worse than its parent is not taken."""
    return (
        f"on {validation.unit} kept apart the fitted weights agree with {validation.agreement:.1%} of the choices, "
        f"{parent} with {validation.parent_agreement:.1%}: more rankings are needed"
    )
