"""Explanation of a distance: how much each family makes of it, and in what two pictures differ, in one sentence.

Weights say how much a family counts; whether two pictures differ in what it sees is another question, which its *level*
answers: the sum of its channel distances over that of a typical pair of natural images, and of how many such pairs it
is lower than that (`typical.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.distance import distance_by_family
from clpips.models.metric.families import FAMILIES, Families, layout_of_z
from clpips.models.metric.typical import share_closer, typical_sum


class Aspect(NamedTuple):
    """In what two pictures may differ, and which families see it."""

    families: tuple[str, ...]
    noun: str  # after "similar" and its like
    makes: str  # before "makes 40 % of the distance"


ASPECTS: Final = (
    Aspect(("content_mean", "content_std"), "things", "what the pictures are of"),
    Aspect(("mean",), "colours", "what colours and materials there are"),
    Aspect(("std",), "texture", "how these are spread"),
    Aspect(("aligned",), "layout", "what stands where"),
)
# By the share of pairs of natural images that are more alike in an aspect: up to so many of them, this is the word.
WORDS: Final = ((0.01, "the same"), (0.4, "similar"), (0.6, "somewhat different"), (1.0, "different"))


@dataclass(frozen=True)
class FamilyPart:
    """What one family says of a pair of pictures."""

    distance: float  # that it adds
    share: float  # of the whole distance, from 0 to 1
    level: float  # 1 is typical of natural images
    closer: float  # share of pairs of natural images whose level is lower


def family_parts(z: NDArray[np.float32], weights: NDArray[np.float32], known: Families) -> dict[str, FamilyPart]:
    """What each of the known families says of a pair, from its channel distances and weights, `(6016,)` each."""
    adds = distance_by_family(z[np.newaxis], weights)[0].tolist()
    total = sum(adds)
    parts = {}
    for family, distance in zip(FAMILIES, adds, strict=True):
        if family.name in known:
            level = float(z[layout_of_z(len(z)).places[family.name]].sum(dtype=np.float64)) / typical_sum(family.name)
            share = distance / total if total else 0.0
            parts[family.name] = FamilyPart(distance, share, level, share_closer(family.name, level))
    return parts


def explain(parts: Mapping[str, FamilyPart]) -> str:
    """One sentence on what two pictures have in common, what not, and what makes most of their distance.

    >>> explain({"mean": FamilyPart(0.1, 0.4, 0.3, 0.05), "aligned": FamilyPart(0.2, 0.6, 1.4, 0.86)})
    'Similar colours, different layout: what stands where makes 60 % of the distance.'
    """
    known = [(aspect, [parts[name] for name in aspect.families if name in parts]) for aspect in ASPECTS]
    known = [(aspect, own) for aspect, own in known if own]
    if all(part.level == 0 for _, own in known for part in own):
        return "The two pictures are the same."
    nouns: dict[str, list[str]] = {}
    for aspect, own in known:
        nouns.setdefault(_word(float(np.mean([part.closer for part in own]))), []).append(aspect.noun)
    found = ", ".join(f"{word} {_listed(things)}" for word, things in nouns.items())
    shares = [(sum(part.share for part in own), aspect.makes) for aspect, own in known]
    share, makes = max(shares, key=lambda one: one[0])
    if not share:
        return f"{_capital(found)}: by these weights that is no distance."
    if share > 0.995:
        return f"{_capital(found)}: {makes} makes the whole distance."
    return f"{_capital(found)}: {makes} makes {share:.0%} of the distance.".replace("%", " %")


def _word(closer: float) -> str:
    return next(word for most, word in WORDS if closer <= most)


def _listed(nouns: Sequence[str]) -> str:
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} and {nouns[-1]}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
