"""The solver finds the optimum of its convex problem, whichever way it finds its steps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clpips.models.fitting.convex.arrays import Indices, Vector
from clpips.models.fitting.convex.differences import differences_of
from clpips.models.fitting.convex.graph import Graph
from clpips.models.fitting.convex.newton_steps import MOST_KNOWN, Kernel, by_products, by_rows
from clpips.models.fitting.convex.solver import BoundedRanking
from clpips.models.fitting.convex.voted_pairs import VotedPairs

COARSE = 4
STRENGTH = 0.7


class Made:
    """A problem with rows that hang together, and a prior that some of them contradict."""

    def __init__(self, rows: int, comparisons: int, coordinates: int = 300) -> None:
        rng = np.random.default_rng(rows)
        causes = rng.normal(size=(rows, 12)) @ rng.normal(size=(12, coordinates))
        self.rows = ((causes + rng.normal(size=causes.shape)) / 20).astype(np.float32)
        low = rng.integers(0, rows, comparisons)
        self.low: Indices = low
        self.high: Indices = (low + rng.integers(1, rows, comparisons)) % rows
        self.votes_for, self.votes_against = rng.integers(0, 4, (2, comparisons)).astype(np.float64)
        self.prior: Vector = rng.gamma(0.5, 0.1, coordinates)
        self.variance = np.where(np.arange(coordinates) < COARSE, 1, STRENGTH**2)
        self.problem = BoundedRanking(self.rows, Graph(rows, low, self.high), self.votes_for, self.votes_against)

    def solved(self, *, few_rows: bool, tolerance: float = 1e-9) -> Vector:
        kernel = Kernel.of(self.rows, COARSE)
        step = (
            by_rows(self.problem, kernel, self.variance, STRENGTH)
            if few_rows
            else by_products(self.problem, self.variance)
        )
        return self.problem.solve(self.prior, self.variance, self.prior, step, tolerance)

    def objective(self, u: Vector) -> tuple[float, Vector]:
        """The problem again, from its formula alone, in float64: value and gradient."""
        x = (self.rows[self.high] - self.rows[self.low]).astype(np.float64)
        scores = x @ u
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
        off = u - self.prior
        value = self.votes_for @ misses**2 + self.votes_against @ excesses**2 + off @ (off / self.variance)
        return 0.5 * value, x.T @ (self.votes_against * excesses - self.votes_for * misses) + off / self.variance


@pytest.mark.parametrize("few_rows", [True, False], ids=["by rows", "by products"])
@pytest.mark.parametrize(("rows", "comparisons"), [(10, 45), (60, 400), (400, 300)])
def test_the_solver_finds_the_optimum_that_an_independent_one_finds(
    rows: int, comparisons: int, few_rows: bool
) -> None:
    made = Made(rows, comparisons)
    options: Any = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-13, "gtol": 1e-9}
    lbfgs: Any = minimize  # its stub knows no bounded problem with the gradient in the same call
    bounds = [(0, None)] * len(made.prior)
    expected = lbfgs(made.objective, made.prior, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    ours = made.solved(few_rows=few_rows)
    assert ours.min() >= 0
    assert made.objective(ours)[0] == pytest.approx(expected.fun, rel=1e-5)
    assert np.abs(ours - expected.x).max() < 0.01 * np.abs(expected.x).max()


@given(st.integers(2, 40), st.integers(1, 120), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_solution_meets_the_conditions_of_karush_kuhn_and_tucker(
    rows: int, comparisons: int, few_rows: bool
) -> None:
    made = Made(rows, comparisons, coordinates=80)
    u = made.solved(few_rows=few_rows)
    _, gradient = made.objective(u)
    _, at_zero = made.objective(np.zeros_like(u))
    small = 1e-2 * (1 + np.abs(at_zero).max())
    assert (u >= 0).all()
    assert (gradient > -small).all()  # nothing would rather be larger
    assert np.abs(gradient[u > 1e-6]).max(initial=0) < small  # what is free is at its best


@given(st.integers(0, 50), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_the_objective_is_convex(seed: int, share: float) -> None:
    made, rng = Made(20, 60), np.random.default_rng(seed)
    here, there = rng.gamma(0.5, 1, (2, len(made.prior)))

    def value(u: NDArray[np.float64]) -> float:
        return made.problem.objective(made.prior, made.variance, u)

    between = value(share * here + (1 - share) * there)
    assert between <= share * value(here) + (1 - share) * value(there) + 1e-4 * value(here)


def test_a_kernel_that_was_asked_before_says_the_same_as_a_new_one() -> None:
    made, rng = Made(30, 60), np.random.default_rng(0)
    used = Kernel.of(made.rows, COARSE)
    for share in (0.9, 0.85, 0.1, 1.0):
        free = rng.random(len(made.prior)) < share
        columns = made.rows[:, free].astype(np.float64)
        expected = columns * made.variance[free] @ columns.T
        assert np.allclose(used.over(free, STRENGTH), expected, atol=1e-4 * expected.max())
    some = np.array([2, 5, 11])
    assert np.allclose(
        used.at(some, made.rows[some]).over(free, STRENGTH), expected[np.ix_(some, some)], atol=1e-4 * expected.max()
    )


def test_kernels_that_begin_with_the_same_do_not_depend_on_each_other() -> None:
    made, rng = Made(30, 60), np.random.default_rng(0)
    whole = Kernel.of(made.rows, COARSE)
    free = [rng.random(len(made.prior)) < 0.9 for _ in range(4)]
    whole.over(free[0], STRENGTH)
    for used in (np.arange(0, 30, 2), None):
        rows = made.rows if used is None else made.rows[used]
        first = [whole.at(used, rows).over(one, STRENGTH) for one in free]
        again = [whole.at(used, rows).over(one, STRENGTH) for one in free[::-1]][::-1]
        assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_a_kernel_forgets_the_oldest_of_many_and_goes_on_saying_the_same() -> None:
    made, rng = Made(12, 30), np.random.default_rng(1)
    used = Kernel.of(made.rows, COARSE)
    free = np.ones(len(made.prior), bool)
    for _ in range(3 * MOST_KNOWN):
        free = free ^ (rng.random(len(free)) < 0.05)
        columns = made.rows[:, free].astype(np.float64)
        expected = columns * made.variance[free] @ columns.T
        assert np.allclose(used.over(free, STRENGTH), expected, atol=1e-4 * expected.max())


@given(st.integers(2, 30), st.integers(1, 60), st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_differences_keep_every_gap_and_are_fewer_by_one_for_all_that_hang_together(
    rows: int, comparisons: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, rows, comparisons)
    high = (low + rng.integers(1, rows, comparisons)) % rows
    named, places = np.unique(np.concatenate([low, high]), return_inverse=True)
    low, high = places[:comparisons], places[comparisons:]
    ones = np.ones(comparisons)
    compared = VotedPairs(
        rows=rng.gamma(1, 1, (len(named), 50)).astype(np.float32),
        low=low,
        high=high,
        votes_for=ones,
        votes_against=ones,
        evidence=ones,
        targets=np.zeros(comparisons, np.intp),
        low_images=low,
        high_images=high,
    )
    found = differences_of(compared)
    grounded = np.vstack([found.rows, np.zeros((1, 50), np.float32)])
    expected = compared.rows[high] - compared.rows[low]
    assert np.allclose(grounded[found.high] - grounded[found.low], expected, atol=1e-5)
    graph = coo_array((ones, (low, high)), shape=(len(named), len(named)))
    assert len(found.rows) == len(named) - connected_components(graph, directed=False)[0]


@pytest.mark.parametrize("few_rows", [True, False], ids=["by rows", "by products"])
def test_a_row_that_is_zero_need_not_be_there(few_rows: bool) -> None:
    made = Made(20, 80)
    made.rows[-1] = 0
    whole = made.solved(few_rows=few_rows)
    made.rows = made.rows[:-1]
    made.problem = BoundedRanking(made.rows, Graph(19, made.low, made.high), made.votes_for, made.votes_against)
    assert np.abs(made.solved(few_rows=few_rows) - whole).max() < 1e-3 * whole.max()
