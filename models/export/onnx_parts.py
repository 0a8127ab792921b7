"""Parts that every ONNX graph of ours is put together from: nodes, weights as external data, the model around them."""

from collections.abc import Mapping
from typing import Any, Final

import onnx
from onnx import TensorProto, helper

OPSET: Final = 17
IR_VERSION: Final = 10


class GraphNodes:
    """Nodes of a graph, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def external_tensors(
    location: str, offsets: Mapping[str, tuple[int, int]], shapes: Mapping[str, tuple[int, ...]]
) -> list[onnx.TensorProto]:
    """Tensors as external data: where they lie in the file at `location`, and no numbers."""
    tensors = []
    for name, shape in shapes.items():
        offset, length = offsets[name]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for entry, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=entry, value=value)
        tensors.append(tensor)
    return tensors


def make_model(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: list[onnx.TensorProto],
) -> onnx.ModelProto:
    """A model of these nodes, by the opset and version that all of ours have."""
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="clpips")
