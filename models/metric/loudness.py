"""Loudness of channels on natural images: how large each channel's distance usually is, before any ranking is seen.

`natural_loudness.safetensors` has the root mean square of every channel distance over all pairs of a set of
photographs, a tensor for each family; `python -m loadtest.make_balanced` makes it. A fit to few rankings would else
take a channel for quiet that only happens to be quiet in these few pictures.
"""

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from clpips.models.metric.families import PLACES
from clpips.models.metric.weights import combine_families

NATURAL_LOUDNESS: Final = Path(__file__).parent.parent / "data" / "natural_loudness.safetensors"


@cache
def natural_loudness() -> NDArray[np.float32]:
    """Root mean square of each channel distance over pairs of photographs: float32 `(6016,)`, > 0.

    >>> bool((natural_loudness() > 0).all())
    True
    """
    return combine_families(safetensors.numpy.load(NATURAL_LOUDNESS.read_bytes()))


def save_loudness(values: NDArray[np.float32], path: Path) -> None:
    """Write root mean squares, float32 `(6016,)`, as such a file."""
    path.write_bytes(safetensors.numpy.save({name: values[place] for name, place in PLACES.items()}))
