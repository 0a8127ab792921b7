"""Hold-out split: rankings to fit on, and rankings to judge by that share no image, target or person with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clpips.models.rankings.files import FEWEST, Ranking, RankingsError

SplitBy = Literal["target", "image", "rater"]
Same = Mapping[str, str]  # the one name of images that are the same; those that it leaves out have their own


@dataclass(frozen=True)
class Split:
    """Rankings to fit on and rankings held out.

    `by` is what was kept apart; `shared_images` counts images that stand on both sides as candidates or targets (0 for
    a split by image); `dropped` counts rankings that a split by image can give to neither side.
    """

    fit: list[Ranking]
    held_out: list[Ranking]
    by: SplitBy
    shared_images: int
    dropped: int

    @property
    def words(self) -> str:
        """What the held-out figures are of: "images not seen"."""
        return "people not seen" if self.by == "rater" else f"{self.by}s not seen"

    @property
    def warning(self) -> str | None:
        """What a reader of held-out figures has to know, or None."""
        if self.shared_images:
            return (
                f"{self.shared_images} images stand on both sides of this split by {self.by}: the fit has seen them; a "
                "split by image is on images that it has not, where enough rankings are left"
            )
        return None


def split_rankings(
    rankings: Sequence[Ranking],
    share: float = 0.7,
    seed: int = 0,
    by: SplitBy | None = None,
    same: Same | None = None,
) -> Split:
    """Split rankings by image (no image at all on both sides), by target, or by rater (no person on both sides).

    Without `by`: by image, wherever images stand in the rankings of several targets and some stay on either side, else
    by target. `share` of the images, targets or people go to the fit, chosen by `seed`; with two or more there is at
    least one on either side. Images that `same` gives one name are one image, whatever they are called
    (`MeasuredRankings.split` knows their bytes). By image, a ranking counts with those of its candidates that are on
    its target's side, and is dropped where fewer than two are; where that leaves a side empty, whole targets are held
    out with all their images. Raises `ValueError` for a share outside (0, 1), and
    `RankingsError` for a split by image, or by rater, of rankings that name none.

    >>> rankings = [Ranking(f"{target}.png", ("a.png", "b.png"), ranks=(1, 2)) for target in range(10)]
    >>> split = split_rankings(rankings, by="target")
    >>> len(split.fit), len(split.held_out), split.shared_images
    (7, 3, 2)
    """
    if not 0 < share < 1:
        raise ValueError(f"the share must lie between 0 and 1, {share} does not")
    same = same or {}
    if by is None:
        by_image = split_rankings(rankings, share, seed, "image", same) if images_recur(rankings, same) else None
        if by_image and by_image.fit and by_image.held_out:
            return by_image
        by = "target"
    if by == "image" and not all(ranking.names for ranking in rankings):
        raise RankingsError("rankings that hold z without their candidates name no images: split them by target", [])
    if by == "rater" and not all(ranking.rater for ranking in rankings):
        raise RankingsError("a split by rater needs a rater in every ranking", [])
    chosen, others = _draw(rankings, share, seed, by, same)
    fit, held_out = _side(rankings, by, chosen, same), _side(rankings, by, others, same)
    if by == "image" and not (fit and held_out):
        fit, held_out = _whole_targets(rankings, share, seed, same)
    shared = _images(fit, same) & _images(held_out, same)
    return Split(fit, held_out, by, len(shared), len(rankings) - len(fit) - len(held_out))


def _draw(rankings: Sequence[Ranking], share: float, seed: int, by: SplitBy, same: Same) -> tuple[set[str], set[str]]:
    """The images, targets or people to fit on, and the others."""
    names = sorted({name for ranking in rankings for name in _units(ranking, by, same)})
    order = np.random.default_rng(seed).permutation(len(names))
    count = min(max(round(share * len(names)), 1), max(len(names) - 1, 1))
    chosen = {names[index] for index in order[:count]}
    return chosen, set(names) - chosen


def _whole_targets(
    rankings: Sequence[Ranking], share: float, seed: int, same: Same
) -> tuple[list[Ranking], list[Ranking]]:
    """Some targets with all their images held out, and the others, less these images, to fit on.

    Where few images recur, each target has images of its own, and of any third of all images hardly two are of one.
    """
    _, targets = _draw(rankings, share, seed, "target", same)
    held_out = _side(rankings, "target", targets, same)
    return _side(rankings, "image", _images(rankings, same) - _images(held_out, same), same), held_out


def images_recur(rankings: Sequence[Ranking], same: Same | None = None) -> bool:
    """Whether an image stands in the rankings of more than one target; False where images have no names.

    >>> images_recur([Ranking("t.png", ("a.png", "b.png")), Ranking("u.png", ("a.png", "c.png"))])
    True
    """
    if not all(ranking.names for ranking in rankings):
        return False
    shown: dict[str, set[str]] = {}
    for ranking in rankings:
        names = _named(ranking.names, same or {})
        shown.setdefault(names[0], set()).update(names)
    return sum(map(len, shown.values())) > len(set().union(*shown.values()))


def _side(rankings: Sequence[Ranking], by: SplitBy, chosen: set[str], same: Same) -> list[Ranking]:
    """The rankings of the chosen targets or people; by image, with those of their candidates that are chosen too."""
    if by == "rater":
        return [ranking for ranking in rankings if ranking.rater in chosen]
    side = []
    for ranking in rankings:
        target, *candidates = _named((ranking.target, *ranking.candidates), same)
        if target not in chosen:
            continue
        places = [place for place, name in enumerate(candidates) if by == "target" or name in chosen]
        if by == "target" or len(places) == len(candidates):
            side.append(ranking)
        elif len(places) >= FEWEST:
            side.append(ranking.part(places))
    return side


def _units(ranking: Ranking, by: SplitBy, same: Same) -> tuple[str, ...]:
    if by == "rater":
        return (ranking.rater,)
    return _named((ranking.target,) if by == "target" else ranking.names, same)


def _images(rankings: Sequence[Ranking], same: Same) -> set[str]:
    return {image for ranking in rankings for image in _named(ranking.names, same)}


def _named(images: Sequence[str], same: Same) -> tuple[str, ...]:
    return tuple(same.get(image, image) for image in images)
