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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from clpips.models.fitting.convex.arrays import Chosen, Floats, Indices, Vector
from clpips.models.fitting.convex.differences import Differences
from clpips.models.fitting.convex.folds import Fold
from clpips.models.fitting.convex.graph import Graph
from clpips.models.fitting.convex.newton_steps import Kernel, by_products, by_rows
from clpips.models.fitting.convex.solver import BoundedRanking
from clpips.models.fitting.convex.space import MANY_ROWS, Space
from clpips.models.fitting.convex.voted_pairs import VotedPairs

SCALES: Final = np.geomspace(0.25, 16, 13)  # at which held-out scores are tried
FINAL: Final = 1e-3  # relative decrease of the objective at which a fit ends
BLIND: Final = 1e-2  # the same of a fold's
COUNTS: Final = 0.02  # share from which on a fit to many rows is worth its seconds
ANSWERS_AN_IMAGE: Final = 25.0  # independent ones, at most, that a fit learns from


class Branch(NamedTuple):
    """What makes a space, and the strengths of its fits, the strictest first."""

    make_space: Callable[[], Space]
    strengths: Sequence[float]


@dataclass(frozen=True, eq=False)
class Asked:
    """What fits that had not seen a fold's comparisons say of them.

    `weights`, `(k, c)`, are these fits, each of mean distance 1 over the rows that they learned from; `gaps`,
    `(asked, k)`, is by how much they put the high row further; `losses`, `(k, scales)`, what that costs.
    """

    weights: Vector
    gaps: Vector
    losses: Vector


@dataclass(frozen=True, eq=False)
class Learned:
    """Comparisons that fits learn from: as a graph of the rows that are `used`, `(n,)`, with their votes, `(learned,)`.

    `used` is None where all rows are. `mean`, `(c,)`, is that of the rows themselves.
    """

    graph: Graph
    used: Indices | None
    votes_for: Vector
    votes_against: Vector
    mean: Vector


class InSpace(NamedTuple):
    """What was found in one space: fits to all comparisons, `(strengths, c)`, where these are quick; of each fold."""

    whole: Vector | None
    asked: Sequence[Asked]


class Averaging:
    """Fits of the same comparisons in every space, at each of its strengths.

    What is found in a space depends on no other, nor on where and when it is.
    """

    def __init__(self, compared: VotedPairs, differences: Differences, branches: Sequence[Branch]) -> None:
        self._compared = compared
        self._differences = differences
        self._branches = branches
        self._spaces: dict[int, Space] = {}  # as they are made
        self._worth = vote_worth(compared)
        self._every = self._learned(np.ones(len(compared), bool))
        self._room = np.empty(0, np.float32)  # for the rows that a fold learns from

    @property
    def quick(self) -> bool:
        """Whether all fits together take no longer than looking which of them count."""
        return len(self._compared.rows) <= MANY_ROWS

    def ask(
        self, folds: Sequence[Fold], others: Callable[[], Sequence[InSpace] | None]
    ) -> tuple[Vector | None, list[Asked]]:
        """Fits to all comparisons, `(k, c)`, or None where these are not quick, and what each fold's fits say of it.

        `others` is asked, when all else is done, for what `ask_others` gives elsewhere; where that is None it is done
        here.
        """
        (first,) = self._ask_in([0], folds)
        found = [first, *(others() or self.ask_others(folds))]
        wholes = [each.whole for each in found if each.whole is not None]
        return np.concatenate(wholes) if wholes else None, [
            _joined(parts) for parts in zip(*(each.asked for each in found), strict=True)
        ]

    def ask_others(self, folds: Sequence[Fold]) -> list[InSpace]:
        """What is found in all spaces but the first, which takes about as long as they do."""
        return self._ask_in(range(1, len(self._branches)), folds)

    def fits(self, shares: Vector) -> Vector:
        """Fits to all comparisons, `(k, c)`: those that count by their shares, `(k,)`, the others are zero."""
        wanted = np.split(shares > 0, np.cumsum([len(branch.strengths) for branch in self._branches])[:-1])
        return np.concatenate([self._whole(place, self._kernel(place), one) for place, one in enumerate(wanted)])

    def _ask_in(self, places: Sequence[int], folds: Sequence[Fold]) -> list[InSpace]:
        """In some spaces; their folds begin with what the fit to all comparisons knew of kernels."""
        found, learned = [], [self._learned(fold.learned) for fold in folds]
        for place in places:
            kernel = self._kernel(place)
            whole = self._whole(place, kernel) if self.quick else None
            asked = [self._ask_fold(place, kernel, fold, own) for fold, own in zip(folds, learned, strict=True)]
            found.append(InSpace(whole, asked))
        return found

    def _ask_fold(self, place: int, kernel: Kernel | None, fold: Fold, learned: Learned) -> Asked:
        """Fits in a space to what a fold learns from, and what they say of what it asks about."""
        compared, space = self._compared, self._space(place)
        rows = space.rows if learned.used is None else self._copied(space.rows, learned.used)
        weights = self._fits(place, learned, rows, kernel and kernel.at(learned.used, rows), BLIND)  # (k, c)
        low, high = compared.low[fold.asked], compared.high[fold.asked]
        shown, places = np.unique(np.concatenate([low, high]), return_inverse=True)  # (s,), (2 asked,)
        distances = (compared.rows[shown] @ weights.T.astype(np.float32)).astype(np.float64)  # (s, k)
        gaps = distances[places[len(low) :]] - distances[places[: len(low)]]  # (asked, k)
        sizes = weights @ learned.mean  # (k,)
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
        return logistic_losses(votes_for, votes_against, gaps, SCALES)

    def _whole(self, place: int, kernel: Kernel | None, wanted: Chosen | None = None) -> Vector:
        """Fits to all comparisons in a space, `(strengths, c)`, or only those that are wanted, `(strengths,)`."""
        return self._fits(place, self._every, self._space(place).rows, kernel, FINAL, wanted)

    def _fits(
        self,
        place: int,
        learned: Learned,
        rows: Floats,
        kernel: Kernel | None,
        tolerance: float,
        wanted: Chosen | None = None,
    ) -> Vector:
        """Fits in a space, `(strengths, c)`; `rows`, `(n, d)`, are those of its rows that they learn from."""
        space, strengths = self._space(place), self._branches[place].strengths
        problem = BoundedRanking(rows, learned.graph, learned.votes_for, learned.votes_against)
        found = np.zeros((len(strengths), self._compared.rows.shape[1]))
        u = space.prior
        for number, strength in enumerate(strengths):  # from the strictest on, each from the last one's solution
            if wanted is None or wanted[number]:
                variance = space.variance(strength)
                step = by_rows(problem, kernel, variance, strength) if kernel else by_products(problem, variance)
                u = problem.solve(space.prior, variance, u, step, tolerance)
                found[number] = space.weights(u)
        return found

    def _space(self, place: int) -> Space:
        if place not in self._spaces:
            self._spaces[place] = self._branches[place].make_space()
        return self._spaces[place]

    def _kernel(self, place: int) -> Kernel | None:
        """A space's, which knows no more than that over all channels; None where rows are too many."""
        space = self._space(place)
        return None if space.products is None else Kernel.of(space.rows, space.coarse, space.products)

    def _copied(self, rows: Floats, used: Indices) -> Floats:
        """Those of the rows that are used, `(n, d)`, in memory that the next call uses again: new memory takes time."""
        if self._room.size < rows.size:
            self._room = np.empty(rows.size, np.float32)
        copy = self._room[: len(used) * rows.shape[1]].reshape(len(used), -1)
        return rows.take(used, axis=0, out=copy, mode="clip")  # with another mode NumPy would take a second copy

    def _learned(self, chosen: Chosen) -> Learned:
        """The chosen comparisons, bool `(m,)`, of those rows that they need."""
        compared, differences = self._compared, self._differences
        low, high = differences.low[chosen], differences.high[chosen]
        votes = self._worth * compared.votes_for[chosen], self._worth * compared.votes_against[chosen]
        shown = np.zeros(len(compared.rows), np.float32)  # (r,)
        shown[compared.low[chosen]] = shown[compared.high[chosen]] = 1
        mean = (shown @ compared.rows).astype(np.float64) / shown.sum()  # (c,)
        count = len(differences.rows)
        used, places = np.unique(np.concatenate([low, high, [count]]), return_inverse=True)
        if len(used) == count + 1:
            return Learned(Graph(count, low, high, differences.groups), None, *votes, mean)
        used = used[:-1]  # the last is a ground's
        graph = Graph(len(used), places[: len(low)], places[len(low) : -1], differences.groups[used])
        return Learned(graph, used, *votes, mean)


def _joined(parts: Sequence[Asked]) -> Asked:
    """What a fold's fits in each space say, as what all its fits say."""
    return Asked(
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.gaps for part in parts], axis=1),
        np.concatenate([part.losses for part in parts]),
    )


def logistic_losses(votes_for: Vector, votes_against: Vector, gaps: Vector, scales: Vector) -> Vector:
    """What votes, `(a,)`, cost by gaps, `(a, k)`, each times a scale: minus their log-likelihood, `(k, scales)`."""
    votes, against = votes_for + votes_against, votes_against @ gaps  # (a,), (k,)
    # log(1 + exp(x)) is x more than log(1 + exp(−x))
    return np.stack([votes @ np.logaddexp(0, -scale * gaps) + scale * against for scale in scales], axis=1)


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
