"""State dicts of random weights, pictures to measure with them, and the commands that do."""

from typing import Any

import numpy as np
import pytest

from clpips.models.cli.commands import main
from clpips.models.metric.nets import Net
from tests.support.pictures import picture, variation

PICTURES = [picture(1, 64), variation(picture(1, 64), 2, 0.4), picture(3, 64)]


def random_state(net: Net, seed: int = 0) -> dict[str, Any]:
    """Weights drawn as He et al. (2015) begin a training: maps stay as large as the pixels."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1, shape).astype(np.float32)
        for name, shape in net.tensor_shapes().items()
    }


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)
