"""The solver finds the optimum, in whichever form the pairs come."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from clpips.models.fitting.designs import Rows, by_pairs
from clpips.models.fitting.solver import BoundedRanking
from clpips.models.metric.backbone import LAYERS
from clpips.models.metric.families import Z_LENGTH


@pytest.mark.parametrize(("comparisons", "ridge"), [(40, 0.5), (40, 0.01), (400, 0.02), (1500, 0.05)])
def test_the_solver_finds_the_optimum_that_an_independent_one_finds(comparisons: int, ridge: float) -> None:
    rng = np.random.default_rng(comparisons)
    low_rank = rng.normal(size=(comparisons, 12)) @ rng.normal(size=(12, 300))
    x = ((low_rank + rng.normal(size=low_rank.shape)) / 20).astype(np.float32)
    votes_for, votes_against = rng.integers(0, 4, (2, comparisons)).astype(np.float64) / comparisons
    directions, _ = np.linalg.qr(np.abs(rng.normal(size=(300, 3))))

    def objective(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = x.astype(np.float64) @ w
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
        rest = w - directions @ (directions.T @ w)
        value = votes_for @ misses**2 + votes_against @ excesses**2 + ridge * rest @ rest
        return 0.5 * value, x.T.astype(np.float64) @ (votes_against * excesses - votes_for * misses) + ridge * rest

    start = np.full(300, 0.01)
    options: Any = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-13, "gtol": 1e-9}
    lbfgs: Any = minimize  # its stub knows no bounded problem with the gradient in the same call
    expected = lbfgs(objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * 300, options=options)
    ours = BoundedRanking(by_pairs(x), votes_for, votes_against, directions).solve(ridge, start, 1e-9)
    assert ours.min() >= 0
    assert objective(ours)[0] == pytest.approx(expected.fun, rel=1e-5)
    assert np.abs(ours - expected.x).max() < 0.01 * np.abs(expected.x).max()


def problem(seed: int, rankings: int, candidates: int, contrary: float) -> tuple[BoundedRanking, BoundedRanking]:
    """Rankings by somebody with weights of their own, a share of whose choices are the other way round."""
    rng = np.random.default_rng(seed)
    rows = rng.gamma(1, 1, (rankings * candidates, Z_LENGTH)).astype(np.float32)
    order = rows @ rng.gamma(0.3, 1, Z_LENGTH).astype(np.float32)
    low, high = [], []
    for first in range(0, len(rows), candidates):
        for a in range(first, first + candidates):
            for b in range(a + 1, first + candidates):
                low.append(a)
                high.append(b)
    lows, highs = np.array(low), np.array(high)
    agrees = (order[lows] < order[highs]) != (rng.random(len(lows)) < contrary)
    votes_for = agrees.astype(np.float64)
    directions = np.zeros((Z_LENGTH, len(LAYERS)))
    for column, layer in enumerate(LAYERS):
        directions[layer, column] = 1 / np.sqrt(layer.stop - layer.start)
    designs = Rows(rows, lows, highs), by_pairs(rows[highs] - rows[lows])
    by_rows, by_differences = (BoundedRanking(design, votes_for, 1 - votes_for, directions) for design in designs)
    return by_rows, by_differences


@pytest.mark.parametrize(("rankings", "candidates"), [(1, 10), (4, 6), (12, 10)])
@pytest.mark.parametrize("contrary", [0.0, 0.2])
def test_rows_and_pairs_reach_the_same_optimum(rankings: int, candidates: int, contrary: float) -> None:
    by_rows, by_differences = problem(rankings, rankings, candidates, contrary)
    for ridge in (1000.0, 100.0, 10.0):
        start = np.ones(Z_LENGTH) / Z_LENGTH
        ours = by_rows.solve(ridge, start, 1e-9)
        theirs = by_differences.solve(ridge, start, 1e-9)
        assert (ours >= 0).all()
        objectives = [by_differences.objective(ridge, w)[0] for w in (ours, theirs)]
        assert objectives[0] == pytest.approx(objectives[1], rel=1e-4)


def test_the_objective_is_the_same_number_by_rows_and_by_pairs() -> None:
    by_rows, by_differences = problem(0, 3, 8, 0.1)
    for seed in range(5):
        w = np.random.default_rng(seed).gamma(1, 1e-3, Z_LENGTH)
        assert by_rows.objective(5.0, w)[0] == pytest.approx(by_differences.objective(5.0, w)[0], rel=1e-4)
