"""What families cost: `/rank`'s work on the engine with statistics beside the same without, in one process, in turn.

    python -m loadtest.bench_families [--engine onnx|torch] [--precision exact|fast] [--rounds 15] [--side 256]

Both embed a target and ten candidates and compare them: the one as the service does for every `/rank`, with all
families, the other as it did when there was `aligned` alone. Decoding, which costs both the same, is left out: of a
whole request the share is smaller. Processor time is measured, on one thread, so that a busy machine spoils little.
The ratio that is printed is the median over rounds, with its quartiles.
"""

import argparse
import gc
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np

from clpips.models.engines.opening import open_engine
from clpips.models.metric.backbone import TOTAL_CHANNELS
from clpips.models.metric.families import ALL_FAMILIES, Families
from loadtest.kit.exactness import scenes

CANDIDATES = 10
ALIGNED: Families = frozenset({"aligned"})


def without_statistics() -> AbstractContextManager[Any]:
    """ONNX Runtime's engine computes them where it embeds: here it does not."""
    none = np.zeros((2, TOTAL_CHANNELS), np.float32)
    return patch("clpips.models.engines.onnx.statistics", lambda _: none)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=["onnx", "torch"], default="onnx")
    parser.add_argument("--precision", choices=["exact", "fast"], default="exact")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()
    engine = open_engine(arguments.engine, "cpu", arguments.precision, threads=1)
    images = scenes(1 + CANDIDATES, arguments.side)

    def rank(families: Families) -> float:
        """Processor seconds of one request's work."""
        started = time.process_time()
        target, *candidates = engine.embed(images)
        engine.compare([target] * CANDIDATES, candidates, families)
        return time.process_time() - started

    def round_of(context: Callable[[], AbstractContextManager[Any]], families: Families) -> float:
        with context():
            return min(rank(families) for _ in range(5))

    contenders = [(nullcontext, ALL_FAMILIES), (without_statistics, ALIGNED)]
    round_of(*contenders[0])
    ratios, seconds = [], []
    for number in range(arguments.rounds):
        gc.collect()
        order = contenders if number % 2 else contenders[::-1]
        took = {families: round_of(context, families) for context, families in order}
        ratios.append(took[ALL_FAMILIES] / took[ALIGNED])
        seconds.append(took[ALIGNED])
    low, median, high = np.percentile(ratios, [25, 50, 75])
    print(
        f"{arguments.engine} {arguments.precision}: all families / aligned alone {median:.4f} [{low:.4f}, {high:.4f}]"
    )
    print(f"aligned alone: {1000 * np.median(seconds):.1f} ms for a target and {CANDIDATES} candidates")
    engine.close()


if __name__ == "__main__":
    main()
