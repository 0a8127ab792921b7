"""Active learning: which two candidates to ask about next.

The pair with the largest prior standard deviation of its gap, ‖s ∘ (z_a − z_b)‖, with s² the prior variance of a
channel's weight (`convex/space.py`): weights drawn from the prior disagree most about it, so its order teaches most.
It depends on the images alone, and on nothing that has been learned.

On people's orders of photographs it needed at most two thirds of the judgments of random questions where the loudness
of channels was known from other pictures, and saved nothing where it was known from the same ones (docs/learning.md,
"Which two to ask about"). The spread of the averaged fits' gaps, which uses what has been learned, came behind it: fits
that differ in strength alone disagree about little.
"""

from collections.abc import Collection
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.space import QUIETEST
from clpips.models.metric.families import ALEX_LAYOUT, ZLayout, layout_of_z
from clpips.models.metric.loudness import natural_loudness
from clpips.models.metric.weights_files import load_weights

Pair = tuple[int, int]  # candidates' places, the lower first


def suggest_pair(z: NDArray[np.float32], asked: Collection[Pair] = ()) -> Pair | None:
    """The two candidates whose order would teach the most; None where all have been asked about, or look the same.

    `z` are the candidates' channel distances from their target, float32 `(k, 6016)`; `asked` the pairs whose order is
    known already. Deterministic; of equal pairs the first.

    >>> z = np.outer([1, 2, 5], np.full(6016, 0.001)).astype(np.float32)
    >>> suggest_pair(z), suggest_pair(z, asked=[(0, 2)])
    ((0, 2), (1, 2))
    """
    scaled = (z * prior_deviations(layout_of_z(z.shape[1]))).astype(np.float32)  # (k, c)
    left = [pair for pair in combinations(range(len(z)), 2) if pair not in asked]
    spreads = [float(np.square(scaled[second] - scaled[first]).sum()) for first, second in left]
    return left[int(np.argmax(spreads))] if any(spreads) else None


@cache
def prior_deviations(layout: ZLayout = ALEX_LAYOUT) -> NDArray[np.float64]:
    """How far each channel's weight may be from the start before anything is learned, up to a factor: `(c,)`."""
    loudness = natural_loudness(layout).astype(np.float64)  # (c,)
    loudness = np.maximum(loudness, QUIETEST * loudness.mean())
    return np.asarray(np.sqrt(load_weights("balanced", layout.net.name).values / loudness))
