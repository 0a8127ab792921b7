"""Paired comparisons with votes: ordered pairs merged, and who and what was compared, as a fit computes with them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.arrays import Floats, Indices, Vector
from clpips.models.rankings.pairs import RankedPairs

CHUNK: Final = 1000  # comparisons whose rows are looked at together
FIRST: Final = 64  # channels that are looked at before all others


class NoFitError(ValueError):
    """The rankings support no fit; the message says why, and what would."""


@dataclass(frozen=True, eq=False, kw_only=True)
class VotedPairs:
    """m unordered pairs of r rows of channel distances, float32 `(r, c)`, with the votes for either side.

    `votes_for[p]` of the people call row `low[p]` more similar to the target than row `high[p]`, `votes_against[p]` the
    contrary: float64 `(m,)`. `evidence`, `(m,)`, is how many independent answers a vote is: a ranking of k candidates
    is k(k − 1)/2 pairs and k − 1 answers. `targets`, `low_images` and `high_images`, intp `(m,)`, number the images
    that were compared, the same number for the same image.
    """

    rows: Floats
    low: Indices
    high: Indices
    votes_for: Vector
    votes_against: Vector
    evidence: Vector
    targets: Indices
    low_images: Indices
    high_images: Indices

    def __len__(self) -> int:
        return len(self.low)

    @property
    def votes(self) -> Vector:
        """For either side, `(m,)`."""
        return self.votes_for + self.votes_against

    def answers(self, chosen: NDArray[np.bool_] | Indices | slice) -> float:
        """How many independent ones the chosen comparisons are; where votes are many, a typical comparison is one."""
        return float(self.evidence[chosen] @ self.votes[chosen] / self.votes.mean())

    def images(self, chosen: NDArray[np.bool_] | Indices | slice) -> Indices:
        """Those that the chosen comparisons show, each once."""
        return np.unique(np.concatenate([self.targets[chosen], self.low_images[chosen], self.high_images[chosen]]))

    def agreeing(self, gaps: Vector, chosen: Indices) -> Vector:
        """Votes that agree with gaps, `(chosen, …)`: how much further the high row is; a gap of 0 has half of them."""
        shape = (-1,) + (1,) * (gaps.ndim - 1)
        sides, votes_for = np.sign(gaps), self.votes_for[chosen].reshape(shape)
        return np.asarray(0.5 * (votes_for * (1 + sides) + self.votes_against[chosen].reshape(shape) * (1 - sides)))


def voted_pairs(pairs: RankedPairs) -> VotedPairs:
    """The comparisons of ordered pairs, in an order of their own. Pairs whose rows are equal are left out.

    Raises `NoFitError` where nothing is left, or every comparison is answered both ways equally often.
    """
    if not len(pairs):
        raise NoFitError("there are no ordered pairs: every candidate is tied, or no ranking came")
    better, worse = _candidate_images(pairs)  # (n,)
    first = (better < worse) | ((better == worse) & (pairs.better < pairs.worse))  # (n,)
    low, high = np.where(first, pairs.better, pairs.worse), np.where(first, pairs.worse, pairs.better)
    low_images, high_images = np.where(first, better, worse), np.where(first, worse, better)
    keys, which = np.unique(np.stack([pairs.targets, low_images, high_images, low, high]), axis=1, return_inverse=True)
    count, which = keys.shape[1], which.ravel()
    votes_for: Vector = np.bincount(which, pairs.counts * first, count).astype(np.float64)  # (m,)
    votes_against: Vector = np.bincount(which, pairs.counts * ~first, count).astype(np.float64)
    evidence = np.bincount(which, pairs.counts * 2 / pairs.sizes, count) / (votes_for + votes_against)
    kept = _told_apart(pairs.rows, keys[3], keys[4])  # (m,)
    if not kept.any():
        raise NoFitError("all compared candidates look the same to the metric: their channel distances are equal")
    if np.array_equal(votes_for[kept], votes_against[kept]):
        raise NoFitError("the rankings contradict each other exactly: every pair is ordered both ways equally often")
    targets, low_images, high_images, low, high = keys[:, kept]
    used, places = np.unique(np.concatenate([low, high]), return_inverse=True)  # (r,), (2 m,)
    return VotedPairs(
        rows=pairs.rows if len(used) == len(pairs.rows) else pairs.rows[used],
        low=places[: len(low)],
        high=places[len(low) :],
        votes_for=votes_for[kept],
        votes_against=votes_against[kept],
        evidence=evidence[kept],
        targets=targets,
        low_images=low_images,
        high_images=high_images,
    )


def _candidate_images(pairs: RankedPairs) -> tuple[Indices, Indices]:
    """Of each pair's better and worse candidate; where they are not known, every row is an image of its own."""
    if pairs.images is not None:
        return pairs.images[:, 0], pairs.images[:, 1]
    unused = int(pairs.targets.max()) + 1
    return pairs.better + unused, pairs.worse + unused


def _told_apart(rows: Floats, low: Indices, high: Indices) -> NDArray[np.bool_]:
    """Whether the two rows of each comparison differ, `(m,)`: most do so in the first few channels already."""
    told: NDArray[np.bool_] = (rows[low, :FIRST] != rows[high, :FIRST]).any(axis=1)  # (m,)
    alike = np.flatnonzero(~told)
    for start in range(0, len(alike), CHUNK):
        part = alike[start : start + CHUNK]
        told[part] = (rows[low[part]] != rows[high[part]]).any(axis=1)
    return told
