"""How long a fit takes with its whole cross-validation: votes on pairs, and one person's rankings of ten.

    python -m loadtest.fitting [--repeat 3] [PAIRS...]

Votes are fitted as `clpips fit` does, rankings as the service does after each; times are of processor and of clock, on
one BLAS thread. Run this on a quiet machine.
"""

import argparse
import gc
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.fit import fit_convex
from clpips.models.fitting.convex.members import PERSONAL, VOTES, ConvexRecipe
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.pairs import RankedPairs, join_pairs, pairs_of_ranking

RANKINGS = (1, 3, 10, 20, 50)  # of ten
CANDIDATES = 10
IMAGES = 60  # that rankings are of: they recur


def voted(pairs: int, seed: int) -> RankedPairs:
    """So many pairs over a hundred targets, judged by weights that are not LPIPS's, with noise; votes on a third."""
    rng = np.random.default_rng(seed)
    rows = _rows(rng, 2 * pairs)
    distances = _judged(rng, rows)
    first, second = np.arange(0, 2 * pairs, 2), np.arange(1, 2 * pairs, 2)
    closer = distances[first] < distances[second]
    better, worse = np.where(closer, first, second), np.where(closer, second, first)
    targets = rng.integers(0, min(100, pairs), pairs)
    torn = rng.random(pairs) < 1 / 3
    targets = np.concatenate([targets, targets[torn]])
    return RankedPairs(
        rows,
        np.concatenate([better, worse[torn]]),
        np.concatenate([worse, better[torn]]),
        np.concatenate([np.full(pairs, 3.0), np.ones(int(torn.sum()))]),
        targets,
        np.full(len(targets), 2),
    )


def ranked(rankings: int, seed: int) -> RankedPairs:
    """One person's rankings of ten of the same sixty pictures."""
    rng = np.random.default_rng(seed)
    sets = []
    for number in range(rankings):
        target = number % IMAGES
        rows = _rows(rng, CANDIDATES)
        shown = rng.choice(np.setdiff1d(np.arange(IMAGES), [target]), CANDIDATES, replace=False)
        ranks = np.argsort(np.argsort(_judged(np.random.default_rng(seed), rows))) + 1
        sets.append(pairs_of_ranking(rows, ranks, target, shown.tolist()))
    return join_pairs(sets)


def _rows(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    causes = np.random.default_rng(0).gamma(0.3, 1 / 400, (60, Z_LENGTH))
    return (rng.gamma(0.7, 1.0, (count, 60)) @ causes).astype(np.float32)


def _judged(rng: np.random.Generator, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    weights = load_weights("balanced").values * rng.gamma(0.5, 2.0, Z_LENGTH)
    distances = rows @ weights
    return np.asarray(distances + distances.std() / 2 * rng.gumbel(size=len(distances)))


def measure(name: str, pairs: RankedPairs, recipe: ConvexRecipe, repeat: int) -> None:
    """Print one line: the median and the spread of some runs."""
    clock, processor = [], []
    for _ in range(repeat):
        gc.collect()
        before = time.perf_counter(), time.process_time()
        fit_convex(pairs, None, recipe)
        clock.append(time.perf_counter() - before[0])
        processor.append(time.process_time() - before[1])
    spread = f"({min(clock):.3f} to {max(clock):.3f})"
    print(
        f"{name:>24}  {statistics.median(clock):>8.3f} s {spread:<20}  {statistics.median(processor):>8.3f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", type=int, default=[50, 1000, 20_000])
    parser.add_argument("--rankings", nargs="*", type=int, default=list(RANKINGS))
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    fit_convex(ranked(2, 0), None, PERSONAL)  # the first call loads what is loaded once
    print(f"{'':>24}  {'clock':<31}  processor")
    for count in arguments.rankings:
        pairs = ranked(count, seed=1)
        measure(f"{count} rankings of ten", pairs, PERSONAL, arguments.repeat)
    for count in arguments.pairs:
        pairs = voted(count, seed=1)
        measure(f"{count:,} pairs", pairs, VOTES, arguments.repeat)


if __name__ == "__main__":
    main()
