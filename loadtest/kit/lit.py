"""Contender: the same in LitServe, with `max_batch_size` 8.

python -m loadtest.kit.lit PORT [cpu|cuda]
"""

import sys
from typing import Any

import litserve
import litserve.server
import torch
from fastapi import Request

from loadtest.kit.plain import read
from loadtest.kit.reference import load_lpips


class Ranking(litserve.LitAPI):  # type: ignore[misc]  # litserve ships no types
    def setup(self, device: str) -> None:
        self.place = device
        self.model = load_lpips().to(device)

    def decode_request(self, request: Request) -> tuple[torch.Tensor, torch.Tensor]:
        form: Any = request  # LitServe parses the form and hands it in
        candidates = torch.stack([read(part.file.read()) for part in form.getlist("candidates")])
        return read(form["target"].file.read()).expand_as(candidates), candidates

    def batch(self, inputs: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        targets, candidates = zip(*inputs, strict=True)
        return torch.cat(targets), torch.cat(candidates), [len(part) for part in candidates]

    def predict(self, batch: tuple[torch.Tensor, torch.Tensor, list[int]]) -> list[torch.Tensor]:
        targets, candidates, sizes = batch
        with torch.inference_mode():
            distances = self.model(targets.to(self.place), candidates.to(self.place))
            return list(distances.flatten().split(sizes))

    def unbatch(self, output: list[torch.Tensor]) -> list[torch.Tensor]:
        return output

    def encode_response(self, output: torch.Tensor) -> dict[str, list[float]]:
        return {"distances": output.tolist()}


if __name__ == "__main__":
    # LitServe 0.2 looks for the package mcp, and then imports fastmcp: it fails where only the first is installed.
    litserve.server._MCP_AVAILABLE = False
    accelerator = sys.argv[2] if len(sys.argv) > 2 else "cpu"
    server = litserve.LitServer(
        Ranking(max_batch_size=8, batch_timeout=0.01, api_path="/rank"), accelerator=accelerator, timeout=False
    )
    server.run(port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
