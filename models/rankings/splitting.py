"""Hold-out split: rankings to fit on, and rankings to judge the fit by that share no target, or no image, with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clpips.models.rankings.files import Ranking, RankingsError

SplitBy = Literal["target", "image"]


@dataclass(frozen=True)
class Split:
    """Rankings to fit on and rankings held out.

    `shared_images` counts images that stand on both sides as candidates or targets (0 for a split by image);
    `dropped` counts rankings that a split by image can give to neither side.
    """

    fit: list[Ranking]
    held_out: list[Ranking]
    shared_images: int
    dropped: int

    @property
    def warning(self) -> str | None:
        """What a reader of held-out figures has to know, or None."""
        if self.shared_images:
            return (
                f"{self.shared_images} images stand on both sides of this split by target; "
                "split by image for figures on images that the fit has never seen"
            )
        return None


def split_rankings(rankings: Sequence[Ranking], share: float = 0.7, seed: int = 0, by: SplitBy = "target") -> Split:
    """Split rankings by target (no target on both sides) or by image (no image at all on both sides).

    `share` of the targets, or of the images, go to the fit, chosen by `seed`; with two or more there is at least one on
    either side. By image, a ranking whose images fall on both sides is dropped. Raises `ValueError` for a share
    outside (0, 1), and `RankingsError` for a split by image of rankings that name none.

    >>> rankings = [Ranking(f"{target}.png", ("a.png", "b.png"), ranks=(1, 2)) for target in range(10)]
    >>> split = split_rankings(rankings)
    >>> len(split.fit), len(split.held_out), split.shared_images
    (7, 3, 2)
    """
    if not 0 < share < 1:
        raise ValueError(f"the share must lie between 0 and 1, {share} does not")
    if by == "image" and any(ranking.z is not None for ranking in rankings):
        raise RankingsError("rankings that hold z name no images: split them by target", [])
    names = sorted({name for ranking in rankings for name in _units(ranking, by)})
    order = np.random.default_rng(seed).permutation(len(names))
    count = min(max(round(share * len(names)), 1), max(len(names) - 1, 1))
    chosen = {names[index] for index in order[:count]}
    fit = [ranking for ranking in rankings if chosen.issuperset(_units(ranking, by))]
    held_out = [ranking for ranking in rankings if chosen.isdisjoint(_units(ranking, by))]
    shared = _images(fit) & _images(held_out)
    return Split(fit, held_out, len(shared), len(rankings) - len(fit) - len(held_out))


def _units(ranking: Ranking, by: SplitBy) -> tuple[str, ...]:
    return (ranking.target,) if by == "target" else ranking.images


def _images(rankings: Sequence[Ranking]) -> set[str]:
    return {image for ranking in rankings for image in ranking.images}
