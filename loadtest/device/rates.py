"""Step: embed and compare by batch, of both networks, beside the card's own matrix-product and copy ceilings.

python -m loadtest.device.rates
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from clpips.models.engines.contract import Precision
from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.several import embed_images
from clpips.models.metric.families import ALEXNET, CONTENT
from loadtest.device.rows import emit, require_device, seconds_left
from loadtest.kit.exactness import as_lpips, scenes
from loadtest.kit.measure import Timing, copy_ceiling, flop, in_turn, matrix_ceiling
from loadtest.kit.reference import load_lpips

SIDE = 256
BATCHES = {"cuda": (256, 64, 16, 4, 1), "cpu": (4, 1)}
PAIRS = {"cuda": (512, 64, 10, 1), "cpu": (10, 1)}
ROUNDS, SECONDS = 5, 0.1
FAST_IMAGES = 40_000  # the bar: images/s of the best batch
COPY_SHARE = 60  # and percent of the copy bandwidth, of comparing
Calls = dict[str, Callable[[], object]]


def ceilings(device: str) -> tuple[float, float]:
    """FLOP/s of a bfloat16 matrix product and bytes/s of a copy, which others are measured by."""
    products = {}
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        products[dtype] = matrix_ceiling(device, dtype)
        emit(f"matrix product, {str(dtype).removeprefix('torch.')}", products[dtype] / 1e12, "TFLOP/s")
    copied = copy_ceiling(device)
    emit("copy, read and written", copied / 1e9, "GB/s")
    return products[torch.bfloat16], copied


def embed(engines: dict[str, TorchEngine], device: str, product: float) -> None:
    """Images/s by batch from pixels in main memory: AlexNet, the content network, both; and `lpips` itself."""
    metric = load_lpips().to(device)
    best = ("", Timing(1, 1, 1), 0)
    for batch in BATCHES[device]:
        if seconds_left() < 12:
            break
        images = scenes(batch, SIDE)
        calls: Calls = {}
        for name, engine in engines.items():
            calls[f"{name}, AlexNet"] = partial(engine.embed, images)
            calls[f"{name}, content"] = partial(engine.embed, images, network=CONTENT)
            calls[f"{name}, both"] = partial(embed_images, engine, images)
            if engine.graphs is not None and batch <= engine.graphs.largest:
                calls[f"{name}, AlexNet, device alone"] = partial(engine.graphs.replay, batch)
        if batch > 1:
            halves = torch.chunk(as_lpips(images, device, torch.float32), 2)
            calls["lpips, pixels on the device"] = partial(metric, *halves)
        with torch.inference_mode():
            timings = in_turn(calls, device, ROUNDS, SECONDS)
        for name, timing in timings.items():
            _rate(f"embed {SIDE}², batch {batch}: {name}", timing, batch, "images/s")
            if name == "fast, AlexNet" and batch / timing.median > best[2] / best[1].median:
                best = (f"batch {batch}", timing, batch)
    if best[2]:
        _rate("fast embed, best batch", best[1], best[2], "images/s", least=FAST_IMAGES, note=best[0])
        share = 100 * best[2] / best[1].median * flop(SIDE) / product
        emit("fast embed, share of the bfloat16 product", share, "%", note="of the convolutions' operations")


class Comparing:
    """A call that compares the next pairs of features, so that no call finds the last one's in a cache."""

    def __init__(self, engine: TorchEngine, features: list[Any], size: int) -> None:
        self._engine, self._features, self._size, self._start = engine, features, size, 0

    def __call__(self) -> object:
        start, size = self._start, self._size
        self._start = (start + 2 * size) % (len(self._features) - 2 * size + 1)
        return self._engine.compare(
            self._features[start : start + size], self._features[start + size : start + 2 * size]
        )


def compare(engines: dict[str, TorchEngine], device: str, copied: float) -> None:
    """Pairs/s by pairs a call, all families of each network, and the share of the copy bandwidth."""
    held = 2 * PAIRS[device][0]
    images = scenes(min(held, 16), SIDE)
    for name, engine in engines.items():
        for network in (ALEXNET, CONTENT):
            if seconds_left() < 4:
                print("the time is over: comparisons that follow are left out")
                return
            features = [one for _ in range(0, held, len(images)) for one in engine.embed(images, network=network)]
            calls: Calls = {str(size): Comparing(engine, features, size) for size in PAIRS[device]}
            shares = {}
            for size, timing in in_turn(calls, device, ROUNDS, SECONDS).items():
                pairs = int(size)
                _rate(f"compare, {pairs} pairs: {name}, {network}", timing, pairs, "pairs/s")
                shares[pairs] = 100 * pairs * 2 * features[0].nbytes / timing.median / copied
            if network == ALEXNET:
                pairs = max(shares, key=lambda one: shares[one])
                what, note = f"compare, share of the copy bandwidth: {name}", f"all families, {pairs} pairs"
                emit(what, shares[pairs], "%", least=COPY_SHARE, note=note)


def _rate(what: str, timing: Timing, items: int, unit: str, *, least: float | None = None, note: str = "") -> None:
    rate, low, high = (items / seconds for seconds in (timing.median, timing.high, timing.low))
    emit(what, rate, unit, low=low, high=high, least=least, note=note)


def main() -> int:
    device = require_device()
    product, copied = ceilings(device)
    precisions: tuple[Precision, ...] = ("fast", "exact")
    engines: dict[str, TorchEngine] = {precision: TorchEngine(device, precision) for precision in precisions}
    for engine in engines.values():
        engine.prepare(SIDE, BATCHES[device][0], 0)
    embed(engines, device, product)
    compare(engines, device, copied)
    return 0


if __name__ == "__main__":
    sys.exit(main())
