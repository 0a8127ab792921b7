"""The ONNX graphs: those that ship are those that the code writes, and an export stands on its own."""

from pathlib import Path

import numpy as np
import pytest

from clpips.models.engines.onnx_alexnet import EMBED_GRAPHS, WINOGRAD_GRAPH
from clpips.models.engines.onnx_content import CONTENT_GRAPH
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.images.resize import resize
from clpips.models.metric.backbone_file import SHIPPED_BACKBONE, SHIPPED_CONTENT, load_backbone, tensor_offsets
from clpips.models.metric.content import CONTENT_SIDE
from clpips.models.metric.distance import weigh
from clpips.models.metric.weights_files import load_weights
from tests.support.documents import block_run_by, run_block
from tests.support.pictures import picture, variation

pytestmark = pytest.mark.torch


def test_the_shipped_graph_is_the_one_that_the_code_writes() -> None:
    from clpips.models.export.onnx_graphs import embed_graph

    graph = embed_graph(SHIPPED_BACKBONE.name, tensor_offsets(SHIPPED_BACKBONE))
    assert EMBED_GRAPHS["alex"].read_bytes() == graph.SerializeToString(deterministic=True), (
        "write models/data/embed.onnx again"
    )


def test_the_shipped_content_graph_is_the_one_that_the_code_writes() -> None:
    from clpips.models.export.content_graph import content_graph

    graph = content_graph(SHIPPED_CONTENT.name, tensor_offsets(SHIPPED_CONTENT))
    assert CONTENT_GRAPH.read_bytes() == graph.SerializeToString(deterministic=True), "write content.onnx again"


@pytest.mark.parametrize("size", [(192, 192), (256, 256), (31, 45), (131, 197), (700, 1100), (512, 512)])
def test_graphs_resize_to_the_pixels_of_the_one_place_that_resizes(size: tuple[int, int]) -> None:
    import onnxruntime
    from onnx import TensorProto, helper

    from clpips.models.export.onnx_parts import GraphNodes, make_model
    from clpips.models.export.resize_graph import add_resize

    graph = GraphNodes()
    _, constants = add_resize(graph, "images", "resized", CONTENT_SIDE)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, [None, None, None, 3]) for name in ("images", "resized")
    ]
    model = make_model("resize", graph.nodes, ends[:1], ends[1:], constants)
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    (resized,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"images": images})
    assert np.array_equal(resized, [resize(image, CONTENT_SIDE) for image in images])


def test_the_shipped_winograd_graph_is_the_one_that_the_code_writes() -> None:
    from clpips.models.export.winograd_graph import winograd_graph

    graph = winograd_graph(SHIPPED_BACKBONE.name, tensor_offsets(SHIPPED_BACKBONE))
    expected = graph.SerializeToString(deterministic=True)
    assert WINOGRAD_GRAPH.read_bytes() == expected, "write models/data/winograd.onnx again"


def test_an_export_agrees_with_pytorch(tmp_path: Path) -> None:
    from clpips.models.export.onnx_files import export_onnx
    from clpips.models.export.parity import measure_parity

    graph, *_ = export_onnx(tmp_path / "clpips.onnx", load_backbone())
    parities = [
        parity
        for name in ("lpips", "balanced")
        for parity in measure_parity(graph, load_backbone(), load_weights(name).values)
    ]
    assert max(parity.largest_difference for parity in parities) <= 1e-5


def test_an_export_runs_elsewhere_without_this_project(tmp_path: Path) -> None:
    import onnxruntime

    from clpips.models.export.onnx_files import export_onnx

    written = export_onnx(tmp_path / "far" / "clpips.onnx", load_backbone())
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == sorted(path.name for path in written)
    target = np.stack([picture(seed, 64, 80) for seed in range(2)])
    candidate = np.stack([variation(image, 9, 0.5) for image in target])
    weights = load_weights("balanced").values
    engine = open_engine("onnx")
    sides = embed_images(engine, target), embed_images(engine, candidate)
    expected = weigh(compare_images(engine, *sides), weights)

    whole, embed, content, compare = (onnxruntime.InferenceSession(path) for path in written[:4])
    inputs = {"target": target, "candidate": candidate, "weights": weights}
    assert np.allclose(whole.run(["distances"], inputs)[0], expected, atol=1e-6)

    halves = {"target": embed.run(None, {"images": target}), "candidate": embed.run(None, {"images": candidate})}
    taps = {f"{side}_{tap}": features for side, maps in halves.items() for tap, features in enumerate(maps)}
    for side, images in (("target", target), ("candidate", candidate)):
        (taps[f"{side}_content"],) = content.run(None, {"images": images})
    (z,) = compare.run(None, taps)
    assert np.allclose(weigh(z, weights), expected, atol=1e-6)


def test_the_command_of_the_page_writes_the_graphs_that_it_names(tmp_path: Path) -> None:
    run_block(block_run_by(__file__, "command-line.md", "clpips export "), tmp_path)

    written = {path.name for path in tmp_path.iterdir()}
    assert {"metric.onnx", "metric.embed.onnx", "metric.content.onnx", "metric.compare.onnx"} <= written
