"""Typical channel distances of natural images, by family and layer: what a weight is worth as part of a distance.

The mean over channels, and over all pairs of 92 photographs of objects (Kriegeskorte et al. 2008; 256 × 256 pixels).
A weight of the last layer's `mean` moves a distance less than the same weight of the first layer's `aligned`: weights
become comparable when each is multiplied by the distance that it meets.
"""

from typing import Final

TYPICAL: Final = {  # conv1 to conv5, as `python -m loadtest.make_balanced FOLDER` prints them
    "aligned": (1.516e-02, 7.169e-03, 4.104e-03, 6.122e-03, 6.289e-03),
    "mean": (1.760e-03, 6.044e-04, 2.912e-04, 5.081e-04, 9.035e-04),
    "std": (1.859e-03, 9.071e-04, 8.010e-04, 1.151e-03, 2.284e-03),
}
