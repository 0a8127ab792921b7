"""Paired comparisons with votes: ordered pairs merged, and channels standardised, as a fit computes with them.

Shapes: m pairs of r rows, c channels.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.designs import Rows, by_pairs
from clpips.models.fitting.solver import BoundedRanking, Design, Floats, Vector
from clpips.models.metric.families import Z_LENGTH
from clpips.models.rankings.pairs import RankedPairs

_FLOOR: Final = 0.01  # of the mean channel's root mean square: a channel below it is divided by it, and stays small


class VotedPairs:
    """m unordered pairs of candidates, with the votes for either side.

    `votes_for[p]` of the people call the pair's first row more similar, `votes_against[p]` its second: float64 `(m,)`.
    `differences`, float32 `(m, c)`, is the second row less the first, standardised: each channel is divided by its root
    mean square over the rows (`rms`, float64 `(c,)`), and all by the root mean square of a vote's difference, so that
    ridges mean the same whatever the images. `targets`, intp `(m,)`, numbers each pair's target image, `low` and
    `high`, intp `(m,)`, its rows. Pairs whose rows are equal are left out.
    """

    def __init__(self, pairs: RankedPairs) -> None:
        used = np.unique(np.concatenate([pairs.better, pairs.worse]))  # (r,)
        self._rows = pairs.rows[used]  # (r, c)
        self.rms = _root_mean_square(self._rows)
        better, worse = np.searchsorted(used, pairs.better), np.searchsorted(used, pairs.worse)  # (n,)
        low, high = np.minimum(better, worse), np.maximum(better, worse)
        merged, which = np.unique(np.stack([pairs.targets, low, high]), axis=1, return_inverse=True)  # (3, m), (n,)
        votes_for = np.bincount(which.ravel(), pairs.counts * (better < worse), merged.shape[1])  # (m,)
        votes_against = np.bincount(which.ravel(), pairs.counts * (better > worse), merged.shape[1])
        self._standardised: Floats = (self._rows / self.rms).astype(np.float32)  # (r, c)
        differences = self._standardised[merged[2]] - self._standardised[merged[1]]  # (m, c)
        told_apart = differences.any(axis=1)  # (m,)
        self.differences = differences[told_apart]
        self.targets, self.low, self.high = merged[:, told_apart]
        self.votes_for, self.votes_against = votes_for[told_apart], votes_against[told_apart]
        self.votes = self.votes_for + self.votes_against
        if len(self):
            power = np.einsum("ij,ij->i", self.differences, self.differences, dtype=np.float64)  # (m,)
            size = np.float32(np.sqrt(self.votes @ power / self.votes.sum()))
            self.differences /= size
            self._standardised /= size
        # A ranking of ten is 45 pairs of ten rows: then the rows are the smaller problem.
        self._by_rows = len(self._rows) < min(len(self), Z_LENGTH)
        self._kernel: Floats | None = None  # of all pairs; a fold takes its part
        if self._by_rows:
            self._kernel = self._standardised @ self._standardised.T  # (r, r)
        elif len(self) <= Z_LENGTH:
            self._kernel = self.differences @ self.differences.T  # (m, m)

    def __len__(self) -> int:
        return len(self.differences)

    def problem(self, chosen: NDArray[np.bool_], directions: Vector) -> tuple[BoundedRanking, float]:
        """The problem of fitting the chosen pairs, bool `(m,)`, and what a ridge of 1 is in it: votes a pair."""
        votes_for, votes_against = self.votes_for[chosen], self.votes_against[chosen]
        unit = float(votes_for.sum() + votes_against.sum()) / len(votes_for)
        return BoundedRanking(self._design(chosen), votes_for, votes_against, directions), unit

    def _design(self, chosen: NDArray[np.bool_]) -> Design:
        if self._by_rows:
            return Rows(self._standardised, self.low[chosen], self.high[chosen], self._kernel)
        kernel = None if self._kernel is None else self._kernel[np.ix_(chosen, chosen)]
        return by_pairs(self.differences[chosen], kernel)

    def scores(self, standardised: Vector, chosen: NDArray[np.bool_] | None = None) -> Vector:
        """By how much standardised weights, `(c,)`, prefer the first row of all pairs, or of the chosen: `(m,)`."""
        differences = self.differences if chosen is None else self.differences[chosen]
        scores: Vector = (differences @ standardised.astype(np.float32)).astype(np.float64)
        return scores

    def agreeing(self, scores: Vector, chosen: NDArray[np.bool_]) -> float:
        """Votes among the chosen pairs that their scores, `(chosen,)`, agree with; a score of 0 has half of them."""
        signs = np.sign(scores)
        return 0.5 * float(self.votes_for[chosen] @ (1 + signs) + self.votes_against[chosen] @ (1 - signs))

    def loss(self, scores: Vector, chosen: NDArray[np.bool_]) -> Vector:
        """Squared hinge loss of the chosen pairs at scores `(…, chosen)`: float64 `(…)`."""
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
        return np.asarray(misses**2 @ self.votes_for[chosen] + excesses**2 @ self.votes_against[chosen])

    def standardise(self, weights: NDArray[np.float32]) -> Vector:
        """Weights of channels as weights of standardised channels, up to a factor: float64 `(c,)`."""
        return np.asarray(weights * self.rms)

    def channel_weights(self, standardised: Vector, reference: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The reverse, at the scale at which the rows' mean distance is the reference's; None where all are zero."""
        weights = standardised / self.rms  # (c,)
        mean = self._rows.mean(axis=0, dtype=np.float64)  # (c,)
        if not (mean @ weights > 0):
            return None
        wanted = float(mean @ reference) or 1.0
        scaled: NDArray[np.float32] = (weights * (wanted / (mean @ weights))).astype(np.float32)
        return scaled


def _root_mean_square(rows: Floats) -> Vector:
    """Of each channel over the rows, `(r, c)`: float64 `(c,)`, > 0."""
    rms = np.sqrt(np.square(rows, dtype=np.float64).mean(axis=0))
    return np.asarray(np.maximum(rms, _FLOOR * rms.mean() or 1.0))
