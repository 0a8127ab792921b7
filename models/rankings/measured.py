"""Data set of rankings beside the channel distances of their candidates: what splits, fits and evaluations share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clpips.models.rankings.files import Ranking
from clpips.models.rankings.pairs import RankedPairs, expand_ranks, expand_votes
from clpips.models.rankings.splitting import Split, SplitBy, split_rankings


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

    def split(self, share: float = 0.7, seed: int = 0, by: SplitBy | None = None) -> Split:
        """`split_rankings`, with images of the same bytes on the same side, whatever they are called."""
        called: dict[int, set[str]] = {}
        for ranking, target, candidates in zip(self.rankings, self.targets, self.candidates_of, strict=True):
            called.setdefault(int(target), set()).add(ranking.target)
            if candidates is not None:
                for number, name in zip(candidates.tolist(), ranking.candidates, strict=True):
                    called.setdefault(number, set()).add(name)
        same = {name: min(names) for names in called.values() for name in names}
        return split_rankings(self.rankings, share, seed, by, same)

    def take(self, rankings: Sequence[Ranking]) -> "MeasuredRankings":
        """These of the rankings, or parts of them with fewer candidates, over the same rows.

        A part keeps the rows of its own ranking: with `z`, the same two images may have been compared in another way,
        such as within a mask. Raises `KeyError` for a ranking that is neither one of these nor part of one.
        """
        whole = {id(ranking): place for place, ranking in enumerate(self.rankings)}
        found = [self._find(ranking, whole) for ranking in rankings]
        return MeasuredRankings(
            list(rankings),
            self.rows,
            [rows for rows, _, _ in found],
            np.array([target for _, _, target in found], np.intp),
            [candidates for _, candidates, _ in found],
            self.names,
        )

    def _find(
        self, ranking: Ranking, whole: Mapping[int, int]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp] | None, int]:
        """The rows, the candidates' numbers, and the target's, of one of the rankings or a part of one."""
        if (place := whole.get(id(ranking))) is not None:
            return self.rows_of[place], self.candidates_of[place], int(self.targets[place])
        if ranking.part_of is None:
            raise KeyError(f"the ranking {ranking.set!r} of {ranking.target!r} is none of these")
        rows, candidates, target = self._find(ranking.part_of, whole)
        places = list(ranking.places)
        return rows[places], None if candidates is None else candidates[places], target

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
