"""Workflows of one target and four candidates, in a real ComfyUI before a service that tells colours apart."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.colours import ColourEngine
from tests.support.comfyui import ComfyUI, Graph, comfyui
from tests.support.services import listening

TARGET = (100, 100, 100)
COLOURS = [(100, 100, 200), (100, 100, 110), (100, 100, 150), (100, 100, 101)]
ORDER = [3, 1, 2, 0]


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with listening(ColourEngine()) as url:
        yield url


@pytest.fixture(scope="module")
def comfy(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyUI]:
    with comfyui(tmp_path_factory.mktemp("comfyui"), CLPIPS_ADDRESS=service) as running:
        yield running


def started(**server: Any) -> tuple[Graph, dict[str, Any]]:
    """A workflow with the target and the batch, and a server where one is named."""
    graph = Graph()
    inputs: dict[str, Any] = {"target": graph.colours(TARGET), "images": graph.colours(*COLOURS)}
    if server:
        values = {"profile": "lpips", "timeout": 60.0, **server}
        inputs["server"] = [graph.add("CLPIPSServer", **values), 0]
    return graph, inputs


def text_of(outputs: dict[str, Any], node: str) -> str:
    (text,) = outputs[node]["text"]
    return str(text)
