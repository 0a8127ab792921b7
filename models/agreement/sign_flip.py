"""Sign-flip test, a randomisation test of paired differences: could chance alone have put one metric ahead?"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.statistic import NAN

FLIPS: Final = 10_000
EXACT_SETS: Final = 13  # up to here all 2^sets sign patterns are fewer than `FLIPS`


def sign_flip_test(differences: NDArray[np.float64], seed: int = 0) -> float:
    """p-value, two-sided, of per-set differences `(sets,)` having mean 0, if their signs were as likely either way.

    Exact for few sets, else `FLIPS` random sign patterns. NaN without sets.

    >>> sign_flip_test(np.array([1.0, 2.0, 3.0]))  # of eight sign patterns, two are as extreme
    0.25
    """
    differences = differences[~np.isnan(differences)]  # (sets,)
    sets = len(differences)
    if not sets:
        return NAN
    observed = abs(differences.sum()) * (1 - 1e-12)
    if sets <= EXACT_SETS:
        signs = 1 - 2 * ((np.arange(2**sets)[:, np.newaxis] >> np.arange(sets)) & 1)  # (2^sets, sets)
        return float((np.abs(signs @ differences) >= observed).mean())
    rng = np.random.default_rng(seed)
    extreme = sum(
        int((np.abs(rng.choice((-1.0, 1.0), (1000, sets)) @ differences) >= observed).sum())
        for _ in range(FLIPS // 1000)
    )
    return (extreme + 1) / (FLIPS + 1)
