"""The example workflows in a real ComfyUI, as its page queues them, and a heat map within a mask."""

import json
from typing import Any

import numpy as np
import pytest
from clpips_client import Client

from clpips.models.engines.opening import open_engine
from tests.support import workflows
from tests.support.comfyui import PACK, ComfyUI, Failed, Graph, Prompt, needs_comfyui, prompt_of
from tests.support.services import listening

pytestmark = [needs_comfyui, pytest.mark.timeout(400)]

TARGET, OTHER = (100, 100, 100), (100, 100, 200)

service = workflows.service
comfy = workflows.comfy


def example(comfy: ComfyUI, name: str) -> tuple[Prompt, dict[str, str]]:
    """An example workflow as ComfyUI's page queues it, and its nodes' ids by their classes."""
    workflow = json.loads((PACK / "example_workflows" / f"{name}.json").read_text())
    prompt = prompt_of(workflow, comfy.http.get("/object_info").json())
    return prompt, {node["class_type"]: name for name, node in prompt.items()}


def distances_of_example(prompt: Prompt, service: str) -> list[float]:
    """How far the examples' candidates are from their target, in the order of their batch."""
    levels = [node["inputs"]["color"] for node in prompt.values() if node["class_type"] == "EmptyImage"]
    flat = [np.full((256, 256, 3), [level >> 16, level >> 8 & 255, level & 255], np.uint8) for level in levels]
    with Client(service) as client:
        return list(client.distance(flat[0], flat[1:]).distances)


def after(prompt: Prompt, outputs: dict[str, Any], source: str, output: int) -> Any:
    """What the node shows that is wired to this output; None where nothing came of it."""
    (name,) = (name for name, node in prompt.items() if [source, output] in node["inputs"].values())
    return outputs.get(name)


def test_the_example_that_ranks_runs(comfy: ComfyUI, service: str) -> None:
    prompt, ids = example(comfy, "rank")
    outputs = comfy.wait(comfy.queue(prompt))["outputs"]
    distances = distances_of_example(prompt, service)
    expected = sorted(range(len(distances)), key=distances.__getitem__)
    (order,) = after(prompt, outputs, ids["CLPIPSRank"], 1)["text"]
    assert order == ", ".join(map(str, expected))
    assert len(after(prompt, outputs, ids["CLPIPSRank"], 0)["images"]) == len(distances) == 3


def test_the_example_with_a_gate_and_heat_maps_runs(comfy: ComfyUI, service: str) -> None:
    prompt, ids = example(comfy, "gate_and_heatmap")
    distances = distances_of_example(prompt, service)
    prompt[ids["CLPIPSGate"]]["inputs"]["threshold"] = (
        sum(sorted(distances)[:2]) / 2
    )  # this engine's distances are small
    outputs = comfy.wait(comfy.queue(prompt))["outputs"]
    assert [len(after(prompt, outputs, ids["CLPIPSGate"], side)["images"]) for side in (0, 1)] == [1, 2]
    assert len(after(prompt, outputs, ids["CLPIPSHeatmap"], 0)["images"]) == 3


def test_the_example_that_teaches_runs(comfy: ComfyUI, service: str) -> None:
    prompt, ids = example(comfy, "teach")
    prompt[ids["CLPIPSServer"]]["inputs"]["address"] = service
    for order, taught in (("", 0), ("2, 0, 1", 1)):
        prompt[ids["CLPIPSTeach"]]["inputs"]["order"] = order
        outputs = comfy.wait(comfy.queue(prompt))["outputs"]
        (said,) = after(prompt, outputs, ids["CLPIPSTeach"], 0)["text"]
        assert ("nothing is taught" in said) == (not order)
        with Client(service) as client:
            kept = [profile.rankings for profile in client.profiles.list().profiles if profile.name == "mine"]
        assert kept == [taught] * len(kept)
    assert kept == [1]


def test_a_heat_map_within_a_mask_is_the_services_own(comfy: ComfyUI) -> None:
    left, right = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    left[:, :32], right[:, 32:] = 255, 255
    target = np.full((64, 64, 3), TARGET, np.uint8)
    candidate = target.copy()
    candidate[8:24, 4:20] = OTHER  # they differ on the left alone
    graph = Graph()
    patched = graph.add(
        "ImageCompositeMasked",
        destination=graph.colours(TARGET),
        source=graph.colours(OTHER, side=16),
        x=4,
        y=8,
        resize_source=False,
    )
    options: dict[str, Any] = {"style": "map", "upsample": "nearest", "opacity": 0.5}
    images = {"target": graph.colours(TARGET), "images": [patched, 0]}
    nothing, half = (
        graph.add("SolidMask", value=value, width=width, height=64) for value, width in ((0.0, 64), (1.0, 32))
    )
    with listening(open_engine("onnx", "cpu")) as url, Client(url) as client:
        server = [graph.add("CLPIPSServer", address=url, profile="lpips", timeout=60.0), 0]
        shown = []
        for x in (0, 32):
            parts = {"destination": [nothing, 0], "source": [half, 0], "operation": "add"}
            mask = graph.add("MaskComposite", x=x, y=0, **parts)
            drawn = graph.add("CLPIPSHeatmap", mask=[mask, 0], server=server, **options, **images)
            shown.append(graph.show(drawn, 1))
        outputs = comfy.run(graph)
        told = [float(outputs[each]["text"][0]) for each in shown]
        expected = [client.heatmap(target, candidate, mask=mask).high for mask in (left, right)]
        assert told == pytest.approx(expected, rel=1e-3)
        assert told[0] > 2 * told[1]
        graph.show(graph.add("CLPIPSHeatmap", mask=[half, 0], server=server, **options, **images), 1)
        with pytest.raises(Failed, match="mask"):
            comfy.run(graph)
