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

    `rows` is float32 `(r, 6016)`; `rows_of[i]`, intp `(k,)`, names the rows of ranking i's candidates; `targets[i]`
    numbers its target image, `candidates_of[i]`, `(k,)`, those of its candidates, None where they are not known. Images
    of the same bytes are one image, whatever they are called; `names` has each image's `sha256:` and hash, by its
    number, or another name where its bytes are not known, and may be left out.
    """

    rankings: Sequence[Ranking]
    rows: NDArray[np.float32]
    rows_of: Sequence[NDArray[np.intp]]
    targets: NDArray[np.intp]
    candidates_of: Sequence[NDArray[np.intp] | None]
    names: Sequence[str] = ()

    def names_of(self, place: int) -> list[str]:
        """The names of a ranking's images, the target's first, as far as they are known."""
        candidates = self.candidates_of[place]
        if not self.names:
            ranking = self.rankings[place]
            return [ranking.target, *ranking.candidates]
        return [self.names[number] for number in (self.targets[place], *(() if candidates is None else candidates))]

    def take(self, rankings: Sequence[Ranking]) -> "MeasuredRankings":
        """These of the rankings, or parts of them with fewer candidates, over the same rows."""
        whole = {id(ranking): place for place, ranking in enumerate(self.rankings)}
        first = {ranking.target: place for place, ranking in reversed(list(enumerate(self.rankings)))}
        rows, images = self._by_names()
        rows_of, candidates_of = [], []
        for ranking in rankings:
            place = whole.get(id(ranking))
            names = [(ranking.target, candidate) for candidate in ranking.candidates]
            rows_of.append(self.rows_of[place] if place is not None else np.array([rows[name] for name in names]))
            candidates_of.append(
                self.candidates_of[place] if place is not None else np.array([images[name] for name in names])
            )
        targets = self.targets[[first[ranking.target] for ranking in rankings]] if rankings else self.targets[:0]
        return MeasuredRankings(list(rankings), self.rows, rows_of, targets, candidates_of, self.names)

    def _by_names(self) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        """The row, and the candidate's image, of each target and candidate that have names."""
        rows: dict[tuple[str, str], int] = {}
        images: dict[tuple[str, str], int] = {}
        for ranking, own_rows, own_images in zip(self.rankings, self.rows_of, self.candidates_of, strict=True):
            if own_images is not None:
                names = [(ranking.target, candidate) for candidate in ranking.candidates]
                rows |= dict(zip(names, own_rows.tolist(), strict=True))
                images |= dict(zip(names, own_images.tolist(), strict=True))
        return rows, images

    def pairs(self) -> RankedPairs:
        """Every ordered pair of every ranking; votes give a pair in each direction that got any, counted."""
        none = np.zeros(0, np.intp)
        better, worse, counts, targets, sizes = [none], [none], [np.zeros(0)], [none], [none]
        images = [np.zeros((0, 2), np.intp)]
        for place, (ranking, rows, target) in enumerate(zip(self.rankings, self.rows_of, self.targets, strict=True)):
            if ranking.votes is not None:
                first, second, votes = expand_votes(ranking.votes)  # (n,) each
            else:
                first, second = expand_ranks(ranking.order)  # (n,) each
                votes = np.ones(len(first))  # (n,)
            better.append(rows[first])
            worse.append(rows[second])
            counts.append(votes)
            targets.append(np.full(len(first), target, np.intp))
            sizes.append(np.full(len(first), len(rows), np.intp))
            candidates = self.candidates_of[place]
            if candidates is not None:
                images.append(np.stack([candidates[first], candidates[second]], axis=1))
        known = all(candidates is not None for candidates in self.candidates_of)
        return RankedPairs(
            self.rows,
            np.concatenate(better),
            np.concatenate(worse),
            np.concatenate(counts),
            np.concatenate(targets),
            np.concatenate(sizes),
            np.concatenate(images) if known else None,
        )
