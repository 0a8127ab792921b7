"""The solver over rows finds what the solver over comparisons finds: the same problem, a smaller system."""

import numpy as np
import pytest

from models.backbone import LAYERS, TOTAL_CHANNELS
from models.rowsolver import RowRanking
from models.solver import BoundedRanking


def problem(seed: int, rankings: int, candidates: int, contrary: float) -> tuple[RowRanking, BoundedRanking]:
    """Rankings by somebody with weights of their own, a share of whose choices are the other way round."""
    rng = np.random.default_rng(seed)
    rows = rng.gamma(1, 1, (rankings * candidates, TOTAL_CHANNELS)).astype(np.float32)
    order = rows @ rng.gamma(0.3, 1, TOTAL_CHANNELS).astype(np.float32)
    low, high = [], []
    for first in range(0, len(rows), candidates):
        for a in range(first, first + candidates):
            for b in range(a + 1, first + candidates):
                low.append(a)
                high.append(b)
    lows, highs = np.array(low), np.array(high)
    agrees = (order[lows] < order[highs]) != (rng.random(len(lows)) < contrary)
    votes_for = agrees.astype(np.float64)
    directions = np.zeros((TOTAL_CHANNELS, len(LAYERS)))
    for column, layer in enumerate(LAYERS):
        directions[layer, column] = 1 / np.sqrt(layer.stop - layer.start)
    by_rows = RowRanking(rows, lows, highs, votes_for, 1 - votes_for, directions)
    return by_rows, BoundedRanking(rows[highs] - rows[lows], votes_for, 1 - votes_for, directions, None)


@pytest.mark.parametrize(("rankings", "candidates"), [(1, 10), (4, 6), (12, 10)])
@pytest.mark.parametrize("contrary", [0.0, 0.2])
def test_both_solvers_reach_the_same_optimum(rankings: int, candidates: int, contrary: float) -> None:
    by_rows, by_comparisons = problem(rankings, rankings, candidates, contrary)
    for ridge in (1000.0, 100.0, 10.0):
        start = np.ones(TOTAL_CHANNELS) / TOTAL_CHANNELS
        ours = by_rows.solve(ridge, start, 1e-9)
        theirs = by_comparisons.solve(ridge, start, 1e-9)
        assert (ours >= 0).all()
        objectives = [by_comparisons._objective(ridge, w)[0] for w in (ours, theirs)]
        assert objectives[0] == pytest.approx(objectives[1], rel=1e-4)


def test_the_objective_is_the_same_number_by_rows_and_by_comparisons() -> None:
    by_rows, by_comparisons = problem(0, 3, 8, 0.1)
    for seed in range(5):
        w = np.random.default_rng(seed).gamma(1, 1e-3, TOTAL_CHANNELS)
        assert by_rows._objective(5.0, w)[0] == pytest.approx(by_comparisons._objective(5.0, w)[0], rel=1e-4)
