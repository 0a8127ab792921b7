"""Pairs a second: `/matrix` of a set beside a loop over `/distance`, and beside the `lpips` package in batches.

    python -m loadtest.bench_matrix [--images 16] [--side 256] [--rounds 3]

The set's images are new to the service in `matrix, new images`, and held in the other two of its rows. The package
embeds both images of each pair anew, as its users' loops over pairs do, in batches of `BATCH` pairs on PyTorch with all
cores. All take their turn in each round; the service is stopped (SIGSTOP) while the package computes.
"""

import argparse
import hashlib
import itertools
import time
from collections.abc import Callable
from typing import Final

import httpx
import numpy as np
import torch

from clpips.models.images.decoding import load_image
from loadtest.kit.contenders import clpips
from loadtest.kit.pictures import Pictures
from loadtest.kit.reference import load_lpips

BATCH: Final = 16  # pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    source, options = Pictures(arguments.side), {"resolution": arguments.side}
    images = source.take(arguments.images)
    names = ["sha256:" + hashlib.sha256(content).hexdigest() for content in images]
    pairs = list(itertools.combinations(range(arguments.images), 2))
    reference = load_lpips()
    pixels = [torch.from_numpy(load_image(one, arguments.side)).permute(2, 0, 1).float() / 127.5 - 1 for one in images]
    server = clpips()
    server.start()
    client = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=600)

    def new_matrix() -> None:
        files = [("images", content) for content in source.take(arguments.images)]
        client.post("/matrix", files=files, data={"resolution": str(arguments.side)}).raise_for_status()

    def held_matrix() -> None:
        client.post("/matrix", json={"images": names, **options}).raise_for_status()

    def loop() -> None:
        for a, b in pairs:
            pair = {"target": names[a], "candidate": names[b]}
            client.post("/distance", json={"pairs": [pair], **options}).raise_for_status()

    def package() -> None:
        server.freeze()
        for start in range(0, len(pairs), BATCH):
            part = pairs[start : start + BATCH]
            reference(*(torch.stack([pixels[pair[side]] for pair in part]) for side in (0, 1)))
        server.thaw()

    contenders: dict[str, Callable[[], None]] = {
        "matrix, held images": held_matrix,
        "matrix, new images": new_matrix,
        "loop over /distance, held images": loop,
        "lpips in batches": package,
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    try:
        files = [("images", content) for content in images]
        client.post("/matrix", files=files, data={"resolution": str(arguments.side)}).raise_for_status()
        for _ in range(arguments.rounds):
            for name, run in contenders.items():
                started = time.perf_counter()
                run()
                rates[name].append(len(pairs) / (time.perf_counter() - started))
    finally:
        server.stop()
    for name, found in rates.items():
        print(f"{name:34} {np.median(found):8.0f} pairs/s ({min(found):.0f}–{max(found):.0f})")


if __name__ == "__main__":
    main()
