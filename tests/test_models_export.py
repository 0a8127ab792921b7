"""The ONNX graphs: those that ship are those that the code writes, and an export stands on its own."""

from pathlib import Path

import numpy as np
import pytest

from clpips.models.engines.onnx_alexnet import EMBED_GRAPH, WINOGRAD_GRAPH
from clpips.models.engines.opening import open_engine
from clpips.models.metric.backbone_file import SHIPPED_BACKBONE, load_backbone, tensor_offsets
from clpips.models.metric.distance import weigh
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import picture, variation

pytestmark = pytest.mark.torch


def test_the_shipped_graph_is_the_one_that_the_code_writes() -> None:
    from clpips.models.export.onnx_graphs import embed_graph

    graph = embed_graph(SHIPPED_BACKBONE.name, tensor_offsets(SHIPPED_BACKBONE))
    assert EMBED_GRAPH.read_bytes() == graph.SerializeToString(deterministic=True), "write models/data/embed.onnx again"


def test_the_shipped_winograd_graph_is_the_one_that_the_code_writes() -> None:
    from clpips.models.export.winograd_graph import winograd_graph

    graph = winograd_graph(SHIPPED_BACKBONE.name, tensor_offsets(SHIPPED_BACKBONE))
    expected = graph.SerializeToString(deterministic=True)
    assert WINOGRAD_GRAPH.read_bytes() == expected, "write models/data/winograd.onnx again"


def test_an_export_agrees_with_pytorch(tmp_path: Path) -> None:
    from clpips.models.export.onnx_files import export_onnx
    from clpips.models.export.parity import measure_parity

    graph, *_ = export_onnx(tmp_path / "clpips.onnx", load_backbone())
    parities = measure_parity(graph, load_backbone(), load_weights().values)
    assert max(parity.largest_difference for parity in parities) <= 1e-5


def test_an_export_runs_elsewhere_without_this_project(tmp_path: Path) -> None:
    import onnxruntime

    from clpips.models.export.onnx_files import export_onnx

    written = export_onnx(tmp_path / "far" / "clpips.onnx", load_backbone())
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == sorted(path.name for path in written)
    target = np.stack([picture(seed, 64, 80) for seed in range(2)])
    candidate = np.stack([variation(image, 9, 0.5) for image in target])
    weights = load_weights().values
    engine = open_engine("onnx")
    expected = weigh(engine.compare(engine.embed(target), engine.embed(candidate)), weights)

    whole, embed, compare = (onnxruntime.InferenceSession(path) for path in written[:3])
    inputs = {"target": target, "candidate": candidate, "weights": weights}
    assert np.allclose(whole.run(["distances"], inputs)[0], expected, atol=1e-6)

    halves = {"target": embed.run(None, {"images": target}), "candidate": embed.run(None, {"images": candidate})}
    taps = {f"{side}_{tap}": features for side, maps in halves.items() for tap, features in enumerate(maps)}
    (z,) = compare.run(None, taps)
    assert np.allclose(weigh(z, weights), expected, atol=1e-6)
