"""What is averaged: fits of several families from several starts, and what each counts before anything is held out.

A recipe is a table of members. What is known beforehand says how much a member counts:

- **What somebody begins with.** Who names LPIPS as the parent says that its family is near to what they mean: a fit of
  the parent's own families counts for most of the average, until rankings say otherwise.
- **How many answers there are.** What is simple, fits of one family from even weights, does well with few of them, and
  is behind fits of everything where there are thousands.
- **Whether the pictures show the same thing.** Where they hardly differ in content, what they are of tells nothing, and
  people judge by how they look; where they differ in it as natural pictures do, most people judge by that as well.

All were measured, on votes about materials (one object in one place), rankings of photographs of objects, and simulated
people (`docs/learning.md`, `docs/profiles.md`).
"""

from dataclasses import dataclass, replace
from math import inf
from typing import Final, Literal, NamedTuple

import numpy as np

from clpips.models.fitting.convex.arrays import Floats, Vector
from clpips.models.fitting.convex.space import CoarseStrengths
from clpips.models.fitting.convex.voted_pairs import VotedPairs
from clpips.models.metric.families import (
    ALEXNET,
    ALL_FAMILIES,
    CONTENT,
    FAMILIES_OF,
    Families,
    families_of,
    layout_of_z,
)
from clpips.models.metric.typical import typical_sum

# Levels of content, in those of natural pictures, up to which pictures show the same thing, and from which they do not
SAME_THING: Final = 0.5
OTHER_THINGS: Final = 1.0

Start = Literal["mixed", "even"]  # the parent mixed with LPIPS, or all channels alike


class Member(NamedTuple):
    """One fit of the average: the families that may count in it, and how far a channel may go from the start.

    Without families it is of those that count in the parent, and is left out where these are all there are.

    The strength is in scores of a typical comparison; `usual` is what the fit counts before anything has been held out;
    `exponent` says how channels share (`space.py`). With as many answers as `few` it counts half of that; where it is
    for the `same_thing`, it counts less the more the pictures differ in content.
    """

    families: Families | None
    strength: float
    usual: float
    exponent: float = 0.5
    start: Start = "mixed"
    few: float = inf
    same_thing: bool = False


@dataclass(frozen=True, kw_only=True)
class ConvexRecipe:
    """What is tried, and what counts before anything has been learned.

    `members` are what is averaged, those of one space side by side, the strictest first. `lpips` is LPIPS's
    share of the start, `temper` how much held-out losses count in the average, `folds` how many there are from so many
    targets on. With `natural` the loudness of natural images stands beside that of the rows at hand; with `one_target`
    rankings that share a target support a fit.
    """

    members: tuple[Member, ...]
    lpips: float
    coarse: CoarseStrengths
    folds: tuple[tuple[int, int], ...]
    natural: bool
    one_target: bool
    temper: float


LOOKS: Final = families_of({ALEXNET})  # how a picture looks
WHAT: Final = families_of({CONTENT})  # what it is of
PLACES_ALONE: Final[Families] = frozenset({"aligned"})  # how it looks, position by position

# At 20 rankings of ten folds are few because somebody waits for the fit; later, steadier figures matter more.
PERSONAL: Final = ConvexRecipe(
    members=(
        Member(ALL_FAMILIES, 0.4, 0.12),
        Member(ALL_FAMILIES, 1.0, 0.16),
        Member(ALL_FAMILIES, 2.5, 0.12),
        Member(LOOKS, 1.0, 0.3),
        Member(WHAT, 1.0, 0.3),
        Member(None, 1.0, 2.0),
    ),
    lpips=0.4,
    coarse=CoarseStrengths(start=0.3, family=2.0, layer=2.0),
    folds=((0, 10), (15, 5), (25, 12)),
    natural=True,
    one_target=True,
    temper=1.0,
)
RANKINGS: Final = replace(PERSONAL, one_target=False)
VOTES: Final = ConvexRecipe(
    members=(
        Member(ALL_FAMILIES, 0.2, 0.1),
        Member(ALL_FAMILIES, 0.4, 0.25),
        Member(ALL_FAMILIES, 0.8, 0.15),
        Member(ALL_FAMILIES, 0.4, 0.5, exponent=0.0),
        Member(PLACES_ALONE, 0.4, 2.0, exponent=0.0, start="even", few=2000, same_thing=True),
    ),
    lpips=0.45,
    coarse=CoarseStrengths(start=0.3, family=0.3, layer=0.3),
    folds=((0, 4),),
    natural=False,
    one_target=False,
    temper=0.5,
)


class Counted(NamedTuple):
    """A member that counts for some comparisons: of which families it is, and its share beside the others, above 0."""

    member: Member
    families: Families
    share: float


def counted(recipe: ConvexRecipe, compared: VotedPairs, parent: Vector) -> list[Counted]:
    """The members that count for comparisons, and the families of a parent, `(c,)`, where they are for these."""
    shown, own = families_in(compared.rows), families_in(parent[np.newaxis])
    members = [
        Counted(member, own if member.families is None else member.families, usual_share(member, compared))
        for member in recipe.members
        if member.families is not None or shown - own
    ]
    return [each for each in members if each.share > 0]


def families_in(rows: Vector | Floats) -> Families:
    """The families of which rows or weights, `(n, c)`, have anything."""
    places = layout_of_z(rows.shape[1]).places
    return frozenset(name for name, place in places.items() if rows[:, place].any())


def usual_share(member: Member, compared: VotedPairs) -> float:
    """What a member counts of these comparisons before anything is held out, beside the others; 0: it is left out."""
    share = member.usual / (1 + compared.answers(slice(None)) / member.few)
    return share * sameness(content_level(compared)) if member.same_thing else share


def sameness(level: float) -> float:
    """How far pictures of this level of content show the same thing, from 0 to 1; not at all where it is not known.

    >>> [sameness(level) for level in (0.4, 0.75, 1.6, float("nan"))]
    [1.0, 0.5, 0.0, 0.0]
    """
    share = (OTHER_THINGS - level) / (OTHER_THINGS - SAME_THING)
    return min(1.0, max(0.0, share)) if np.isfinite(level) else 0.0


def content_level(compared: VotedPairs) -> float:
    """How far the compared pictures differ in content, in the distances of natural ones; NaN where nobody looked."""
    places = layout_of_z(compared.rows.shape[1]).places
    sums = {name: float(compared.rows[:, places[name]].sum(axis=1, dtype=np.float64).mean()) for name in _CONTENT}
    if not any(sums.values()):
        return float("nan")
    return sum(total / typical_sum(name) for name, total in sums.items()) / len(sums)


_CONTENT: Final = tuple(sorted(FAMILIES_OF[CONTENT]))
