"""The loop that people write: `lpips` over a table of pairs in batches, files decoded by a DataLoader's workers.

    python -m loadtest.bulk.reference TABLE PAIRS BATCH WORKERS

Prints a JSON object: pairs, and the seconds from the first batch asked for to the last distance.
"""

import json
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from loadtest.kit.reference import load_lpips

SIDE = 256


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Pairs of image files, resized as bulk scoring resizes them."""

    def __init__(self, table: str, count: int) -> None:
        columns = pq.read_table(table).slice(0, count).to_pydict()
        self._pairs = list(zip(columns["target"], columns["candidate"], strict=True))

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        first, second = self._pairs[place]
        return _pixels(first), _pixels(second)


def _pixels(path: str) -> Tensor:
    image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1  # (3, s, s)


@torch.inference_mode()
def main(table: str, pairs: int, batch: int, workers: int) -> None:
    metric, data = load_lpips(), Pairs(table, pairs)
    started = time.perf_counter()
    distances = [metric(*both).flatten() for both in DataLoader(data, batch_size=batch, num_workers=workers)]
    count = len(torch.cat(distances))
    print(json.dumps({"pairs": count, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
