"""How long the convex fit takes with its whole cross-validation, and with SciPy's L-BFGS-B in place of its solver.

    python -m loadtest.fitting [--repeat 3] [PAIRS...]

Bias: both solve the same problems, from the same warm starts, in float32 with float64 sums. A Newton step that lowers
the objective by less than the tolerance is nearly the last; a step of L-BFGS-B is not, so its tolerance is 1,000 times
stricter. Above 5,000 pairs it is left out. Run this on a quiet machine.
"""

import argparse
import gc
import statistics
import time
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.optimize import minimize

from clpips.models.fitting import voted_pairs
from clpips.models.fitting.convex import fit_convex
from clpips.models.fitting.solver import BoundedRanking, Design, Vector
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.pairs import RankedPairs

STRICTER = 1e-3
LARGEST_FOR_LBFGS = 5000  # pairs


def made_up(pairs: int, seed: int) -> RankedPairs:
    """So many pairs over a hundred targets, judged by weights that are not LPIPS's, with noise; votes on a third."""
    rng = np.random.default_rng(seed)
    causes = np.random.default_rng(0).gamma(0.3, 1 / 400, (60, Z_LENGTH))
    rows = (rng.gamma(0.7, 1.0, (2 * pairs, 60)) @ causes).astype(np.float32)
    weights = load_weights("lpips").values * rng.gamma(0.5, 2.0, Z_LENGTH)
    distances = rows @ weights
    distances += distances.std() / 2 * rng.gumbel(size=len(distances))
    first, second = np.arange(0, 2 * pairs, 2), np.arange(1, 2 * pairs, 2)
    closer = distances[first] < distances[second]
    better, worse = np.where(closer, first, second), np.where(closer, second, first)
    targets = rng.integers(0, min(100, pairs), pairs)
    torn = rng.random(pairs) < 1 / 3
    return RankedPairs(
        rows,
        np.concatenate([better, worse[torn]]),
        np.concatenate([worse, better[torn]]),
        np.concatenate([np.full(pairs, 3.0), np.ones(int(torn.sum()))]),
        np.concatenate([targets, targets[torn]]),
    )


class Lbfgs:
    """`BoundedRanking` by SciPy's L-BFGS-B, for the same problems."""

    def __init__(self, design: Design, votes_for: Vector, votes_against: Vector, directions: Vector) -> None:
        self._problem = design, votes_for, votes_against, directions

    def solve(self, ridge: float, start: Vector, tolerance: float) -> Vector:
        design, votes_for, votes_against, directions = self._problem
        scale = float(votes_for.sum() + votes_against.sum())

        def objective(w: Vector) -> tuple[float, Vector]:
            scores = design.scores(w)
            misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
            rest = w - directions @ (directions.T @ w)
            value = votes_for @ misses**2 + votes_against @ excesses**2 + ridge * rest @ rest
            pull = votes_against * excesses - votes_for * misses
            return 0.5 * float(value) / scale, (design.gathered(pull) + ridge * rest) / scale

        options = {"maxiter": 1000, "maxfun": 2000, "ftol": tolerance * STRICTER, "gtol": 0}
        lbfgs: Any = minimize
        return np.asarray(
            lbfgs(objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start), options=options).x
        )


def seconds_with(solver: Any, pairs: RankedPairs) -> float:
    with patch.object(voted_pairs, "BoundedRanking", solver):
        started = time.perf_counter()
        fit_convex(pairs)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", type=int, default=[50, 1000, 20_000])
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'pairs':>7}  {'projected Newton':>28}  {'L-BFGS-B':>10}  ratio")
    for count in arguments.pairs:
        pairs = made_up(count, seed=1)
        fit_convex(pairs.take(np.arange(min(count, 50))))  # the first call loads what is loaded once
        newton, lbfgs = [], []
        for _ in range(arguments.repeat):
            gc.collect()
            newton.append(seconds_with(BoundedRanking, pairs))
            if count <= LARGEST_FOR_LBFGS:
                lbfgs.append(seconds_with(Lbfgs, pairs))
        ours = f"{statistics.median(newton):.3f} s ({min(newton):.3f} to {max(newton):.3f})"
        line = f"{count:>7,}  {ours:>28}"
        if lbfgs:
            ratios = [theirs / mine for theirs, mine in zip(lbfgs, newton, strict=True)]
            line += f"  {statistics.median(lbfgs):>8.3f} s  {statistics.median(ratios):.1f} "
            line += f"({min(ratios):.1f} to {max(ratios):.1f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
