"""ONNX graph of the content network, written by hand from the description that the PyTorch network is built from.

Like the graphs of AlexNet (`onnx_graphs.py`) it holds no weights: its initializers point into the network's safetensors
file. `models/data/content.onnx`, for the ONNX Runtime engine, takes images of the network's own side; what is exported
takes any size, and resizes it to the same pixels (`resize_graph.py`).
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from clpips.models.export.onnx_parts import GraphNodes, external_tensors, make_model
from clpips.models.export.resize_graph import add_resize
from clpips.models.metric.content import (
    BLOCKS,
    CONTENT_CHANNELS,
    CONTENT_SIDE,
    EPSILON,
    PIXEL_MEAN,
    PIXEL_SCALE,
    SIX,
    content_shapes,
    same_padding,
)


def content_graph(location: str, offsets: dict[str, tuple[int, int]], *, any_size: bool = False) -> onnx.ModelProto:
    """Images → the last map.

    uint8 RGB `images` `(n, s, s, 3)`, s = `CONTENT_SIDE`, or with `any_size` `(n, h, w, 3)` → float32 `content`
    `(n, 1280, s/32, s/32)`.

    `location` is the file's path relative to the graph; `offsets` names each tensor's first byte and length in it
    (`tensor_offsets`).
    """
    graph = GraphNodes()
    size = ["height", "width"] if any_size else [CONTENT_SIDE, CONTENT_SIDE]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["images", *size, 3])
    constants = (add_content if any_size else add_network)(graph, "images", "content", "")
    side = -(-CONTENT_SIDE // 32)
    content = helper.make_tensor_value_info("content", TensorProto.FLOAT, ["images", CONTENT_CHANNELS, side, side])
    tensors = external_tensors(location, offsets, content_shapes())
    return make_model("content", graph.nodes, [images], [content], constants + tensors)


def add_content(graph: GraphNodes, images: str, output: str, prefix: str) -> list[onnx.TensorProto]:
    """Add the nodes from `images` of any size to the last map; returns the constants, shared by name."""
    resized, constants = add_resize(graph, images, f"{prefix}content_pixels", CONTENT_SIDE)
    return constants + add_network(graph, resized, output, prefix)


def add_network(graph: GraphNodes, images: str, output: str, prefix: str) -> list[onnx.TensorProto]:
    """Add the nodes from `images` `(n, s, s, 3)` to the last map, `output`; returns the constants, shared by name."""
    x = graph.add("Transpose", [images], f"{prefix}content_planes", perm=[0, 3, 1, 2])  # (n, s, s, 3) → (n, 3, s, s)
    x = graph.add("Cast", [x], f"{prefix}content_floats", to=TensorProto.FLOAT)
    x = graph.add("Sub", [x, "content_pixel_mean"], f"{prefix}content_centred")
    x = graph.add("Mul", [x, "content_pixel_scale"], f"{prefix}content_scaled")
    side = CONTENT_SIDE
    for block in BLOCKS:
        entered = x
        for convolution in block.convolutions:
            before, behind = same_padding(side, convolution)
            name = f"{prefix}content_{convolution.key}"
            x = graph.add(
                "Conv",
                [x, f"{convolution.key}.weight", f"{convolution.key}.bias"],
                name,
                kernel_shape=[convolution.kernel] * 2,
                strides=[convolution.stride] * 2,
                group=convolution.groups,
                pads=[before, before, behind, behind],
            )
            if convolution.relu6:
                last = convolution is BLOCKS[-1].convolutions[-1]
                x = graph.add("Clip", [x, "relu6_zero", "relu6_six"], output if last else f"{name}.relu6")
            side = -(-side // convolution.stride)  # (n, c, side, side)
        if block.residual:
            x = graph.add("Add", [x, entered], f"{x}.added")
    return [
        numpy_helper.from_array(np.array(PIXEL_MEAN, np.float32), "content_pixel_mean"),
        numpy_helper.from_array(np.array(1 / PIXEL_SCALE, np.float32), "content_pixel_scale"),
        numpy_helper.from_array(np.array(0, np.float32), "relu6_zero"),
        numpy_helper.from_array(np.array(SIX, np.float32), "relu6_six"),
    ]


def add_content_comparison(graph: GraphNodes, target: str, candidate: str) -> dict[str, str]:
    """Add the nodes from two last maps to the channel distances `(n, 1280)` of each family, by its name."""
    sides: dict[str, list[str]] = {"content_mean": [], "content_std": []}  # (n, 1280, 1, 1), of length 1 along channels
    epsilon = graph.add("Constant", [], "content_epsilon", value=numpy_helper.from_array(np.array(EPSILON, np.float32)))
    for side in (target, candidate):
        mean = graph.add("ReduceMean", [side], f"{side}_mean", axes=[2, 3], keepdims=1)
        centred = graph.add("Sub", [side, mean], f"{side}_centred")  # (n, 1280, h, w)
        squares = graph.add("Mul", [centred, centred], f"{side}_squares")
        variance = graph.add("ReduceMean", [squares], f"{side}_variance", axes=[2, 3], keepdims=1)
        deviation = graph.add("Sqrt", [variance], f"{side}_std")
        for name, statistic in zip(sides, (mean, deviation), strict=True):
            length = graph.add("ReduceL2", [statistic], f"{statistic}_length", axes=[1], keepdims=1)  # (n, 1, 1, 1)
            divisor = graph.add("Add", [length, epsilon], f"{statistic}_divisor")
            sides[name].append(graph.add("Div", [statistic, divisor], f"{statistic}_unit"))
    found = {}
    for name, (a, b) in sides.items():
        difference = graph.add("Sub", [a, b], f"{name}_difference")
        squares = graph.add("Mul", [difference, difference], f"{name}_squares")
        found[name] = graph.add("ReduceMean", [squares], name, axes=[2, 3], keepdims=0)  # (n, 1280)
    return found
