"""Cross-validation (k-fold): what is held out of a fit, and which parent and ridge predict it best.

Folds hold out whole targets, because the rankings of a target hang together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.solver import Indices, Vector
from clpips.models.fitting.voted_pairs import VotedPairs

FOLDS: Final = 5  # of targets
CANDIDATE_FOLDS: Final = 10  # of candidates, where all rankings share a target
USUAL_RIDGE: Final = 1.0  # where data sets of 50 to 20,000 pairs alike came out
SIGNIFICANT: Final = 2.0  # standard errors over the folds: a smaller difference is taken for chance

Unit = Literal["targets", "candidates"]  # what a fold holds out whole


class Fold(NamedTuple):
    """Which of m pairs are learned from, and which are asked about: bool `(m,)` each."""

    learned: NDArray[np.bool_]
    held_out: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Folds:
    """The splits of some pairs, the unit that they hold out, and the votes that are held out in all of them."""

    splits: Sequence[Fold]
    unit: Unit
    votes: float


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What cross-validation found of a fit and of the parent to compare it with.

    `agreement` and `parent_agreement` are the shares of the held-out votes, in [0, 1], that they agree with;
    `lead_error` is the standard error of the difference over the folds; `unit` says what was held out.
    """

    agreement: float
    parent_agreement: float
    lead_error: float
    unit: Unit

    @property
    def supports(self) -> bool:
        """Whether the fit is not significantly worse than the parent.

        >>> Validation(agreement=0.6, parent_agreement=0.7, lead_error=0.06, unit="targets").supports
        True
        """
        return self.agreement >= self.parent_agreement - SIGNIFICANT * self.lead_error


class NoFitError(ValueError):
    """The rankings support no fit; the message says why, and what would. `validation` is there if it got that far."""

    def __init__(self, reason: str, validation: Validation | None = None) -> None:
        self.validation = validation
        super().__init__(reason)


def split_folds(pairs: VotedPairs) -> Folds:
    """Folds of whole targets; of candidates where there is one target alone."""
    several = len(np.unique(pairs.targets)) != 1
    folds = _target_folds(pairs.targets, pairs.votes) if several else _candidate_folds(pairs.low, pairs.high)
    votes = float(sum(pairs.votes[fold.held_out].sum() for fold in folds))
    return Folds(folds, "targets" if several else "candidates", votes)


def _target_folds(targets: Indices, votes: Vector) -> list[Fold]:
    """Folds of about equally many votes, by a greedy partition: the heaviest target first, into the lightest fold."""
    names, which = np.unique(targets, return_inverse=True)  # (t,), (m,)
    folds = min(FOLDS, len(names))
    weight = np.bincount(which, votes, len(names))  # (t,)
    loads = [0.0] * folds
    fold_of = np.zeros(len(names), np.intp)  # (t,)
    for name in np.argsort(-weight, kind="stable"):
        lightest = loads.index(min(loads))
        fold_of[name] = lightest
        loads[lightest] += float(weight[name])
    fold = fold_of[which]  # (m,)
    return [Fold(fold != one, fold == one) for one in range(folds)]


def _candidate_folds(low: Indices, high: Indices) -> list[Fold]:
    """Folds of candidates: each learns from the pairs without them, and is asked about the pairs with one of them.

    A pair of candidates of two folds is asked about twice.
    """
    rows = np.unique(np.concatenate([low, high]))  # (r,)
    fold_of = np.arange(len(rows)) % CANDIDATE_FOLDS  # (r,): one at a time, of a ranking of ten
    first, second = fold_of[np.searchsorted(rows, low)], fold_of[np.searchsorted(rows, high)]  # (m,)
    folds = [
        Fold((first != one) & (second != one), (first == one) | (second == one)) for one in range(fold_of.max() + 1)
    ]
    return [fold for fold in folds if fold.learned.any() and fold.held_out.any()]


def choose(losses: NDArray[np.float64], ridges: Sequence[float]) -> tuple[int, int]:
    """Parent and ridge by the standard-error rule, from losses `(parents, folds, ridges)`: their places in them.

    As in Breiman and others' one-standard-error rule (Classification and Regression Trees, 1984), the folds decide only
    what they can tell apart. Of all that lie within two standard errors of the smallest loss, the ridge nearest to the
    usual one is taken, and the first parent: few rankings make the plain minimum jump about.
    """
    total = losses.sum(axis=1)  # (parents, ridges)
    best = np.unravel_index(total.argmin(), total.shape)
    behind = losses - losses[best[0], :, best[1]][np.newaxis, :, np.newaxis]  # (parents, folds, ridges)
    error = SIGNIFICANT * behind.std(axis=1, ddof=1) * np.sqrt(losses.shape[1])  # (parents, ridges)
    close = behind.sum(axis=1) <= error  # (parents, ridges)
    distance = np.abs(np.log(np.asarray(ridges) / USUAL_RIDGE))  # (ridges,)
    options = [(distance[ridge], parent, total[parent, ridge], ridge) for parent, ridge in np.argwhere(close)]
    _, parent, _, ridge = min(options)
    return int(parent), int(ridge)


def compare_with_parent(pairs: VotedPairs, folds: Folds, agreeing: Vector, parent: NDArray[np.float32]) -> Validation:
    """A fit beside a parent: `agreeing`, `(folds,)`, are the held-out votes that the fit agrees with in each fold."""
    scores = pairs.scores(pairs.standardise(parent))  # (m,)
    parents = np.array([pairs.agreeing(scores[held_out], held_out) for _, held_out in folds.splits])  # (folds,)
    return Validation(
        agreement=float(agreeing.sum() / folds.votes),
        parent_agreement=float(parents.sum() / folds.votes),
        lead_error=float((agreeing - parents).std(ddof=1) * np.sqrt(len(folds.splits)) / folds.votes),
        unit=folds.unit,
    )
