"""Heat plot of the distances of all pairs of a set."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from clpips.models.metric.whole_files import write_whole
from clpips.models.report.labels import any_script, plain_label

CELL_INCHES: Final = 0.32
MARGIN_INCHES: Final = 2.6  # for the names
LARGEST_INCHES: Final = 24.0


def draw_matrix(path: Path, distances: NDArray[np.float32], names: Sequence[str], weights: str) -> None:
    """Write a picture of distances `(n, n)`, with the images' names beside it; the file's name says its format."""
    side = min(MARGIN_INCHES + CELL_INCHES * len(names), LARGEST_INCHES)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(distances, cmap="inferno", vmin=0)
    plain = [plain_label(name) for name in names]
    axes.set_xticks(range(len(names)), plain, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), plain, fontsize=8)
    figure.colorbar(shown, ax=axes, shrink=0.7, label=f"distance, {plain_label(weights)}")
    with any_script():
        figure.savefig(content := BytesIO(), format=path.suffix[1:].lower(), dpi=110, bbox_inches="tight")
    write_whole(path, content.getvalue())
