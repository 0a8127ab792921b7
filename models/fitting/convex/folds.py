"""Cross-validation that matches use: no image on both sides of a fold.

A fold holds images out: what it asks about lies wholly among them, what it learns from touches none of them, and a
comparison with images on both sides is not used. Whoever refines a prompt ranks a growing set of the same pictures;
held-out targets alone would leave the same pictures on both sides, as candidates.

Of three ways to choose a fold's images the one is taken that leaves the most to learn from and to ask about: the images
of several whole targets, which loses nothing where targets share no image; those of one target a fold; a share of all
images at random, where everything is compared with everything. With one target alone, candidates are held out.

Up to four targets are few folds, and where they share images each leaves little to learn from. There each target is
held out several times: with all of its candidates, and then with those that are its own and another part of those that
recur; the rest of these are learned from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.arrays import Chosen, Indices
from clpips.models.fitting.convex.voted_pairs import VotedPairs

SHARE: Final = 0.4  # of the images that a random fold holds out
CANDIDATE_SHARE: Final = 0.3  # of the candidates, where there is one target
CANDIDATE_FOLDS: Final = 24  # where there is one target: each asks about few comparisons, and takes little time
FEWEST: Final = 2  # images that a random fold holds out
FEW_TARGETS: Final = 4  # that are held out several times each, where they share images
FEW_TARGETS_FOLDS: Final = 24
KEPT_SHARE: Final = 0.6  # of the recurring candidates, that such a fold does not hold out
SEED: Final = 0

Unit = Literal["images", "targets", "candidates"]  # what was not seen in learning


@dataclass(frozen=True, eq=False)
class Fold:
    """Which of m comparisons are learned from, and which are asked about: bool `(m,)` each, never both.

    An answer counts as `worth`, in [0, 1]: less where the same comparison is asked about in many folds.
    """

    learned: Chosen
    asked: Chosen
    worth: float = 1.0


def split_folds(compared: VotedPairs, folds: int) -> tuple[list[Fold], Unit]:
    """Up to so many folds, and what they hold out. The same comparisons give the same folds."""
    rng = np.random.default_rng(SEED)
    targets = np.unique(compared.targets)
    if len(targets) == 1:
        candidates = np.unique(np.concatenate([compared.low_images, compared.high_images]))
        shares = _random_shares(rng, candidates, CANDIDATE_SHARE, CANDIDATE_FOLDS)
        return _sound([_hold_out(compared, share, with_target=False) for share in shares]), "candidates"
    targets = rng.permutation(targets)
    members = [compared.images(compared.targets == target) for target in targets]
    everything = compared.images(np.ones(len(compared), bool))
    recur = sum(len(images) for images in members) > len(everything)
    if recur and len(members) <= FEW_TARGETS and (repeated := _repeated(rng, compared, targets, members)):
        return repeated, "images"
    options = [
        [np.concatenate(members[one::folds]) for one in range(min(folds, len(members)))],
        members[:folds],
        _random_shares(rng, everything, SHARE, folds),
    ]
    made = [_sound([_hold_out(compared, images, with_target=True) for images in option]) for option in options]
    return max(made, key=_worth), "images" if recur else "targets"


def _repeated(
    rng: np.random.Generator, compared: VotedPairs, targets: Indices, members: Sequence[Indices]
) -> list[Fold]:
    """Folds that each hold out one target with its own candidates, and a part of those that are others' too.

    `members` are the images of each target. The first time a target is held out with all of its candidates. Other
    targets stay, since without them nothing is learned from theirs.
    """
    choices: dict[bytes, Indices] = {}  # of images to hold out, each once
    for number in range(FEW_TARGETS_FOLDS):
        target, own = targets[number % len(targets)], members[number % len(targets)]
        others = np.concatenate([images for images in members if images is not own])
        recurring = np.setdiff1d(own[np.isin(own, others)], targets)
        share = KEPT_SHARE if number >= len(targets) else 0.0
        kept = rng.permutation(recurring)[: round(share * len(recurring))]
        images = np.setdiff1d(own, [*kept, *targets[targets != target]])
        choices[images.tobytes()] = images
    folds = _sound([_hold_out(compared, images, with_target=True) for images in choices.values()])
    times = np.sum([fold.asked for fold in folds], axis=0)  # (m,)
    worth = float(np.count_nonzero(times) / np.sum(times)) if folds else 0.0
    return [replace(fold, worth=worth) for fold in folds]


def _random_shares(rng: np.random.Generator, images: Indices, share: float, folds: int) -> list[Indices]:
    count = max(FEWEST, round(share * len(images)))
    return [rng.permutation(images)[:count] for _ in range(folds)]


def _hold_out(compared: VotedPairs, images: Indices, *, with_target: bool) -> Fold:
    shown = [compared.low_images, compared.high_images, *([compared.targets] if with_target else [])]
    held_out = np.stack([np.isin(one, images) for one in shown]).sum(axis=0)  # (m,), of 2 or 3 images
    return Fold(held_out == 0, held_out == len(shown))


def _sound(folds: Sequence[Fold]) -> list[Fold]:
    return [fold for fold in folds if fold.learned.any() and fold.asked.any()]


def _worth(folds: Sequence[Fold]) -> float:
    """How much is asked about, and, twice, how much there is to learn from."""
    return float(sum(_share(fold.learned) ** 2 * _share(fold.asked) for fold in folds))


def _share(chosen: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(chosen)) / len(chosen)
