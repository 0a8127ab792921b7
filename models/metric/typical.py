"""Typical channel distances of natural images, by family and layer: what a weight is worth as part of a distance.

The mean over channels, and over all pairs of the two sets of pictures that `balanced` is made of (256 × 256 pixels;
`models/data/README.md` names them).

A weight of the last layer's `mean` moves a distance less than the same weight of the first layer's `aligned`: weights
become comparable when each is multiplied by the distance that it meets.
"""

from typing import Final

# conv1 to conv5, and the content network's last map, as `python -m loadtest.make_balanced FOLDER...` prints them
TYPICAL: Final = {
    "aligned": (1.417e-02, 5.726e-03, 3.034e-03, 4.348e-03, 4.262e-03),
    "mean": (4.128e-03, 8.543e-04, 3.866e-04, 5.423e-04, 7.457e-04),
    "std": (2.006e-03, 9.610e-04, 6.223e-04, 8.186e-04, 1.443e-03),
    "content_mean": (7.636e-04,),
    "content_std": (6.818e-04,),
}
