"""Provisos of an evaluation: what its rankings do not say, and where they were not compared alike."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import PLACES, families_of, networks_of
from clpips.models.rankings.files import Ranking, name_resolution


def mixed_resolutions(rankings: Sequence[Ranking]) -> list[str]:
    """A warning where the rankings were compared at several resolutions."""
    found = {ranking.resolution for ranking in rankings if ranking.z is not None and ranking.backbone}
    if len(found) < 2:
        return []
    names = ", ".join(name_resolution(one) for one in sorted(found, key=lambda one: one or math.inf))
    return [f"these rankings were compared at several resolutions ({names}): ρ of pooled distances mixes them"]


def unknown_families(
    rankings: Sequence[Ranking], names: Sequence[str], weights: Sequence[NDArray[np.float32]]
) -> list[str]:
    """A warning for each of the weights that count what some rankings say nothing of."""
    found = []
    for name, one in zip(names, weights, strict=True):
        needed = networks_of(family for family, place in PLACES.items() if one[place].any())
        lacking = [ranking for ranking in rankings if not needed <= ranking.networks]
        if lacking:
            missing = frozenset[str]().union(*(needed - ranking.networks for ranking in lacking))
            found.append(
                f"{len(lacking):,} of {len(rankings):,} rankings say nothing of "
                f"{', '.join(sorted(families_of(missing)))}: there the figures are of what else counts for {name}, and "
                f"not of {name} itself"
            )
    return found
