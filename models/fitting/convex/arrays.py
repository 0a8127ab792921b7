"""The arrays of fits, by what they hold."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
Chosen = NDArray[np.bool_]
