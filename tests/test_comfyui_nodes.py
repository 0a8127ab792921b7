"""The node pack in a real ComfyUI: what every node gives out, what it shows meanwhile, and two prompts at once."""

import io
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clpips_client import Client
from PIL import Image

from tests.support import workflows
from tests.support.comfyui import FOLDER, ComfyUI, Failed, Graph, needs_comfyui
from tests.support.workflows import COLOURS, ORDER, TARGET, started, text_of

pytestmark = [needs_comfyui, pytest.mark.timeout(400)]

service = workflows.service
comfy = workflows.comfy

NODES = {f"CLPIPS{name}" for name in ("Server", "Rank", "Best", "Gate", "Distance", "Heatmap", "Session", "Teach")}


def colours_of(comfy: ComfyUI, saved: dict[str, Any]) -> list[tuple[int, ...]]:
    """The colours of saved images, which are of one colour each."""
    files = [comfy.image(one) for one in saved["images"]]
    pixels = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    assert all((one == one[0, 0]).all() for one in pixels)
    return [tuple(int(level) for level in one[0, 0]) for one in pixels]


def test_all_nodes_are_there_with_the_new_schema(comfy: ComfyUI) -> None:
    known = comfy.http.get("/object_info").json()
    ours = {name: one for name, one in known.items() if name.startswith("CLPIPS")}
    assert ours.keys() == NODES
    assert {one["category"] for one in ours.values()} == {"CLPIPS"}
    assert all(one["description"] and one["python_module"] == "custom_nodes.clpips" for one in ours.values())
    assert ours["CLPIPSServer"]["input"]["required"]["address"][1]["default"].startswith("http://127.0.0.1:")
    assert ours["CLPIPSGate"]["output_name"] == ["accepted", "rejected", "accepted_count", "rejected_count"]  # no types
    assert not any(set(one["output_name"]) & set(one["output"]) for one in ours.values())
    assert not any("key" in one["input"].get("required", {}) for one in ours.values())  # a workflow is shared


def test_rank_sorts_the_batch_and_tells_order_distances_and_comparison(comfy: ComfyUI, service: str) -> None:
    graph, inputs = started()
    rank = graph.add("CLPIPSRank", **inputs)
    saved = graph.add("PreviewImage", images=[rank, 0])
    order, distances, best, comparison = (graph.show(rank, output) for output in (1, 2, 3, 4))
    outputs = comfy.run(graph)
    assert text_of(outputs, order) == "3, 1, 2, 0"
    assert colours_of(comfy, outputs[saved]) == [COLOURS[place] for place in ORDER]
    told = [float(each) for each in text_of(outputs, distances).split(", ")]
    flat = [np.full((64, 64, 3), colour, np.uint8) for colour in (TARGET, *COLOURS)]
    with Client(service) as client:
        assert told == pytest.approx([one.distance for one in client.rank(flat[0], flat[1:])], rel=1e-5)
    assert float(text_of(outputs, best)) == pytest.approx(told[0], rel=1e-5)
    assert len(text_of(outputs, comparison)) > 10


@pytest.mark.parametrize("k", [1, 2, 9])
def test_best_keeps_the_k_most_similar(comfy: ComfyUI, k: int) -> None:
    graph, inputs = started()
    best = graph.add("CLPIPSBest", k=k, **inputs)
    saved, order = graph.add("PreviewImage", images=[best, 0]), graph.show(best, 1)
    outputs = comfy.run(graph)
    assert colours_of(comfy, outputs[saved]) == [COLOURS[place] for place in ORDER[:k]]
    assert text_of(outputs, order) == ", ".join(map(str, ORDER[:k]))


def gate(graph: Graph, inputs: dict[str, Any], threshold: float) -> tuple[str, str, str, str]:
    name = graph.add("CLPIPSGate", threshold=threshold, **inputs)
    images = [graph.add("PreviewImage", images=[name, output]) for output in (0, 1)]
    return images[0], images[1], graph.show(name, 2), graph.show(name, 3)


def test_gate_parts_the_batch_in_its_order(comfy: ComfyUI, service: str) -> None:
    flat = [np.full((64, 64, 3), colour, np.uint8) for colour in (TARGET, *COLOURS)]
    with Client(service) as client:
        distances = sorted(client.distance(flat[0], flat[1:]).distances)
    graph, inputs = started()
    near, far, accepted, rejected = gate(graph, inputs, (distances[1] + distances[2]) / 2)
    outputs = comfy.run(graph)
    assert colours_of(comfy, outputs[near]) == [COLOURS[1], COLOURS[3]]
    assert colours_of(comfy, outputs[far]) == [COLOURS[0], COLOURS[2]]
    assert (text_of(outputs, accepted), text_of(outputs, rejected)) == ("2", "2")


@pytest.mark.parametrize(("threshold", "counts"), [(0.0, ("0", "4")), (1e6, ("4", "0"))])
def test_where_one_side_of_a_gate_is_empty_nothing_runs_behind_it(
    comfy: ComfyUI, threshold: float, counts: tuple[str, str]
) -> None:
    graph, inputs = started()
    near, far, accepted, rejected = gate(graph, inputs, threshold)
    outputs = comfy.run(graph)
    assert (text_of(outputs, accepted), text_of(outputs, rejected)) == counts
    assert (near in outputs, far in outputs) == (counts[0] != "0", counts[1] != "0")


def test_distance_is_of_each_image_or_of_each_pair(comfy: ComfyUI) -> None:
    graph = Graph()
    same = graph.add("CLPIPSDistance", targets=graph.colours(TARGET), images=graph.colours(TARGET))
    pairs = graph.add("CLPIPSDistance", targets=graph.colours(*COLOURS), images=graph.colours(*COLOURS[::-1]))
    one, each = graph.show(same, 0), graph.show(pairs, 1)
    outputs = comfy.run(graph)
    assert float(text_of(outputs, one)) == 0
    first, second, third, fourth = (float(value) for value in text_of(outputs, each).split(", "))
    assert (first, second) == pytest.approx((fourth, third))
    graph = Graph()
    graph.show(graph.add("CLPIPSDistance", targets=graph.colours(*COLOURS[:2]), images=graph.colours(*COLOURS[:3])), 0)
    with pytest.raises(Failed, match="2 targets and 3 candidates"):
        comfy.run(graph)


@pytest.mark.parametrize("style", ["map", "overlay"])
def test_heat_maps_are_images_of_one_scale(comfy: ComfyUI, service: str, style: str) -> None:
    graph, inputs = started()
    drawn = graph.add("CLPIPSHeatmap", style=style, upsample="nearest", opacity=0.5, **inputs)
    saved, highest = graph.add("PreviewImage", images=[drawn, 0]), graph.show(drawn, 1)
    outputs = comfy.run(graph)
    files = [comfy.image(one) for one in outputs[saved]["images"]]
    assert [Image.open(io.BytesIO(file)).size for file in files] == [(256, 256)] * 4
    flat = [np.full((64, 64, 3), colour, np.uint8) for colour in (TARGET, COLOURS[0])]
    with Client(service) as client:
        expected = client.heatmap(flat[0], flat[1], style=style, upsample="nearest", opacity=0.5)  # type: ignore[arg-type]
    assert float(text_of(outputs, highest)) == pytest.approx(expected.high, rel=1e-4)
    pixels, theirs = (np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in (files[0], expected.content))
    assert np.abs(pixels.astype(int) - theirs).max() <= 1  # ComfyUI rounds down when it saves
    assert files[0] != files[1]


def test_progress_and_a_preview_of_the_best_are_shown(comfy: ComfyUI) -> None:
    graph, inputs = started()
    inputs["images"] = graph.colours(*COLOURS, (100, 100, 99), (200, 0, 0))  # nothing of it is known from before
    rank = graph.add("CLPIPSRank", **inputs)
    graph.add("PreviewImage", images=[rank, 0])
    with comfy.watching("ada") as told:
        name = comfy.queue(graph.prompt, "ada")
        seen, previews = [], []
        for part in told:
            if isinstance(part, bytes):
                previews.append(part)
                continue
            seen.append(part)
            if part["type"] == "executing" and part["data"].get("prompt_id") == name and not part["data"]["node"]:
                break
    states = [part["data"]["nodes"].get(rank) for part in seen if part["type"] == "progress_state"]
    assert {(state["value"], state["max"]) for state in states if state} >= {(0, 6), (6, 6)}
    assert any(b"\xff\xd8\xff" in preview or b"\x89PNG" in preview for preview in previews)


def test_two_prompts_at_once_both_come_out_right(comfy: ComfyUI) -> None:
    answers: list[str] = []

    def ask(turn: int) -> None:
        graph = Graph()
        images = COLOURS[turn:] + COLOURS[:turn]
        rank = graph.add("CLPIPSRank", target=graph.colours(TARGET), images=graph.colours(*images))
        order = graph.show(rank, 1)
        places = [int(place) for place in text_of(comfy.run(graph), order).split(", ")]
        answers.append(str([images[place] for place in places]))

    threads = [threading.Thread(target=ask, args=[turn]) for turn in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [str([COLOURS[place] for place in ORDER])] * 2


def test_installing_the_pack_changes_no_version_of_what_comfyui_runs_on() -> None:
    before = [line for line in Path(FOLDER, "before.txt").read_text().split() if "==" in line]
    pip = [f"{FOLDER}/.venv/bin/python", "-m", "pip", "freeze", "--disable-pip-version-check"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    after = subprocess.run(pip, capture_output=True, text=True, check=True, env=environment).stdout.split()
    assert any(line.startswith("torch==") for line in before)
    assert any(line.startswith("numpy==") for line in before)
    assert set(before) <= set(after)
