"""JPEG to pixels on the device: by the host's threads and an upload, or decoded and resized there, side by side."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch

from clpips.models.engines.contract import Engine, EngineError
from clpips.models.engines.opening import open_jpeg_decoder
from clpips.models.images.decoding import load_image
from clpips.models.images.pixels import MAX_PIXELS
from clpips.models.metric.distance import weigh
from clpips.models.metric.weights_files import load_weights
from loadtest.kit.measure import in_turn
from loadtest.kit.pictures import Pictures

RESOLUTION = 256
SIDES = (512, 1024)
FILES = {"cpu": 8, "cuda": 64}  # a call, as many as a batch of the service
WEIGHTS = load_weights("lpips").values


def bench_jpeg(engines: dict[str, Engine], device: str, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Images/s by side of the file, and how far the device's pixels and distances lie from the host's.

    Empty where torchvision decodes nothing on the device; the reason is printed.
    """
    engine = engines["torch exact"]
    try:
        decoder = open_jpeg_decoder(engine)
    except EngineError as error:
        print(f"left out: JPEG on the device: {error}")
        return []
    threads = len(os.sched_getaffinity(0))
    rows = []
    with ThreadPoolExecutor(threads) as pool:
        for side in SIDES:
            files = Pictures(side, "jpeg").take(FILES[device])

            def on_host(files: list[bytes] = files) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
                return list(pool.map(partial(load_image, resolution=RESOLUTION), files))

            def uploaded(on_host: Callable[[], list[Any]] = on_host) -> torch.Tensor:
                batch = torch.from_numpy(np.stack(on_host()))
                return (batch.pin_memory() if device == "cuda" else batch).to(device, non_blocking=True)

            calls: dict[str, Callable[[], object]] = {
                f"host, {threads} threads": uploaded,
                "device": partial(decoder.decode, files, RESOLUTION, MAX_PIXELS),
            }
            timings = in_turn(calls, device, rounds, seconds)
            expected = on_host()
            found = [
                pixels for pixels in decoder.decode(files, RESOLUTION, MAX_PIXELS) if isinstance(pixels, torch.Tensor)
            ]
            if len(found) != len(files):
                raise RuntimeError(f"the device left {len(files) - len(found)} plain JPEGs of {side}² to the host")
            levels = np.abs(np.stack([one.cpu().numpy() for one in found]).astype(int) - np.stack(expected))
            distances = [
                weigh(engine.compare([features[0]] * (len(files) - 1), features[1:]), WEIGHTS)
                for features in (engine.embed(found), engine.embed(expected))
            ]
            rows += [
                {
                    "decoder": name,
                    "side": side,
                    "per_second": len(files) / timing.median,
                    "least": len(files) / timing.high,
                    "most": len(files) / timing.low,
                    "largest_level": int(levels.max()) if name == "device" else 0,
                    "mean_level": float(levels.mean()) if name == "device" else 0.0,
                    "largest_distance": float(np.abs(distances[0] - distances[1]).max()) if name == "device" else 0.0,
                }
                for name, timing in timings.items()
            ]
    return rows
