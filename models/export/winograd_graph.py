"""ONNX graph of AlexNet with Winograd's convolutions, for the CPU: matrix products in place of convolutions.

The function of `embed` of `onnx_graphs.py` but for its last division, of standard operators alone. The convolutions of
stride 1 are computed tile by tile (`engines/winograd/tiles.py`, `winograd_matrices.py`): each tile's inputs are
gathered and transformed, each of the 49 or 64 products is multiplied by its own matrix of filters, and the sums are
transformed back. Maps are rows `(positions, channels)`, so that what is gathered is a vector that lies in one piece.

The graph holds no weights: it points into the backbone's safetensors file, and the transforms of the filters are
operators on constants. ONNX Runtime computes those when it opens the graph, and packs each matrix once.
"""

from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from clpips.models.engines.winograd.tiles import FIVE, THREE, Tiling
from clpips.models.export.onnx_parts import GraphNodes, external_tensors, make_model
from clpips.models.export.winograd_matrices import constant_product, transforms
from clpips.models.metric.backbone import CHANNELS, EPSILON, GAIN, OFFSET, tensor_shapes
from clpips.models.metric.nets import CONVOLUTIONS, Convolution

TILINGS: Final = {tiling.kernel: tiling for tiling in (FIVE, THREE)}
GROUP: Final = 48  # of the second convolution's 192 outputs: the products of so many stay in a core's own cache
LAST: Final = 2**31  # as the end of a slice


class _Nodes(GraphNodes):
    """Nodes of a graph, and its constants."""

    def __init__(self) -> None:
        super().__init__()
        self.constants: dict[str, onnx.TensorProto] = {}

    def numbers(self, name: str, values: Any) -> str:
        """A float32 constant."""
        return self._constant(name, np.asarray(values, np.float32))

    def whole(self, name: str, *values: int) -> str:
        """A constant of whole numbers: a shape, or axes, or the ends of slices."""
        return self._constant(name, np.array(values, np.int64))

    def split(self, x: str, names: list[str], axis: int) -> list[str]:
        """Equal parts of x along an axis."""
        self.nodes.append(helper.make_node("Split", [x], names, axis=axis))
        return names

    def _constant(self, name: str, values: np.ndarray[Any, Any]) -> str:
        self.constants[name] = numpy_helper.from_array(values, name)
        return name


def winograd_graph(location: str, offsets: dict[str, tuple[int, int]]) -> onnx.ModelProto:
    """Images → maps, and their lengths.

    uint8 RGB `images` `(n, h, w, 3)`, and the places of their maps' tiles (`engines/winograd/tiles.py`): `inputs_5` and
    `outputs_5` for the second convolution's maps, `inputs_3` and `outputs_3` for the smaller ones behind it → float32
    `maps_0..4` `(n, c, h' * w')`, and `lengths_0..4` `(n, 1, h' * w')` along c: who copies the maps divides by them.

    `location` is the backbone file's path relative to the graph; `offsets` names each tensor's first byte and length
    in it (`tensor_offsets`).
    """
    graph = _Nodes()
    graph.numbers("epsilon", EPSILON)
    first, second, third, _ = (graph.whole(f"axis_{axis}", axis) for axis in range(4))
    count = graph.add("Slice", [graph.add("Shape", ["images"], "shape"), first, second], "count")  # n
    x = _add_first(graph)  # (n, 64, h, w)
    x = graph.add("MaxPool", [x], "pooled_1", kernel_shape=[3, 3], strides=[2, 2])
    x = graph.add("Transpose", [x], "pooled_1_rows", perm=[0, 2, 3, 1])  # (n, h, w, 64)
    size = graph.add("Slice", [graph.add("Shape", [x], "shape_1"), first, "axis_3"], "size_1")  # n, h, w
    for tap, convolution in enumerate(CONVOLUTIONS[1:], start=1):
        if tap > 1 and convolution.pooled:
            x = _add_pool(graph, x, size, convolution.inputs, [second, third])  # (n, h, w, c)
        x = _add_convolution(graph, x, convolution, tap)  # (n*h*w, c)
        squares = graph.add("Mul", [x, x], f"squares_{tap}")
        sums = graph.add("ReduceSum", [squares, second], f"sums_of_{tap}", keepdims=1)  # (n*h*w, 1)
        lengths = graph.add("Add", [graph.add("Sqrt", [sums], f"norms_{tap}"), "epsilon"], f"rows_of_lengths_{tap}")
        _add_planes(graph, x, count, convolution.outputs, f"maps_{tap}")
        _add_planes(graph, lengths, count, 1, f"lengths_{tap}")

    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["images", "height", "width", 3])]
    for kernel, tiling in TILINGS.items():
        shape: list[str | int | None] = [tiling.products, f"tiles_{kernel}"]
        inputs.append(helper.make_tensor_value_info(f"inputs_{kernel}", TensorProto.INT32, shape))
        inputs.append(helper.make_tensor_value_info(f"outputs_{kernel}", TensorProto.INT32, [f"rows_{kernel}"]))
    outputs = [
        helper.make_tensor_value_info(f"{name}_{tap}", TensorProto.FLOAT, ["images", width, f"positions_{tap}"])
        for tap, channels in enumerate(CHANNELS)
        for name, width in (("maps", channels), ("lengths", 1))
    ]
    tensors = external_tensors(location, offsets, tensor_shapes())
    return make_model("winograd", graph.nodes, inputs, outputs, [*graph.constants.values(), *tensors])


def _add_first(graph: _Nodes) -> str:
    """The first convolution, of stride 4, as it is, and its outputs: `images` → its map `(n, c, h, w)`."""
    key, _, channels, kernel, stride, padding, _ = CONVOLUTIONS[0]
    x = graph.add("Transpose", ["images"], "planes", perm=[0, 3, 1, 2])  # (n, 3, h, w)
    x = graph.add("Cast", [x], "floats", to=TensorProto.FLOAT)
    centre = -np.array(OFFSET) / GAIN  # the level that the backbone takes for 0, and pads with
    x = graph.add("Sub", [x, graph.numbers("pixel_centre", centre.reshape(1, 3, 1, 1))], "centred")
    gain = graph.numbers("pixel_gain", np.reshape(GAIN, (1, 3, 1, 1)))
    filters = graph.add("Mul", [f"{key}.weight", gain], f"{key}.filters")  # once, when the graph is opened
    parameters = {"kernel_shape": [kernel, kernel], "strides": [stride, stride], "pads": [padding] * 4}
    x = graph.add("Conv", [x, filters, f"{key}.bias"], "convolved_0", **parameters)
    x = graph.add("Relu", [x], "tap_0")
    planes = graph.add("Reshape", [x, graph.whole("planes_of_0", 0, channels, -1)], "maps_0")  # (n, c, h*w)
    squares = graph.add("Mul", [planes, planes], "squares_0")
    # As a product of a row of ones the sum has the same rounding however many images there are.
    sums = graph.add("MatMul", [graph.numbers("ones", np.ones((1, channels))), squares], "sums_0")  # (n, 1, h*w)
    graph.add("Add", [graph.add("Sqrt", [sums], "norms_0"), "epsilon"], "lengths_0")
    return x


def _add_pool(graph: _Nodes, x: str, size: str, channels: int, axes: list[str]) -> str:
    """3 × 3 maxima with stride 2: rows `(n*h*w, c)` → `(n, h', w', c)`, three rows at a time, then three columns."""
    shape = graph.add("Concat", [size, graph.whole("channels_2", channels)], "unpooled_shape", axis=0)
    x = graph.add("Reshape", [x, shape], "unpooled_2")
    ends = [graph.whole(f"end_{start}", end) for start, end in enumerate((-2, -1, LAST))]
    for axis in axes:
        thirds = [
            graph.add("Slice", [x, f"axis_{start}", end, axis, "axis_2"], f"third_{start}_of_{axis}")
            for start, end in enumerate(ends)
        ]
        x = graph.add("Max", thirds, f"maxima_of_{axis}")
    return x


def _add_convolution(graph: _Nodes, x: str, convolution: Convolution, tap: int) -> str:
    """A convolution of stride 1 with its ReLU: maps `(…, c)` → rows `(n*h*w, c')`."""
    key, channels, outputs, kernel, *_ = convolution
    tiling = TILINGS[kernel]
    matrices = transforms(tiling)
    to_products = graph.numbers(f"to_products_{kernel}", matrices.inputs)
    x = graph.add("Reshape", [x, graph.whole(f"rows_of_{tap}", -1, channels)], f"rows_{tap}")
    x = graph.add("Concat", [x, graph.numbers(f"zeros_{tap}", np.zeros((1, channels)))], f"padded_{tap}", axis=0)
    x = graph.add("Gather", [x, f"inputs_{kernel}"], f"gathered_{tap}", axis=0)  # (p, t, c)
    x = graph.add("Reshape", [x, graph.whole(f"columns_{kernel}", tiling.products, -1)], f"tiles_{tap}")  # (p, t*c)
    x = graph.add("MatMul", [to_products, x], f"transformed_{tap}")  # (p, t*c)
    x = graph.add("Reshape", [x, graph.whole(f"factors_of_{tap}", tiling.products, -1, channels)], f"factors_{tap}")

    filters = _add_filters(graph, convolution, tiling)  # (p, c, c')
    if kernel == FIVE.kernel:
        x = _add_grouped_products(graph, x, filters, outputs, tap)
        x = graph.add("Gather", [x, f"outputs_{kernel}"], f"cropped_{tap}", axis=0)  # (n*h*w, c')
        x = graph.add("Add", [x, f"{key}.bias"], f"convolved_{tap}")
    else:
        x = _add_single_products(graph, x, filters, convolution, tap)
        x = graph.add("Gather", [x, f"outputs_{kernel}"], f"convolved_{tap}", axis=0)  # (n*h*w, c')
    return graph.add("Relu", [x], f"tap_{tap}")


def _add_filters(graph: _Nodes, convolution: Convolution, tiling: Tiling) -> str:
    """The transformed filters `(p, c, c')`, computed when the graph is opened."""
    key, channels, outputs, kernel, *_ = convolution
    to_filters = graph.numbers(f"to_filters_{kernel}", transforms(tiling).filters)
    flat = graph.whole(f"{key}.flat", kernel**2, channels * outputs)
    x = graph.add("Transpose", [f"{key}.weight"], f"{key}.taps_first", perm=[2, 3, 1, 0])  # (k, k, c, c')
    x = graph.add("Reshape", [x, flat], f"{key}.taps")  # (k², c*c')
    x = graph.add("MatMul", [to_filters, x], f"{key}.transformed")  # (p, c*c')
    return graph.add("Reshape", [x, graph.whole(f"{key}.whole", tiling.products, channels, outputs)], f"{key}.filters")


def _add_grouped_products(graph: _Nodes, x: str, filters: str, outputs: int, tap: int) -> str:
    """All products at once, for a group of outputs after the other: `(p, t, c)` → sums of tiles `(m²*t, c')`.

    For many tiles and small matrices. ONNX Runtime packs these matrices anew in each run.
    """
    groups = outputs // GROUP
    sums = []
    for group, part in enumerate(graph.split(filters, [f"{filters}_{group}" for group in range(groups)], axis=2)):
        products = graph.add("MatMul", [x, part], f"products_{tap}_{group}")  # (p, t, g)
        sums.append(_add_sums(graph, products, FIVE, GROUP, f"{tap}_{group}"))  # (m²*t, g)
    return graph.add("Concat", sums, f"sums_{tap}", axis=1)


def _add_single_products(graph: _Nodes, x: str, filters: str, convolution: Convolution, tap: int) -> str:
    """One product after the other, by matrices that are packed once: `(p, t, c)` → sums of tiles `(m²*t, c')`."""
    key, channels, outputs, *_ = convolution
    every = range(THREE.products)
    shape = graph.whole(f"{key}.matrix", channels, outputs)
    factors = graph.split(x, [f"factor_{tap}_{product}" for product in every], axis=0)  # (1, t, c) each
    parts = graph.split(filters, [f"{filters}_{product}" for product in every], axis=0)  # (1, c, c') each
    products = []
    for product, (factor, part) in enumerate(zip(factors, parts, strict=True)):
        matrix = graph.add("Reshape", [part, shape], f"{part}_matrix")  # (c, c')
        name = f"product_{tap}_{product}"
        if product == constant_product(THREE):  # the bias of all outputs
            unbiased = graph.add("MatMul", [factor, matrix], f"{name}_unbiased")
            products.append(graph.add("Add", [unbiased, f"{key}.bias"], name))
        else:
            products.append(graph.add("MatMul", [factor, matrix], name))
    together = graph.add("Concat", products, f"products_{tap}", axis=0)  # (p, t, c')
    return _add_sums(graph, together, THREE, outputs, str(tap))


def _add_sums(graph: _Nodes, products: str, tiling: Tiling, outputs: int, name: str) -> str:
    """Products `(p, t, c')` → outputs of tiles, place by place, `(m²*t, c')`."""
    to_outputs = graph.numbers(f"to_outputs_{tiling.kernel}", transforms(tiling).outputs)
    columns = f"columns_{tiling.kernel}"
    x = graph.add("MatMul", [to_outputs, graph.add("Reshape", [products, columns], f"flat_{name}")], f"tiles_of_{name}")
    return graph.add("Reshape", [x, graph.whole(f"rows_of_{outputs}", -1, outputs)], f"sums_of_tiles_{name}")


def _add_planes(graph: _Nodes, x: str, count: str, width: int, output: str) -> None:
    """Rows `(n*h*w, c)` → planes of each image `(n, c, h*w)`."""
    shape = graph.add("Concat", [count, graph.whole(f"rows_by_{width}", -1, width)], f"{output}_shape", axis=0)
    graph.add("Transpose", [graph.add("Reshape", [x, shape], f"{output}_rows")], output, perm=[0, 2, 1])
