"""Sign-flip test, a randomisation test of paired differences: could chance alone have put one metric ahead?

Were neither metric better, either could have been called the first in each cluster. The test exchanges the two in whole
clusters, in every way or in many random ones, and counts how often the difference gets as large as it was.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from clpips.models.agreement.clusters import Clusters
from clpips.models.agreement.statistic import NAN

FLIPS: Final = 10_000
ALWAYS_EXACT: Final = 2**10  # sign patterns: all are tried up to here, and up to the number of random ones
CHUNK: Final = 64  # sign patterns at a time
ROUNDING: Final = 1e-12

Differences = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # signs of cells (s, c) to statistics (s, k)


def sign_flip_test(differences: NDArray[np.float64], seed: int = 0) -> float:
    """p-value, two-sided, of per-set differences `(sets,)` having mean 0, if their signs were as likely either way.

    Exact for few sets, else `FLIPS` random sign patterns. NaN without sets.

    >>> sign_flip_test(np.array([1.0, 2.0, 3.0]))  # of eight sign patterns, two are as extreme
    0.25
    """
    differences = differences[~np.isnan(differences)]  # (sets,)
    if not len(differences):
        return NAN
    return float(_flip(lambda signs: signs @ differences[:, np.newaxis], np.arange(len(differences)), seed, FLIPS)[0])


def flip_clusters(
    differences: Differences, clusters: Clusters, seed: int = 0, flips: int = FLIPS
) -> NDArray[np.float64]:
    """p-values `(k,)`, two-sided, of k differences, with the two metrics exchanged in whole clusters.

    `differences` gives them for signs of the cells, −1 where the metrics are exchanged. NaN for a single target, or a
    single person. With two-way clusters the p-values of targets, people and cells are combined by `combine_two_ways`.
    """
    by_target = _flip(differences, clusters.targets, seed, flips) if clusters.target_count > 1 else None
    if by_target is None:
        return np.full(differences(np.ones((1, len(clusters.targets)))).shape[1], NAN)
    if clusters.people is None:
        return by_target
    by_person = _flip(differences, clusters.people, seed, flips)
    by_cell = _flip(differences, np.arange(len(clusters.targets)), seed, flips)
    return combine_two_ways(by_target, by_person, by_cell)


def combine_two_ways(
    by_target: NDArray[np.float64], by_person: NDArray[np.float64], by_cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Two-way clustering of p-values `(k,)`: variances by target and by person add up, less what both count.

    Cameron, Gelbach and Miller, "Robust inference with multiway clustering", Journal of Business & Economic Statistics
    2011, with each variance read off a two-sided p-value: 1/z² is it, in units of the squared difference. The result
    is never below either one-way p-value.

    >>> combine_two_ways(np.array([0.01]), np.array([0.25]), np.array([0.01])).round(3)
    array([0.25])
    """
    variances = [_inverse_square(p) for p in (by_target, by_person, by_cell)]  # (k,) each
    two_way: NDArray[np.float64] = variances[0] + variances[1] - variances[2]
    with np.errstate(divide="ignore"):
        z = 1 / np.sqrt(np.maximum(two_way, np.finfo(float).tiny))
    return np.asarray(np.maximum(2 * ndtr(-z), np.maximum(by_target, by_person)), np.float64)


def _inverse_square(p: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(1 / ndtri(np.clip(p, 0, 1 - ROUNDING) / 2) ** 2)


def _flip(differences: Differences, groups: NDArray[np.intp], seed: int, flips: int) -> NDArray[np.float64]:
    """p-values `(k,)` with the signs of whole groups of cells flipped; `groups`, `(c,)`, numbers them from 0."""
    count = int(groups.max()) + 1
    observed = differences(np.ones((1, len(groups))))[0]  # (k,)
    limit = np.abs(observed) * (1 - ROUNDING)
    exact = 2**count <= max(flips, ALWAYS_EXACT)
    rng = np.random.default_rng(seed)
    extreme, total = np.zeros(len(observed), np.intp), 2**count if exact else flips
    for start in range(0, total, CHUNK):
        size = min(CHUNK, total - start)
        if exact:
            bits = (np.arange(start, start + size)[:, np.newaxis] >> np.arange(count)) & 1  # (s, groups)
            signs = 1.0 - 2.0 * bits.astype(np.float64)
        else:
            signs = 1.0 - 2.0 * rng.integers(0, 2, (size, count)).astype(np.float64)
        flipped = np.abs(differences(signs[:, groups]))  # (s, k)
        extreme += ((flipped >= limit) | np.isnan(flipped)).sum(axis=0)
    # One is added to both counts: of so many random patterns none may claim a p-value of 0.
    p = extreme / total if exact else (extreme + 1) / (total + 1)
    return np.asarray(np.where(np.isnan(observed), NAN, p), np.float64)
