"""Points of a learning curve, and their grouping for a plot or a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CurvePoint:
    """One fit on `rankings` randomly drawn rankings, and its lead over the baseline in share of choices held out."""

    recipe: str
    rankings: int
    seed: int
    vote_agreement: float
    lead: float
    seconds: float


def group_by_size(curve: Sequence[CurvePoint]) -> dict[tuple[str, int], list[CurvePoint]]:
    """Points of a recipe and a size together; "all" differs a little from split to split and counts as its median."""
    draws = max(point.seed for point in curve) + 1
    by_recipe: dict[str, list[CurvePoint]] = {}
    for point in curve:
        by_recipe.setdefault(point.recipe, []).append(point)
    grouped = {}
    for recipe, points in by_recipe.items():
        for start in range(0, len(points), draws):
            group = points[start : start + draws]
            grouped[recipe, int(np.median([point.rankings for point in group]))] = group
    return grouped
