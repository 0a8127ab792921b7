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

from clpips.models.metric.families import ALEX_LAYOUT, PLACES, ZLayout
from clpips.models.metric.weights import combine_families

NATURAL_LOUDNESS: Final = Path(__file__).parent.parent / "data" / "natural_loudness.safetensors"


@cache
def natural_loudness(layout: ZLayout = ALEX_LAYOUT) -> NDArray[np.float32]:
    """Root mean square of each channel distance over pairs of photographs: float32 `(z,)`, > 0.

    It is known of AlexNet. Other backbones' channels are taken to be as loud as AlexNet's of their family on average.

    >>> bool((natural_loudness() > 0).all())
    True
    """
    known = safetensors.numpy.load(NATURAL_LOUDNESS.read_bytes())
    if layout is not ALEX_LAYOUT:
        counts = {name: place.stop - place.start for name, place in layout.places.items()}
        known = {
            name: values if len(values) == counts[name] else np.full(counts[name], values.mean(), np.float32)
            for name, values in known.items()
        }
    return combine_families(known, layout)


def save_loudness(values: NDArray[np.float32], path: Path) -> None:
    """Write root mean squares, float32 `(6016,)`, as such a file."""
    path.write_bytes(safetensors.numpy.save({name: values[place] for name, place in PLACES.items()}))
