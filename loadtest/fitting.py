"""How long the convex fit takes: with its whole cross-validation, and one solution beside SciPy's L-BFGS-B.

    python -m loadtest.fitting [--repeat 3] [PAIRS...]

Bias: both solve the same problem from the same start; L-BFGS-B is timed with the objective written for it, in float64,
and stopped where it is within 0.1 % of the projected Newton's objective (it seldom gets closer in reasonable time).
Run it on a quiet machine.
"""

import argparse
import gc
import statistics
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.backbone import LAYERS, TOTAL_CHANNELS
from models.fitting import fit_convex
from models.pairs import RankedPairs
from models.solver import BoundedRanking
from models.weights import load_weights

NEAR = 1.001  # of the optimum: where L-BFGS-B may stop


def made_up(pairs: int, seed: int) -> RankedPairs:
    """So many pairs over a hundred targets, judged by weights that are not LPIPS's, with noise; votes on a third."""
    rng = np.random.default_rng(seed)
    causes = np.random.default_rng(0).gamma(0.3, 1 / 400, (60, TOTAL_CHANNELS))
    rows = (rng.gamma(0.7, 1.0, (2 * pairs, 60)) @ causes).astype(np.float32)
    weights = load_weights("lpips").values * rng.gamma(0.5, 2.0, TOTAL_CHANNELS)
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


def problem(pairs: RankedPairs, count: int) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    differences = pairs.rows[pairs.worse[:count]] - pairs.rows[pairs.better[:count]]
    differences /= np.sqrt(np.square(differences).sum(axis=1).mean())
    directions = np.zeros((TOTAL_CHANNELS, len(LAYERS)))
    for column, layer in enumerate(LAYERS):
        directions[layer, column] = 1 / np.sqrt(layer.stop - layer.start)
    return differences, np.full(count, 1 / count), directions


def compare(pairs: RankedPairs, count: int) -> tuple[float, float]:
    """Seconds of one solution: ours, and L-BFGS-B's."""
    x, votes, directions = problem(pairs, count)
    against, start, ridge = np.zeros(count), np.full(TOTAL_CHANNELS, 1.0), 1 / count
    begun = perf_counter()
    ours = BoundedRanking(x, votes, against, directions, None).solve(ridge, start, 1e-7)
    newton = perf_counter() - begun
    wide = x.astype(np.float64)

    def objective(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        misses = np.maximum(1 - wide @ w, 0)
        rest = w - directions @ (directions.T @ w)
        return 0.5 * float(votes @ misses**2 + ridge * rest @ rest), -((votes * misses) @ wide) + ridge * rest

    goal = NEAR * objective(ours)[0]

    def enough(intermediate_result: Any) -> None:
        if intermediate_result.fun <= goal:
            raise StopIteration

    lbfgs: Any = minimize
    options = {"maxiter": 5000, "maxfun": 10_000, "ftol": 0, "gtol": 0}
    begun = perf_counter()
    bounds = [(0, None)] * TOTAL_CHANNELS
    lbfgs(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options, callback=enough)
    return newton, perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", type=int, default=[50, 1000, 20_000])
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'pairs':>7}  {'fit with cross-validation':>28}  {'one solution':>14}  {'L-BFGS-B':>10}  ratio")
    for count in arguments.pairs:
        pairs = made_up(count, seed=1)
        fit_convex(pairs.take(np.arange(min(count, 50))))  # the first call loads what is loaded once
        fits, ratios, newton, lbfgs = [], [], 0.0, 0.0
        for _ in range(arguments.repeat):
            gc.collect()
            fits.append(fit_convex(pairs).seconds)
            newton, lbfgs = compare(pairs, count)
            ratios.append(lbfgs / newton)
        spread = f"{statistics.median(fits):.3f} s ({min(fits):.3f} to {max(fits):.3f})"
        ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        print(f"{count:>7,}  {spread:>28}  {newton:>12.3f} s  {lbfgs:>8.3f} s  {ratio}")


if __name__ == "__main__":
    main()
