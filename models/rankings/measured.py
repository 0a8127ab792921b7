"""Data set of rankings beside the channel distances of their candidates: what splits, fits and evaluations share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clpips.models.rankings.files import Ranking
from clpips.models.rankings.pairs import RankedPairs, expand_ranks, expand_votes


@dataclass(frozen=True, eq=False)
class MeasuredRankings:
    """Rankings with their channel distances.

    `rows` is float32 `(r, 3456)`; `rows_of[i]`, intp `(k,)`, names the rows of ranking i's candidates; `targets[i]`
    numbers its target image. Images of the same bytes are one image, whatever they are called.
    """

    rankings: Sequence[Ranking]
    rows: NDArray[np.float32]
    rows_of: Sequence[NDArray[np.intp]]
    targets: NDArray[np.intp]

    def take(self, rankings: Sequence[Ranking]) -> "MeasuredRankings":
        """These of the rankings, over the same rows."""
        place = {id(ranking): index for index, ranking in enumerate(self.rankings)}
        chosen = [place[id(ranking)] for ranking in rankings]
        return MeasuredRankings(
            list(rankings), self.rows, [self.rows_of[index] for index in chosen], self.targets[chosen]
        )

    def pairs(self) -> RankedPairs:
        """Every ordered pair of every ranking; votes give a pair in each direction that got any, counted."""
        none = np.zeros(0, np.intp)
        better, worse, counts, targets = [none], [none], [np.zeros(0)], [none]
        for ranking, rows, target in zip(self.rankings, self.rows_of, self.targets, strict=True):
            if ranking.votes is not None:
                first, second, votes = expand_votes(ranking.votes)  # (n,) each
            else:
                first, second = expand_ranks(ranking.order)  # (n,) each
                votes = np.ones(len(first))  # (n,)
            better.append(rows[first])
            worse.append(rows[second])
            counts.append(votes)
            targets.append(np.full(len(first), target, np.intp))
        return RankedPairs(
            self.rows,
            np.concatenate(better),
            np.concatenate(worse),
            np.concatenate(counts),
            np.concatenate(targets),
        )
