"""The ONNX graphs of the metric, written by hand from the same description that the PyTorch network is built from.

Tracing PyTorch gives the same numbers with a hundred nodes more; here every node is one line of the paper. A graph
holds no weights: its initializers are *external data* that point into the backbone's safetensors file, so that one
file serves every engine. `embed` and `compare` ship with the project (`models/data/*.onnx`, a few kilobytes each).
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from clpips.models.metric.backbone import (
    CHANNELS,
    CONVOLUTIONS,
    EPSILON,
    SCALE,
    SHIFT,
    TOTAL_CHANNELS,
    Backbone,
    tensor_offsets,
)

OPSET = 17
IR_VERSION = 10


def embed_graph(location: str, offsets: dict[str, tuple[int, int]]) -> onnx.ModelProto:
    """Images → features.

    uint8 RGB `images` `(n, h, w, 3)` → float32 `features_0..4` `(n, c, h', w')`, of unit length along c.

    `location` is the backbone file's path relative to the graph; `offsets` names each tensor's first byte and length
    in it (`tensor_offsets`).
    """
    nodes, constants = _embedding("images", "features", "")
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["images", "height", "width", 3])
    features = [
        helper.make_tensor_value_info(f"features_{tap}", TensorProto.FLOAT, ["images", channels, f"h{tap}", f"w{tap}"])
        for tap, channels in enumerate(CHANNELS)
    ]
    return _model("embed", nodes, [images], features, constants + _backbone_tensors(location, offsets))


def compare_graph() -> onnx.ModelProto:
    """Pairs of features → channel distances.

    float32 `target_0..4` and `candidate_0..4`, each `(n, c, h', w')` → `channel_distances` `(n, 1152)`.
    """
    sides = [
        helper.make_tensor_value_info(f"{side}_{tap}", TensorProto.FLOAT, ["pairs", channels, f"h{tap}", f"w{tap}"])
        for side in ("target", "candidate")
        for tap, channels in enumerate(CHANNELS)
    ]
    z = helper.make_tensor_value_info("channel_distances", TensorProto.FLOAT, ["pairs", TOTAL_CHANNELS])
    return _model("compare", _comparison("target", "candidate"), sides, [z], [])


def metric_graph(location: str, offsets: dict[str, tuple[int, int]]) -> onnx.ModelProto:
    """The whole metric in one graph, for other runtimes.

    uint8 RGB `target` and `candidate`, both `(n, h, w, 3)`, and float32 `weights` `(1152,)` → float32 `distances`
    `(n,)` and `channel_distances` `(n, 1152)`.
    """
    left, constants = _embedding("target", "target_features", "target_")
    right, _ = _embedding("candidate", "candidate_features", "candidate_")
    nodes = [
        *left,
        *right,
        *_comparison("target_features", "candidate_features"),
        helper.make_node("MatMul", ["channel_distances", "weights"], ["distances"]),
    ]
    inputs = [
        helper.make_tensor_value_info(side, TensorProto.UINT8, ["pairs", "height", "width", 3])
        for side in ("target", "candidate")
    ]
    inputs.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [TOTAL_CHANNELS]))
    outputs = [
        helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["pairs"]),
        helper.make_tensor_value_info("channel_distances", TensorProto.FLOAT, ["pairs", TOTAL_CHANNELS]),
    ]
    return _model("metric", nodes, inputs, outputs, constants + _backbone_tensors(location, offsets))


def export(out: Path, backbone: Backbone) -> list[Path]:
    """Write the whole metric to `out`, its halves beside it, and the backbone file that all of them point into.

    Returns the paths written: `NAME.onnx`, `NAME.embed.onnx`, `NAME.compare.onnx` and the backbone's safetensors file.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(backbone.path.name)
    if not beside.exists() or not beside.samefile(backbone.path):
        shutil.copyfile(backbone.path, beside)
    offsets = tensor_offsets(beside)
    graphs = {
        out: metric_graph(beside.name, offsets),
        out.with_suffix(".embed.onnx"): embed_graph(beside.name, offsets),
        out.with_suffix(".compare.onnx"): compare_graph(),
    }
    for path, graph in graphs.items():
        path.write_bytes(graph.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(path), full_check=True)
    return [*graphs, beside]


@dataclass(frozen=True)
class Parity:
    """How far two ways to the same distances are apart, over `pairs` pairs of `size`."""

    size: tuple[int, int]
    pairs: int
    largest_difference: float


def measure_parity(
    graph: Path, backbone: Backbone, weights: NDArray[np.float32], pairs: int = 8, seed: int = 0
) -> list[Parity]:
    """Compare distances of the exported metric with the PyTorch engine's (float32, CPU), at three sizes.

    Images are smooth random fields with noise, and their partners blurred towards each other, so that distances
    cover the range that real pairs have. Needs PyTorch.
    """
    from clpips.models.engines.onnx import load_runtime
    from clpips.models.engines.pytorch.engine import TorchEngine
    from clpips.models.metric.distance import weigh

    session = load_runtime().InferenceSession(graph, providers=["CPUExecutionProvider"])
    engine = TorchEngine(backbone=backbone)
    rng = np.random.default_rng(seed)
    report = []
    for height, width in ((64, 64), (256, 256), (97, 131)):
        target, other = (_random_images(rng, pairs, height, width) for _ in range(2))
        share = np.linspace(0.02, 1, pairs).reshape(-1, 1, 1, 1)
        candidate = (target * (1 - share) + other * share).round().astype(np.uint8)
        (exported,) = session.run(["distances"], {"target": target, "candidate": candidate, "weights": weights})
        z = engine.compare(engine.embed(target), engine.embed(candidate))
        difference = float(np.abs(exported - weigh(z, weights)).max())
        report.append(Parity((height, width), pairs, difference))
    return report


def _random_images(rng: np.random.Generator, count: int, height: int, width: int) -> NDArray[np.uint8]:
    coarse = rng.integers(0, 256, (count, -(-height // 16), -(-width // 16), 3))
    smooth = coarse.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    noisy = smooth + rng.normal(0, 20, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _embedding(images: str, features: str, prefix: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """`images` → `features_0..4`. Inner names begin with `prefix`; constants are shared by name."""
    nodes: list[onnx.NodeProto] = []

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    x = node("Transpose", [images], f"{prefix}planes", perm=[0, 3, 1, 2])
    x = node("Cast", [x], f"{prefix}floats", to=TensorProto.FLOAT)
    x = node("Mul", [x, "pixel_scale"], f"{prefix}scaled")
    x = node("Sub", [x, "pixel_shift"], f"{prefix}normalised")
    for tap, (key, _, _, kernel, stride, padding, pooled) in enumerate(CONVOLUTIONS):
        if pooled:
            x = node("MaxPool", [x], f"{prefix}pooled_{tap}", kernel_shape=[3, 3], strides=[2, 2])
        x = node(
            "Conv",
            [x, f"{key}.weight", f"{key}.bias"],
            f"{prefix}convolved_{tap}",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[padding] * 4,
        )
        x = node("Relu", [x], f"{prefix}tap_{tap}")
        norm = node("ReduceL2", [x], f"{prefix}norm_{tap}", axes=[1], keepdims=1)
        divisor = node("Add", [norm, "epsilon"], f"{prefix}divisor_{tap}")
        node("Div", [x, divisor], f"{features}_{tap}")
    scale = np.asarray(SCALE)
    constants = [
        numpy_helper.from_array((1 / (127.5 * scale)).astype(np.float32).reshape(1, 3, 1, 1), "pixel_scale"),
        numpy_helper.from_array(
            ((1 + np.asarray(SHIFT)) / scale).astype(np.float32).reshape(1, 3, 1, 1), "pixel_shift"
        ),
        numpy_helper.from_array(np.array(EPSILON, np.float32), "epsilon"),
    ]
    return nodes, constants


def _comparison(target: str, candidate: str) -> list[onnx.NodeProto]:
    nodes = []
    for tap in range(len(CHANNELS)):
        nodes += [
            helper.make_node("Sub", [f"{target}_{tap}", f"{candidate}_{tap}"], [f"difference_{tap}"]),
            helper.make_node("Mul", [f"difference_{tap}"] * 2, [f"square_{tap}"]),
            helper.make_node("ReduceMean", [f"square_{tap}"], [f"mean_{tap}"], axes=[2, 3], keepdims=0),
        ]
    means = [f"mean_{tap}" for tap in range(len(CHANNELS))]
    return [*nodes, helper.make_node("Concat", means, ["channel_distances"], axis=1)]


def _backbone_tensors(location: str, offsets: dict[str, tuple[int, int]]) -> list[onnx.TensorProto]:
    tensors = []
    for key, inputs, outputs, kernel, *_ in CONVOLUTIONS:
        for name, shape in ((f"{key}.weight", (outputs, inputs, kernel, kernel)), (f"{key}.bias", (outputs,))):
            offset, length = offsets[name]
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            for entry, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
                tensor.external_data.add(key=entry, value=value)
            tensors.append(tensor)
    return tensors


def _model(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="clpips")
