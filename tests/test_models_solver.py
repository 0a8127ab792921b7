"""The solver finds the optimum, in whichever form the comparisons come."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from clpips.models.fitting.designs import Rows, by_comparisons
from clpips.models.fitting.solver import BoundedRanking, Design
from clpips.models.metric.backbone import LAYERS, TOTAL_CHANNELS

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem and its objective, written down as plainly as the solver's docstring has it."""

    x: NDArray[np.float32]  # (m, d)
    votes_for: Vector  # (m,)
    votes_against: Vector  # (m,)
    directions: Vector  # (d, k)

    def objective(self, ridge: float, w: Vector) -> tuple[float, Vector]:
        """Its value at `w`, and its gradient there, `(d,)`."""
        scores = self.x.astype(np.float64) @ w  # (m,)
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
        rest = w - self.directions @ (self.directions.T @ w)  # (d,)
        value = self.votes_for @ misses**2 + self.votes_against @ excesses**2 + ridge * rest @ rest
        pull = self.votes_against * excesses - self.votes_for * misses  # (m,)
        return 0.5 * float(value), self.x.T.astype(np.float64) @ pull + ridge * rest

    def solve(self, design: Design, ridge: float, start: Vector) -> Vector:
        ranking = BoundedRanking(design, self.votes_for, self.votes_against, self.directions)
        return ranking.solve(ridge, start, tolerance=1e-9)


@pytest.mark.parametrize(("comparisons", "ridge"), [(40, 0.5), (40, 0.01), (400, 0.02), (1500, 0.05)])
def test_the_solver_finds_the_optimum_that_an_independent_one_finds(comparisons: int, ridge: float) -> None:
    rng = np.random.default_rng(comparisons)
    low_rank = rng.normal(size=(comparisons, 12)) @ rng.normal(size=(12, 300))
    x = ((low_rank + rng.normal(size=low_rank.shape)) / 20).astype(np.float32)
    votes_for, votes_against = rng.integers(0, 4, (2, comparisons)).astype(np.float64) / comparisons
    directions, _ = np.linalg.qr(np.abs(rng.normal(size=(300, 3))))
    problem = Problem(x, votes_for, votes_against, directions)
    start = np.full(300, 0.01)
    options: Any = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-13, "gtol": 1e-9}
    lbfgs: Any = minimize  # its stub knows no bounded problem with the gradient in the same call
    expected = lbfgs(
        partial(problem.objective, ridge), start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * 300, options=options
    )
    ours = problem.solve(by_comparisons(x), ridge, start)
    assert ours.min() >= 0
    assert problem.objective(ridge, ours)[0] == pytest.approx(expected.fun, rel=1e-5)
    assert np.abs(ours - expected.x).max() < 0.01 * np.abs(expected.x).max()


def contrary_person(seed: int, rankings: int, candidates: int, contrary: float) -> tuple[Problem, Rows]:
    """Rankings by somebody with weights of their own, a share of whose choices are contrary; comparisons, rows."""
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
    return Problem(rows[highs] - rows[lows], votes_for, 1 - votes_for, directions), Rows(rows, lows, highs)


@pytest.mark.parametrize(("rankings", "candidates"), [(1, 10), (4, 6), (12, 10)])
@pytest.mark.parametrize("contrary", [0.0, 0.2])
def test_rows_and_comparisons_reach_the_same_optimum(rankings: int, candidates: int, contrary: float) -> None:
    problem, by_rows = contrary_person(rankings, rankings, candidates, contrary)
    by_differences = by_comparisons(problem.x)
    for ridge in (1000.0, 100.0, 10.0):
        start = np.ones(TOTAL_CHANNELS) / TOTAL_CHANNELS
        ours, theirs = (problem.solve(design, ridge, start) for design in (by_rows, by_differences))
        assert (ours >= 0).all()
        objectives = [problem.objective(ridge, w)[0] for w in (ours, theirs)]
        assert objectives[0] == pytest.approx(objectives[1], rel=1e-4)


def test_scores_and_pulls_are_the_same_numbers_by_rows_and_by_comparisons() -> None:
    problem, by_rows = contrary_person(0, 3, 8, 0.1)
    by_differences = by_comparisons(problem.x)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        w, pull = rng.gamma(1, 1e-3, TOTAL_CHANNELS), rng.normal(size=len(problem.x))
        for one, other in (
            (by_rows.scores(w), by_differences.scores(w)),
            (by_rows.gathered(pull), by_differences.gathered(pull)),
        ):
            assert np.abs(one - other).max() <= 1e-4 * np.abs(other).max()
