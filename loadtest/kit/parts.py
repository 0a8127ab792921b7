"""What the parts can do alone, in a process of its own: one JSON object on standard output.

    python -m loadtest.kit.parts ceiling float32|bfloat16
    python -m loadtest.kit.parts engine onnx|torch exact|fast [auto|direct|winograd]
    python -m loadtest.kit.parts pair               decode and score one pair of 512² PNG, without a server

Images a second over `SECONDS` at 256×256, or seconds a pair (median).
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from clpips.models.engines.opening import open_engine
from clpips.models.images.decoding import load_image
from loadtest.kit.pictures import Pictures

SECONDS = 3.0
BATCH = 8


def rate(work: Callable[[], object], items: int) -> float:
    """Items a second, after one run to warm up."""
    work()
    started, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < SECONDS:
        work()
        done += items
    return done / elapsed


def ceiling(dtype: str) -> float:
    """AlexNet's convolutions, ReLUs and pools alone, channels last: what PyTorch can do at best."""
    import torch

    from clpips.models.metric.nets import CONVOLUTIONS

    layers: list[torch.nn.Module] = []
    for convolution in CONVOLUTIONS:
        layers += [torch.nn.MaxPool2d(3, 2)] if convolution.pooled else []
        layers += [
            torch.nn.Conv2d(
                convolution.inputs,
                convolution.outputs,
                convolution.kernel,
                convolution.stride,
                convolution.padding,
            ),
            torch.nn.ReLU(),
        ]
    kind = getattr(torch, dtype)
    network = torch.nn.Sequential(*layers).eval().to(kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(BATCH, 3, 256, 256, dtype=kind).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return rate(lambda: network(images), BATCH)


def engine(name: str, precision: str, convolution: str = "auto") -> float:
    """Images a second, by as many calls at a time as the engine takes, each of as many images as it gains from."""
    opened = open_engine(name, "cpu", precision, convolution=convolution)  # type: ignore[arg-type]
    images = np.stack([load_image(image, 256) for image in Pictures(256, "npy").take(opened.batch)])
    calls = 4 * opened.parallel

    with ThreadPoolExecutor(opened.parallel) as pool:
        return rate(lambda: [*pool.map(lambda _: opened.embed(images), range(calls))], calls * opened.batch)


def pair() -> float:
    """Seconds for one pair without a server: read two files, embed them, compare."""
    opened = open_engine(convolution="auto")
    pictures = Pictures(512)
    times = []
    for _ in range(40):
        files = pictures.take(2)
        started = time.perf_counter()
        target, candidate = opened.embed(np.stack([load_image(file, 256) for file in files]))
        opened.compare([target], [candidate])
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    measures: dict[str, Callable[..., float]] = {"ceiling": ceiling, "engine": engine, "pair": pair}
    print(json.dumps({"value": measures[what](*arguments)}))
