"""Contender: what one writes in ten minutes. A Litestar handler around `lpips.LPIPS`, written well.

Evaluation and inference mode, images resized to 256², all pairs of a request in one batch, the handler in a thread. One
request computes at a time: with two or more at once PyTorch's threads fight for the cores, and all are slower.

    python -m loadtest.kit.plain PORT [cpu|cuda]
"""

import io
import sys
import threading
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import uvicorn
from litestar import Litestar, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from PIL import Image

from loadtest.kit.reference import load_lpips


@dataclass
class Upload:
    target: UploadFile
    candidates: list[UploadFile]


def read(image: bytes) -> torch.Tensor:
    """float32 `(3, 256, 256)` in [-1, 1], as `lpips` wants it."""
    if image.startswith(b"\x93NUMPY"):
        pixels = np.load(io.BytesIO(image))
    else:
        pixels = np.asarray(Image.open(io.BytesIO(image)).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1


def create_app(device: str) -> Litestar:
    model = load_lpips().to(device)
    computing = threading.Lock()

    @post("/rank", sync_to_thread=True, status_code=200)
    def rank(data: Annotated[Upload, Body(media_type=RequestEncodingType.MULTI_PART)]) -> dict[str, list[float]]:
        target = read(data.target.file.read())
        candidates = torch.stack([read(candidate.file.read()) for candidate in data.candidates])
        with computing, torch.inference_mode():
            candidates = candidates.to(device)
            distances = model(target.to(device).expand_as(candidates), candidates).flatten()
        return {"distances": distances.tolist()}

    @get("/readyz", sync_to_thread=False)
    def ready() -> str:
        return "ready"

    return Litestar([rank, ready], openapi_config=None)


if __name__ == "__main__":
    port, device = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cpu"
    uvicorn.run(create_app(device), port=port, log_level="warning")
