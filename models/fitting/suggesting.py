"""Active learning: which two candidates to ask about next.

The pair with the largest prior standard deviation of its gap, ‖s ∘ (z_a − z_b)‖, with s² the prior variance of a
channel's weight (`convex/space.py`): weights drawn from the prior disagree most about it, so its order teaches most.
It depends on the images alone, and on nothing that has been learned.

The spread of the averaged fits' gaps, which uses what has been learned, was tried beside it. It came behind: three fits
that differ in strength alone disagree about little (docs/learning.md, "Which two to ask about").
"""

from collections.abc import Collection
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.space import channel_loudness
from clpips.models.metric.loudness import natural_loudness
from clpips.models.metric.weights_files import load_weights

Pair = tuple[int, int]  # candidates' places, the lower first


def suggest_pair(z: NDArray[np.float32], asked: Collection[Pair] = ()) -> Pair | None:
    """The two candidates whose order would teach the most; None where all have been asked about, or look the same.

    `z` are the candidates' channel distances from their target, float32 `(k, 3456)`; `asked` the pairs whose order is
    known already. Deterministic; of equal pairs the first.

    >>> z = np.outer([1, 2, 5], np.full(3456, 0.001)).astype(np.float32)
    >>> suggest_pair(z), suggest_pair(z, asked=[(0, 2)])
    ((0, 2), (1, 2))
    """
    scaled = (z * prior_deviations(z)).astype(np.float32)  # (k, c)
    left = [pair for pair in combinations(range(len(z)), 2) if pair not in asked]
    spreads = [float(np.square(scaled[second] - scaled[first]).sum()) for first, second in left]
    return left[int(np.argmax(spreads))] if any(spreads) else None


def prior_deviations(z: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each channel's weight may be from the start before anything is learned, up to a factor: `(c,)`."""
    balanced = load_weights("balanced").values.astype(np.float64)  # (c,)
    return np.sqrt(balanced / channel_loudness(z, natural_loudness().astype(np.float64)))
