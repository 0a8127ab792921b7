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

from clpips.models.fitting.convex.differences import Differences
from clpips.models.fitting.convex.folds import Fold
from clpips.models.fitting.convex.newton_steps import Kernel, by_products, by_rows
from clpips.models.fitting.convex.solver import BoundedRanking, Chosen, Floats, Indices, Vector
from clpips.models.fitting.convex.space import MANY_ROWS, Space
from clpips.models.fitting.convex.voted_pairs import VotedPairs

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

    def __init__(self, compared: VotedPairs, differences: Differences, branches: Sequence[Branch]) -> None:
        self._compared = compared
        self._low, self._high = differences.low, differences.high
        self._branches = branches
        self._kernels = [
            None if space.products is None else Kernel.of(space.rows, space.coarse, space.products)
            for space, _ in branches
        ]
        self._worth = vote_worth(compared)
        self._room: Floats | None = None  # for the rows that a fold learns from

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
        distances = (compared.rows @ weights.T.astype(np.float32)).astype(np.float64)  # (r, k)
        gaps = distances[compared.high[fold.asked]] - distances[compared.low[fold.asked]]  # (asked, k)
        sizes = distances[seen].mean(axis=0)  # (k,)
        sizes = np.where(sizes > 0, sizes, 1)
        return Asked(weights / sizes[:, np.newaxis], gaps / sizes, self._losses(gaps, fold.asked, fold.worth))

    def _losses(self, gaps: Vector, asked: Chosen, each: float) -> Vector:
        """Logistic losses of gaps, `(asked, k)`, at each scale: `(k, scales)`, in independent answers.

        An answer counts `each`, in [0, 1].
        """
        compared = self._compared
        worth = each * (compared.evidence / compared.votes.mean())[asked]  # (asked,)
        worth = worth * min(1.0, len(compared.images(asked)) / compared.answers(asked))  # no more answers than images
        votes_for, votes_against = worth * compared.votes_for[asked], worth * compared.votes_against[asked]  # (asked,)
        against = votes_against @ gaps  # (k,)
        # log(1 + exp(x)) is x more than log(1 + exp(−x))
        losses = [(votes_for + votes_against) @ np.logaddexp(0, -scale * gaps) + scale * against for scale in SCALES]
        return np.stack(losses, axis=1)

    def _fits(self, learned: Chosen, tolerance: float, wanted: Chosen | None = None) -> Vector:
        compared = self._compared
        low, high, used = self._used(learned)
        found: list[Vector] = []
        votes = self._worth * compared.votes_for[learned], self._worth * compared.votes_against[learned]
        for (space, strengths), whole in zip(self._branches, self._kernels, strict=True):
            rows = space.rows if used is None else self._copied(space.rows, used)
            problem = BoundedRanking(rows, low, high, *votes)
            kernel = whole if whole is None or used is None else whole.at(used, rows)
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

    def _copied(self, rows: Floats, used: Indices) -> Floats:
        """Those of the rows that are used, `(n, d)`, in memory that the next call uses again: new memory takes time."""
        if self._room is None:
            self._room = np.empty(max(space.rows.size for space, _ in self._branches), np.float32)
        copy = self._room[: len(used) * rows.shape[1]].reshape(len(used), -1)
        return rows.take(used, axis=0, out=copy, mode="clip")  # with another mode NumPy would take a second copy

    def _used(self, learned: Chosen) -> tuple[Indices, Indices, Indices | None]:
        """The two rows of each comparison that is learned from, `(learned,)`, among those rows that are used, `(n,)`.

        None stands for all of them; the number after the last is a ground's.
        """
        low, high = self._low[learned], self._high[learned]
        count = len(self._branches[0][0].rows)
        used, places = np.unique(np.concatenate([low, high, [count]]), return_inverse=True)
        if len(used) == count + 1:
            return low, high, None
        return places[: len(low)], places[len(low) : -1], used[:-1]


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
