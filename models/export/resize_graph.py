"""Bicubic resampling with antialiasing as ONNX nodes: the pixels that `models/images/resize.py` gives, to the bit.

Pillow (`libImaging/Resample.c`) computes in integers: coefficients of 22 bits, rows first, rounded to 8 bits, then
columns. Here coefficients and sums are whole numbers in float64, which holds them exactly. (Of images taller than wide
Pillow 13 takes columns first, from 1.1 to 5 times the width on, by their size: some pixels differ by a level or two.)
"""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from clpips.models.export.onnx_parts import GraphNodes

UNITS: Final = float(1 << 22)  # of a coefficient
SUPPORT: Final = 2.0  # of the bicubic filter, in pixels of the smaller image


def add_resize(graph: GraphNodes, images: str, output: str, side: int) -> tuple[str, list[onnx.TensorProto]]:
    """Add the nodes from uint8 `images` `(n, h, w, 3)` to uint8 `output` `(n, side, side, 3)`.

    Returns the output's name, and the constants, shared by name.
    """
    x = graph.add("Cast", [images], f"{output}_float64", to=TensorProto.DOUBLE)
    for axis, name in ((2, "width"), (1, "height")):  # the last but one of x each time
        coefficients = _add_coefficients(graph, images, axis, f"{output}_{name}")  # (side, inputs)
        if axis == 1:
            x = graph.add("Transpose", [x], f"{output}_{name}_turned", perm=[0, 2, 1, 3])
        x = graph.add("MatMul", [coefficients, x], f"{output}_{name}_sums")
        x = graph.add("Div", [x, "resize_units"], f"{output}_{name}_levels")
        x = _add_rounded(graph, x, f"{output}_{name}")
        x = graph.add("Clip", [x, "resize_zero", "resize_white"], f"{output}_{name}_clipped")
    x = graph.add("Transpose", [x], f"{output}_turned_back", perm=[0, 2, 1, 3])
    constants = {
        "resize_side": float(side),
        "resize_places": np.arange(side, dtype=np.float64)[:, np.newaxis],
        "resize_units": UNITS,
        "resize_zero": 0.0,
        "resize_half": 0.5,
        "resize_minus_half": -0.5,
        "resize_one": 1.0,
        "resize_support": SUPPORT,
        "resize_white": 255.0,
        "resize_near_3": 1.5,  # the filter's polynomials, with a = −1/2
        "resize_near_2": 2.5,
        "resize_far_5": 5.0,
        "resize_far_8": 8.0,
        "resize_far_4": 4.0,
    }
    tensors = [numpy_helper.from_array(np.array(value, np.float64), name) for name, value in constants.items()]
    whole = {"resize_axis_1": 1, "resize_axis_2": 2, "resize_axis_sum": [1], "resize_start": 0, "resize_step": 1}
    tensors += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in whole.items()]
    return graph.add("Cast", [x], output, to=TensorProto.UINT8), tensors


def _add_coefficients(graph: GraphNodes, images: str, axis: int, name: str) -> str:
    """What each input counts for each output along an axis, in units of 2⁻²²: float64 `(side, inputs)`."""

    def node(operator: str, inputs: list[str], part: str, **attributes: int) -> str:
        return graph.add(operator, inputs, f"{name}_{part}", **attributes)

    count = node("Gather", [node("Shape", [images], "shape"), f"resize_axis_{axis}"], "count")
    inputs = node("Cast", [count], "inputs", to=TensorProto.DOUBLE)
    scale = node("Div", [inputs, "resize_side"], "scale")
    stretch = node("Max", [scale, "resize_one"], "stretch")
    reach = node("Mul", [stretch, "resize_support"], "reach")
    places = node("Add", ["resize_places", "resize_half"], "places")  # (side, 1)
    centre = node("Mul", [places, scale], "centre")  # (side, 1)
    first = node("Floor", [node("Add", [node("Sub", [centre, reach], "left"), "resize_half"], "left_half")], "first")
    end = node("Floor", [node("Add", [node("Add", [centre, reach], "right"), "resize_half"], "right_half")], "end")
    whole = node("Range", ["resize_start", count, "resize_step"], "whole")
    pixels = node("Cast", [whole], "pixels", to=TensorProto.DOUBLE)  # (inputs,)
    apart = node("Sub", [pixels, centre], "apart")  # (side, inputs)
    apart = node("Div", [node("Add", [apart, "resize_half"], "from_middle"), stretch], "distance")
    x = node("Abs", [apart], "x")
    near = node("Sub", [node("Mul", [x, "resize_near_3"], "near_a"), "resize_near_2"], "near_b")
    near = node("Mul", [node("Mul", [near, x], "near_c"), x], "near_d")
    near = node("Add", [near, "resize_one"], "near")  # ((a + 2) x − (a + 3)) x² + 1
    far = node("Mul", [node("Sub", [x, "resize_far_5"], "far_a"), x], "far_b")
    far = node("Mul", [node("Add", [far, "resize_far_8"], "far_c"), x], "far_d")
    far = node("Mul", [node("Sub", [far, "resize_far_4"], "far_e"), "resize_minus_half"], "far")
    far = node("Where", [node("Less", [x, "resize_support"], "within"), far, "resize_zero"], "far_or_none")
    weights = node("Where", [node("Less", [x, "resize_one"], "is_near"), near, far], "weights")
    behind = node("Not", [node("Less", [pixels, first], "before")], "from_first")
    inside = node("And", [behind, node("Less", [pixels, end], "to_end")], "inside")
    weights = node("Where", [inside, weights, "resize_zero"], "inside_weights")  # (side, inputs)
    total = node("ReduceSum", [weights, "resize_axis_sum"], "total", keepdims=1)  # (side, 1)
    units = node("Mul", [node("Div", [weights, total], "shares"), "resize_units"], "in_units")
    rounded = _add_rounded(graph, node("Abs", [units], "sizes"), f"{name}_sizes")
    return node("Mul", [node("Sign", [units], "signs"), rounded], "coefficients")


def _add_rounded(graph: GraphNodes, x: str, name: str) -> str:
    """The whole number nearest to x, halves upwards."""
    return graph.add("Floor", [graph.add("Add", [x, "resize_half"], f"{name}_half_more")], f"{name}_rounded")
