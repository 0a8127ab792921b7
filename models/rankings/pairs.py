"""Pairwise preferences: people's judgments as ordered pairs, the arrays that fits and evaluations share.

A *pair* says that, for one target, the candidate of one row of channel distances is more similar than that of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clpips.models.metric.families import Z_LENGTH, layout_of_z


@dataclass(frozen=True, eq=False)
class RankedPairs:
    """n ordered pairs over r rows of channel distances.

    `rows` is float32 `(r, 6016)`, one row a (target, candidate); `better` and `worse`, intp `(n,)`, name the rows of
    the candidate that people call more similar and of the other; `counts`, float64 `(n,)`, > 0, says how many people
    do; `targets`, intp `(n,)`, is the same number for all pairs of one target image: cross-validation keeps a
    target's pairs together. People who disagree are pairs in both directions. `sizes`, intp `(n,)`, ≥ 2, is how many
    candidates the ranking has that a pair comes from. `images`, intp `(n, 2)`, numbers the images of the better and
    the other candidate, as `targets` numbers theirs, so that cross-validation can keep images apart; None where some
    are not known.
    """

    rows: NDArray[np.float32]
    better: NDArray[np.intp]
    worse: NDArray[np.intp]
    counts: NDArray[np.float64]
    targets: NDArray[np.intp]
    sizes: NDArray[np.intp]
    images: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        if self.rows.ndim != 2:
            raise ValueError(f"rows must have the shape (r, z), these have {self.rows.shape}")
        layout_of_z(self.rows.shape[1])
        lengths = {len(self.better), len(self.worse), len(self.counts), len(self.targets), len(self.sizes)}
        if len(lengths) != 1:
            raise ValueError(
                f"better, worse, counts, targets and sizes must be equally long, they have {sorted(lengths)}"
            )
        if self.images is not None and self.images.shape != (len(self), 2):
            raise ValueError(f"images must have the shape ({len(self)}, 2), these have {self.images.shape}")
        if len(self) and not (min(self.better.min(), self.worse.min()) >= 0 and self._highest_row() < len(self.rows)):
            raise ValueError(f"better and worse must name rows 0 to {len(self.rows) - 1}")
        if not (np.isfinite(self.counts).all() and (self.counts > 0).all()):
            raise ValueError("counts must be finite and > 0")

    def _highest_row(self) -> int:
        return int(max(self.better.max(), self.worse.max()))

    def __len__(self) -> int:
        return len(self.better)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "RankedPairs":
        """The chosen pairs, over the same rows."""
        return RankedPairs(
            self.rows,
            self.better[chosen],
            self.worse[chosen],
            self.counts[chosen],
            self.targets[chosen],
            self.sizes[chosen],
            None if self.images is None else self.images[chosen],
        )

    def right(self, weights: ArrayLike) -> NDArray[np.float64]:
        """Whether `w · z` orders each pair as the people do: float64 `(n,)`, 1 or 0, and ½ for equal distances."""
        distances = self.rows @ np.asarray(weights, dtype=np.float64)  # (r,)
        gaps = distances[self.worse] - distances[self.better]  # (n,)
        return np.asarray((gaps > 0) + 0.5 * (gaps == 0))

    def agreement(self, weights: ArrayLike) -> float:
        """Share of the people's choices that `w · z` makes too, in [0, 1]; NaN without pairs.

        With votes this is the share of votes that the metric's choice gets, with rankings the share of their pairs.

        >>> near, far = np.full(Z_LENGTH, 0.001, np.float32), np.full(Z_LENGTH, 0.002, np.float32)
        >>> pairs_of_ranking(np.stack([near, far]), [1, 2], target=0).agreement(np.ones(Z_LENGTH))
        1.0
        """
        return float(self.counts @ self.right(weights) / self.counts.sum()) if len(self) else float("nan")


def expand_ranks(ranks: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All ordered pairs of one ranking: `(better, worse)`, candidates' indices, each intp `(n,)`.

    `ranks`, `(k,)`: 1 is most similar; equal ranks are ties and give no pair. Up to k(k−1)/2 pairs come out.

    >>> [indices.tolist() for indices in expand_ranks([2, 1, 2])]
    [[1, 1], [0, 2]]
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    better, worse = np.nonzero(ranks[:, np.newaxis] < ranks[np.newaxis, :])  # of (k, k)
    return better, worse


def expand_votes(votes: Sequence[float]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """A two-candidate choice with its votes: `(better, worse, counts)`, one pair for each candidate with votes.

    >>> [numbers.tolist() for numbers in expand_votes([3, 1])]
    [[0, 1], [1, 0], [3.0, 1.0]]
    """
    chosen = np.flatnonzero(np.asarray(votes) > 0)
    return chosen, 1 - chosen, np.asarray(votes, dtype=np.float64)[chosen]


def join_pairs(sets: Sequence[RankedPairs]) -> RankedPairs:
    """All pairs of several sets. Numbers of images are taken as they are: equal numbers mean the same image."""
    if not sets:
        none = np.zeros(0, np.intp)
        return RankedPairs(np.zeros((0, Z_LENGTH), np.float32), none, none, np.zeros(0), none, none)
    offsets = np.cumsum([0, *(len(pairs.rows) for pairs in sets[:-1])])
    images = [pairs.images for pairs in sets if pairs.images is not None]
    return RankedPairs(
        np.concatenate([pairs.rows for pairs in sets]),
        np.concatenate([pairs.better + offset for pairs, offset in zip(sets, offsets, strict=True)]),
        np.concatenate([pairs.worse + offset for pairs, offset in zip(sets, offsets, strict=True)]),
        np.concatenate([pairs.counts for pairs in sets]),
        np.concatenate([pairs.targets for pairs in sets]),
        np.concatenate([pairs.sizes for pairs in sets]),
        np.concatenate(images) if len(images) == len(sets) else None,
    )


def pairs_of_ranking(
    rows: NDArray[np.float32], ranks: ArrayLike, target: int, candidates: Sequence[int] | None = None
) -> RankedPairs:
    """One person's ranking of k candidates as pairs: `rows` float32 `(k, 6016)`, `ranks` `(k,)`.

    `target` and `candidates`, `(k,)`, are the images' numbers.
    """
    better, worse = expand_ranks(ranks)
    numbers = None if candidates is None else np.asarray(candidates, np.intp)
    return RankedPairs(
        rows,
        better,
        worse,
        np.ones(len(better)),
        np.full(len(better), target, np.intp),
        np.full(len(better), len(rows), np.intp),
        None if numbers is None else np.stack([numbers[better], numbers[worse]], axis=1),
    )


def majorities(pairs: RankedPairs) -> RankedPairs:
    """Majority vote: of the pairs that people order both ways, the majority's, counted by how far it is ahead.

    Where the votes are even there is no pair. The pairs are those of choices between two, of images not told.
    """
    low, high = np.minimum(pairs.better, pairs.worse), np.maximum(pairs.better, pairs.worse)  # (n,)
    keys, which = np.unique(np.stack([pairs.targets, low, high]), axis=1, return_inverse=True)  # (3, m), (n,)
    votes = np.where(pairs.better == low, pairs.counts, -pairs.counts)  # (n,)
    lead = np.bincount(which.ravel(), votes, keys.shape[1])  # (m,)
    targets, first, second = keys[:, lead != 0]
    ahead = lead[lead != 0]
    return RankedPairs(
        pairs.rows,
        np.where(ahead > 0, first, second),
        np.where(ahead > 0, second, first),
        np.abs(ahead),
        targets,
        np.full(len(targets), 2, np.intp),
    )
