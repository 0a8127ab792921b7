"""ONNX graphs of the metric, written by hand from the same description that the PyTorch network is built from.

Tracing PyTorch gives the same numbers with a hundred nodes more; here every node is one line of the paper. A graph
holds no weights: its initializers are *external data* that point into the backbone's safetensors file, so that one
file serves every engine. Of these graphs `embed` ships with the project, for the ONNX Runtime engine
(`models/data/embed.onnx`, a few kilobytes); all are written by `clpips export`.
"""

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from clpips.models.export.content_graph import add_content, add_content_comparison
from clpips.models.export.onnx_parts import GraphNodes, external_tensors, make_model
from clpips.models.metric.backbone import EPSILON, GAIN, OFFSET
from clpips.models.metric.content import CONTENT_CHANNELS, content_shapes
from clpips.models.metric.families import FAMILIES, LAYOUTS
from clpips.models.metric.nets import ALEX, Conv, Fire, Net, Pool

Offsets = dict[str, tuple[int, int]]  # of tensors in a file: first byte, number of bytes


def embed_graph(location: str, offsets: Offsets, net: Net = ALEX) -> onnx.ModelProto:
    """Images → features.

    uint8 RGB `images` `(n, h, w, 3)` → float32 `features_0..` of each tap `(n, c, h', w')`, of unit length along c.

    `location` is the backbone file's path relative to the graph; `offsets` names each tensor's first byte and length
    in it (`tensor_offsets`).
    """
    nodes, constants = _embedding("images", "features", "", net)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["images", "height", "width", 3])
    features = [
        helper.make_tensor_value_info(f"features_{tap}", TensorProto.FLOAT, ["images", channels, f"h{tap}", f"w{tap}"])
        for tap, channels in enumerate(net.channels)
    ]
    tensors = external_tensors(location, offsets, net.tensor_shapes())
    return make_model("embed", nodes, [images], features, constants + tensors)


def nominal_offsets(net: Net) -> Offsets:
    """Where a backbone's tensors would lie, one behind the other: an engine hands them to the graph itself."""
    offsets: Offsets = {}
    start = 0
    for name, shape in net.tensor_shapes().items():
        nbytes = 4 * math.prod(shape)
        offsets[name] = (start, nbytes)
        start += nbytes
    return offsets


def compare_graph(net: Net = ALEX) -> onnx.ModelProto:
    """Pairs of features → channel distances.

    float32 `target_0..` and `candidate_0..` of each tap `(n, c, h', w')`, and `target_content` and
    `candidate_content`, the content network's last maps → `channel_distances` `(n, z)`.
    """
    sides = [
        helper.make_tensor_value_info(f"{side}_{tap}", TensorProto.FLOAT, ["pairs", channels, f"h{tap}", f"w{tap}"])
        for side in ("target", "candidate")
        for tap, channels in enumerate(net.channels)
    ]
    sides += [
        helper.make_tensor_value_info(
            f"{side}_content", TensorProto.FLOAT, ["pairs", CONTENT_CHANNELS, "h_content", "w_content"]
        )
        for side in ("target", "candidate")
    ]
    z = helper.make_tensor_value_info("channel_distances", TensorProto.FLOAT, ["pairs", LAYOUTS[net.name].length])
    return make_model("compare", _comparison("target", "candidate", net), sides, [z], [])


def metric_graph(
    location: str, offsets: Offsets, content_location: str, content_offsets: Offsets, net: Net = ALEX
) -> onnx.ModelProto:
    """The whole metric in one graph, for other runtimes.

    uint8 RGB `target` and `candidate`, both `(n, h, w, 3)`, and float32 `weights` `(z,)` → float32 `distances`
    `(n,)` and `channel_distances` `(n, z)`.
    """
    left, constants = _embedding("target", "target_features", "target_", net)
    right, _ = _embedding("candidate", "candidate_features", "candidate_", net)
    content = GraphNodes()
    for side in ("target", "candidate"):
        content_constants = add_content(content, side, f"{side}_features_content", f"{side}_")
    nodes = [
        *left,
        *right,
        *content.nodes,
        *_comparison("target_features", "candidate_features", net),
        helper.make_node("MatMul", ["channel_distances", "weights"], ["distances"]),
    ]
    inputs = [
        helper.make_tensor_value_info(side, TensorProto.UINT8, ["pairs", "height", "width", 3])
        for side in ("target", "candidate")
    ]
    inputs.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [LAYOUTS[net.name].length]))
    outputs = [
        helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["pairs"]),
        helper.make_tensor_value_info("channel_distances", TensorProto.FLOAT, ["pairs", LAYOUTS[net.name].length]),
    ]
    tensors = external_tensors(location, offsets, net.tensor_shapes())
    tensors += external_tensors(content_location, content_offsets, content_shapes())
    return make_model("metric", nodes, inputs, outputs, [*constants, *content_constants, *tensors])


def _embedding(
    images: str, features: str, prefix: str, net: Net
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """`images` → `features_0..`. Inner names begin with `prefix`; constants are shared by name."""
    nodes: list[onnx.NodeProto] = []

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    x = node("Transpose", [images], f"{prefix}planes", perm=[0, 3, 1, 2])  # (n, h, w, 3) → (n, 3, h, w)
    x = node("Cast", [x], f"{prefix}floats", to=TensorProto.FLOAT)
    x = node("Mul", [x, "pixel_scale"], f"{prefix}scaled")
    x = node("Sub", [x, "pixel_shift"], f"{prefix}normalised")

    def convolved(x: str, one: Conv, name: str) -> str:
        inputs = [x, f"{one.key}.weight", f"{one.key}.bias"]
        sides = {"kernel_shape": [one.kernel] * 2, "strides": [one.stride] * 2, "pads": [one.padding] * 4}
        return node("Relu", [node("Conv", inputs, f"{name}_convolved", **sides)], name)  # (n, c, h', w')

    tap = 0
    for number, step in enumerate(net.steps):
        name = f"{prefix}step_{number}"
        if isinstance(step, Pool):
            sides = {"kernel_shape": [step.kernel] * 2, "strides": [2, 2], "ceil_mode": int(step.ceil)}
            x = node("MaxPool", [x], name, **sides)
        elif isinstance(step, Conv):
            x = convolved(x, step, name)
        elif isinstance(step, Fire):
            squeeze, *expand = step.convolutions
            squeezed = convolved(x, squeeze, f"{name}_squeezed")
            parts = [convolved(squeezed, one, f"{name}_{one.kernel}") for one in expand]
            x = node("Concat", parts, name, axis=1)
        else:
            norm = node("ReduceL2", [x], f"{prefix}norm_{tap}", axes=[1], keepdims=1)  # (n, 1, h', w')
            divisor = node("Add", [norm, "epsilon"], f"{prefix}divisor_{tap}")
            node("Div", [x, divisor], f"{features}_{tap}")  # (n, c, h', w'), of unit length along c
            tap += 1
    constants = [
        numpy_helper.from_array(np.array(GAIN, np.float32).reshape(1, 3, 1, 1), "pixel_scale"),
        numpy_helper.from_array(-np.array(OFFSET, np.float32).reshape(1, 3, 1, 1), "pixel_shift"),
        numpy_helper.from_array(np.array(EPSILON, np.float32), "epsilon"),
    ]
    return nodes, constants


def _comparison(target: str, candidate: str, net: Net) -> list[onnx.NodeProto]:
    """Features of both sides → `channel_distances`, the steps of `metric/distance.py` for each family in turn."""
    nodes: list[onnx.NodeProto] = []
    distances: dict[str, list[str]] = {family.name: [] for family in FAMILIES}  # (n, c) of each tap

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def mean(x: str, output: str, keepdims: int) -> str:
        return node("ReduceMean", [x], output, axes=[2, 3], keepdims=keepdims)

    def squared_difference(a: str, b: str, name: str) -> str:
        difference = node("Sub", [a, b], f"{name}_difference")
        return node("Mul", [difference, difference], f"{name}_square")

    for tap in range(len(net.channels)):
        squares = squared_difference(f"{target}_{tap}", f"{candidate}_{tap}", f"aligned_{tap}")  # (n, c, h', w')
        distances["aligned"].append(mean(squares, f"aligned_{tap}", keepdims=0))
        means, deviations = [], []
        for side in (target, candidate):
            means.append(mean(f"{side}_{tap}", f"{side}_mean_{tap}", keepdims=1))  # (n, c, 1, 1)
            squares = squared_difference(f"{side}_{tap}", means[-1], f"{side}_centred_{tap}")  # (n, c, h', w')
            variance = mean(squares, f"{side}_variance_{tap}", keepdims=1)  # (n, c, 1, 1)
            deviations.append(node("Sqrt", [variance], f"{side}_std_{tap}"))
        for name, (a, b) in (("mean", means), ("std", deviations)):
            squares = squared_difference(a, b, f"{name}_{tap}")  # (n, c, 1, 1)
            distances[name].append(mean(squares, f"{name}_{tap}", keepdims=0))
    content = GraphNodes()
    parts = add_content_comparison(content, f"{target}_content", f"{candidate}_content")
    nodes += content.nodes
    distances |= {name: [part] for name, part in parts.items()}
    node("Concat", [part for family in FAMILIES for part in distances[family.name]], "channel_distances", axis=1)
    return nodes
