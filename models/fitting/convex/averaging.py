"""Model averaging: fits of several families at several strengths, each counted by what it says of what it has not seen.

    shares_j ∝ usual_j · exp(−temper · loss_j)        weights = Σ_j shares_j · fit_j

`usual` is what each fit counts before anything has been held out; the loss is the logistic loss of the held-out
comparisons, at the one scale that suits the fit best. Few rankings hardly tell fits apart, and a winner among them
would jump about from ranking to ranking; their average does not. So a family enters or leaves, and channels are held
more or less strongly, step by step.

**Votes about the same images are not independent**: thousands of them about a hundred images teach what is between
these images, and not much more of others. A comparison's weight in a fit falls where there are more than
`ANSWERS_AN_IMAGE` independent answers for each image.

Shapes: r rows, m comparisons, c channels, k fits (a strength in a space each), f folds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from clpips.models.fitting.convex.folds import Fold
from clpips.models.fitting.convex.newton_steps import Kernel, by_products, by_rows
from clpips.models.fitting.convex.solver import BoundedRanking, Chosen, Vector
from clpips.models.fitting.convex.space import Space
from clpips.models.fitting.convex.voted_pairs import VotedPairs

MANY_ROWS: Final = 500  # above it a step is found by products
SCALES: Final = np.geomspace(0.25, 16, 13)  # at which held-out scores are tried
FINAL: Final = 1e-3  # relative decrease of the objective at which a fit ends
BLIND: Final = 1e-2  # the same of a fold's
COUNTS: Final = 0.02  # share from which on a fit to many rows is worth its seconds
ANSWERS_AN_IMAGE: Final = 25.0  # independent ones, at most, that a fit learns from

Branch = tuple[Space, Sequence[float]]  # a space, and the strengths of its fits, the strictest first


@dataclass(frozen=True, eq=False)
class Asked:
    """What fits that had not seen a fold's comparisons say of them.

    `weights`, `(k, c)`, are these fits, each of mean distance 1 over the rows that they learned from; `gaps`,
    `(asked, k)`, is by how much they put the high row further; `losses`, `(k, scales)`, what that costs.
    """

    weights: Vector
    gaps: Vector
    losses: Vector


class Averaging:
    """Fits of the same comparisons in every space, at each of its strengths."""

    def __init__(self, compared: VotedPairs, branches: Sequence[Branch]) -> None:
        self._compared = compared
        self._branches = branches
        few = len(compared.rows) <= MANY_ROWS
        self._kernels = [Kernel.of(space.rows, space.coarse) if few else None for space, _ in branches]
        self._worth = vote_worth(compared)

    @property
    def quick(self) -> bool:
        """Whether all fits together take no longer than looking which of them count."""
        return len(self._compared.rows) <= MANY_ROWS

    def fits(self, shares: Vector | None = None) -> Vector:
        """Fits to all comparisons, `(k, c)`; with shares, `(k,)`, only those that count, the others are zero."""
        wanted = None if shares is None else shares > 0
        return self._fits(np.ones(len(self._compared), bool), FINAL, wanted)

    def ask(self, fold: Fold) -> Asked:
        """Fits to what a fold learns from, and what they say of what it asks about."""
        compared = self._compared
        weights = self._fits(fold.learned, BLIND)  # (k, c)
        seen = np.unique(np.concatenate([compared.low[fold.learned], compared.high[fold.learned]]))
        low, high = compared.low[fold.asked], compared.high[fold.asked]
        rows, places = np.unique(np.concatenate([low, high]), return_inverse=True)
        distances = (compared.rows[rows] @ weights.T.astype(np.float32)).astype(np.float64)  # (rows, k)
        gaps = distances[places[len(low) :]] - distances[places[: len(low)]]  # (asked, k)
        sizes = weights @ compared.rows[seen].mean(axis=0, dtype=np.float64)  # (k,)
        sizes = np.where(sizes > 0, sizes, 1)
        return Asked(weights / sizes[:, np.newaxis], gaps / sizes, self._losses(gaps, fold.asked))

    def _losses(self, gaps: Vector, asked: Chosen) -> Vector:
        """Logistic losses of gaps, `(asked, k)`, at each scale: `(k, scales)`, in independent answers."""
        compared = self._compared
        worth = (compared.evidence / compared.votes.mean())[asked]  # (asked,)
        worth = worth * min(1.0, len(compared.images(asked)) / compared.answers(asked))  # no more answers than images
        losses = [
            (worth * compared.votes_for[asked]) @ np.logaddexp(0, -scale * gaps)
            + (worth * compared.votes_against[asked]) @ np.logaddexp(0, scale * gaps)
            for scale in SCALES
        ]
        return np.stack(losses, axis=1)

    def _fits(self, learned: Chosen, tolerance: float, wanted: Chosen | None = None) -> Vector:
        compared = self._compared
        low, high = compared.low[learned], compared.high[learned]
        rows, places = np.unique(np.concatenate([low, high]), return_inverse=True)
        low, high = places[: len(low)], places[len(low) :]
        found: list[Vector] = []
        votes = self._worth * compared.votes_for[learned], self._worth * compared.votes_against[learned]
        for (space, strengths), whole in zip(self._branches, self._kernels, strict=True):
            problem = BoundedRanking(space.rows[rows], low, high, *votes)
            kernel = whole.at(rows) if whole and len(rows) < len(compared.rows) else whole
            u = space.prior
            for strength in strengths:  # from the strictest on, each from the last one's solution
                if wanted is None or wanted[len(found)]:
                    variance = space.variance(strength)
                    step = by_rows(problem, kernel, variance, strength) if kernel else by_products(problem, variance)
                    u = problem.solve(space.prior, variance, u, step, tolerance)
                    found.append(space.weights(u))
                else:
                    found.append(np.zeros(compared.rows.shape[1]))
        return np.stack(found)


def vote_worth(compared: VotedPairs) -> float:
    """What a vote counts in a fit: 1, or less where there are too many answers about the same images."""
    images, answers = len(compared.images(slice(None))), compared.answers(slice(None))
    return min(1.0, ANSWERS_AN_IMAGE * images / answers)


def average_shares(usual: Vector, losses: Sequence[Vector], temper: float) -> Vector:
    """What each fit counts, `(k,)`, by the losses `(k, scales)` of some folds; none: `usual`, `(k,)`."""
    logits = np.log(usual)
    if losses:
        logits = logits - temper * np.sum(losses, axis=0).min(axis=1)  # one scale for all folds
    likely = np.exp(logits - logits.max())
    return np.asarray(likely / likely.sum())


def that_count(shares: Vector) -> Vector:
    """The shares without those that hardly count, which would cost as long a fit as the others: `(k,)`."""
    kept = np.where(shares >= COUNTS, shares, 0)
    return np.asarray(kept / kept.sum())
