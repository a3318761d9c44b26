# SPDX-License-Identifier: Apache-2.0
"""Rules for convolutions, deconvolutions, products with matrices, and the convolution buffer."""

from __future__ import annotations

from math import ceil
from typing import cast

from edge_trt.network.graph import Node
from edge_trt.network.layers import Convolution, Deconvolution, MatrixMultiply
from edge_trt.placement.rule import Rule, Situation
from edge_trt.placement.sizes import numbers, outside

BANKS = 16
"""Banks of the convolution buffer, 32 KiB each."""
BANK = 32768
MOST_MAPS = 8192
LONG = (64, 96, 128)
"""Lengths of one-dimensional deconvolutions that are allowed beyond 32."""


def _convolution(node: Node) -> Convolution | Deconvolution:
    return cast("Convolution | Deconvolution", node.layer)


def _window(node: Node) -> tuple[int, ...]:
    return numbers(node.inputs[1])[2:]


def _dimensions(node: Node, situation: Situation) -> object:
    count = len(_convolution(node).stride_nd)
    return None if count == 2 else count


def _kernel(node: Node, situation: Situation) -> object:
    return outside(_window(node), 1, 32)


def _padding(node: Node, situation: Situation) -> object:
    layer, window = _convolution(node), _window(node)
    sides = [*zip(layer.pre_padding, window, strict=True)]
    sides += zip(layer.post_padding, window, strict=True)
    fits = all(0 <= pad <= 31 and pad < size for pad, size in sides)
    return None if fits else (*layer.pre_padding, *layer.post_padding)


def _stride(node: Node, situation: Situation) -> object:
    return outside(_convolution(node).stride_nd, 1, 8)


def _dilation(node: Node, situation: Situation) -> object:
    return outside(_convolution(node).dilation_nd, 1, 32)


def _maps(node: Node, situation: Situation) -> object:
    return outside(numbers(node.outputs[0])[1:2], 1, MOST_MAPS)


def _groups(node: Node, situation: Situation) -> object:
    return outside((_convolution(node).num_groups,), 1, MOST_MAPS)


def _constant(node: Node, situation: Situation) -> object:
    computed = [t.name for t in node.inputs[1:] if not t.is_constant]
    return f"computed weights ({', '.join(computed)})" if computed else None


def buffer_banks(
    channels: int, window: tuple[int, int], width: int, dilation: int, element_bytes: int
) -> tuple[int, int]:
    """Banks of the convolution buffer for weights and for data, by TensorRT's documentation.

    Args:
        channels: of the input, of one group.
        window: height and width of the kernel.
        width: of the input.
        dilation: of the kernel's height.
        element_bytes: 1 for int8, 2 for float16.
    """
    kernel = channels * window[0] * window[1] * element_bytes
    weights = ceil(ceil(kernel / 128) * 128 / BANK)
    entries = ceil(ceil(channels * element_bytes / 32) * width / 4)
    rows = (window[0] - 1) * dilation + 1
    return weights, ceil(entries * rows / 256)


def _buffer(node: Node, situation: Situation) -> object:
    layer, x, kernel = _convolution(node), node.inputs[0], node.inputs[1]
    if not x.type.is_static:
        return None
    channels, height, width = numbers(kernel)[1:4]
    element = 1 if situation.precision == "int8" and x.name in situation.scales else 2
    banks = buffer_banks(channels, (height, width), numbers(x)[3], layer.dilation_nd[0], element)
    return None if sum(banks) <= BANKS else f"{banks[0]} for weights + {banks[1]} for data"


def _square(node: Node, situation: Situation) -> object:
    window = _window(node)
    return window if window[0] == window[1] and 23 <= window[0] <= 32 else None


def _unfolding(node: Node, situation: Situation) -> object:
    layer, window = _convolution(node), _window(node)
    return next(
        (pair for pair in (window, layer.stride_nd) if not _unfolds((pair[0], pair[1]))), None
    )


def _unfolds(pair: tuple[int, int]) -> bool:
    short, long = sorted(pair)
    return (short >= 1 and long <= 32) or (short == 1 and long in LONG)


def _padded(node: Node, situation: Situation) -> object:
    layer = _convolution(node)
    sides = (*layer.pre_padding, *layer.post_padding)
    return sides if any(sides) else None


def _grouped(node: Node, situation: Situation) -> object:
    return outside((_convolution(node).num_groups,), 1, 1)


def _dilated(node: Node, situation: Situation) -> object:
    return outside(_convolution(node).dilation_nd, 1, 1)


def _product(node: Node, situation: Situation) -> object:
    constant = any(t.is_constant for t in node.inputs)
    return "a constant matrix" if constant else "two computed operands"


PRODUCTS = (
    Rule(
        "C-DIMS", (Convolution,), "spatial dimensions", "2", "header", _dimensions,
        "use 2-d convolutions",
    ),
    Rule(
        "C-WEIGHTS", (Convolution, Deconvolution), "weights", "constants", "header", _constant,
        "make the kernel a parameter of the module",
    ),
    Rule(
        "C-KERNEL", (Convolution,), "window", "1..32 on both axes", "header", _kernel,
        "stack smaller convolutions",
    ),
    Rule(
        "C-PAD", (Convolution,), "padding", "0..31 and less than the window", "header", _padding,
        "pad less, or enlarge the window",
    ),
    Rule("C-STRIDE", (Convolution,), "stride", "1..8", "header", _stride, "stride in two steps"),
    Rule("C-DILATION", (Convolution,), "dilation", "1..32", "header", _dilation, "dilate less"),
    Rule(
        "C-MAPS", (Convolution, Deconvolution), "output channels", f"1..{MOST_MAPS}", "header",
        _maps, "split the layer",
    ),
    Rule("C-GROUPS", (Convolution,), "groups", f"1..{MOST_MAPS}", "header", _groups, "use fewer"),
    Rule(
        "C-CBUF", (Convolution,), "banks of the convolution buffer", f"at most {BANKS} together",
        "docs-8", _buffer, "make the tensor narrower, or kernel or channels smaller",
        certain=False,
    ),
    Rule(
        "D-DIMS", (Deconvolution,), "spatial dimensions", "2", "header", _dimensions,
        "use 2-d deconvolutions",
    ),
    Rule(
        "D-WINDOW", (Deconvolution,), "window or stride", "1..32, or 1xN and Nx1 of 64, 96, 128",
        "header", _unfolding, "upsample in two steps",
    ),
    Rule(
        "D-SQUARE", (Deconvolution,), "square window", "not 23..32", "docs-8", _square,
        "upsample in two steps",
    ),
    Rule(
        "D-PAD", (Deconvolution,), "padding", "0", "header", _padded,
        "use padding=0 with kernel_size equal to stride, or resize and convolve",
    ),
    Rule("D-GROUPS", (Deconvolution,), "groups", "1", "header", _grouped, "use groups=1"),
    Rule("D-DILATION", (Deconvolution,), "dilation", "1", "header", _dilated, "use dilation=1"),
    Rule(
        "M-FORM", (MatrixMultiply,), "form", "a convolution of 1x1 in four dimensions", "header",
        _product, "write the layer as a convolution of 1x1; products of two activations are for "
        "the GPU", recipe="linear",
    ),
)  # fmt: skip
