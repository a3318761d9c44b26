# SPDX-License-Identifier: Apache-2.0
"""Networks that move elements or speak of shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import Concatenation, ElementWise, Fill, Gather, Shape, Shuffle, Slice
from tests.support.layer_networks.case import Case, Make, ints, layer, number


def size_of(net: Network, x: Tensor, axis: int = 0) -> Tensor:
    """The size of an axis as a vector of one element."""
    return net.add(Gather(0), net.add(Shape(), x), net.constant(ints(axis)))


def _reshaped(net: Network, x: Tensor) -> Tensor:
    sizes = net.add(Concatenation(0), size_of(net, x), net.constant(ints(20)))
    return net.add(Shuffle(), x, sizes)


def _flipped(net: Network, x: Tensor) -> Tensor:
    size = size_of(net, x)
    last = net.add(ElementWise("SUB"), size, net.constant(ints(1)))
    return net.add(Slice((0,), None, None, (-1,)), x, last, size)


def _padded(mode: str) -> Make:
    def make(net: Network, x: Tensor) -> Tensor:
        fill = [net.constant(np.array(1, x.dtype.numpy))] if mode == "FILL" else []
        return net.add(Slice((2, 3), (-1, -2), (7, 10), (1, 1), mode), x, *fill)

    return make


def _padded_batch(net: Network, x: Tensor) -> Tensor:
    size = net.add(ElementWise("SUM"), size_of(net, x), net.constant(ints(2)))
    return net.add(Slice((0,), (-1,), None, (1,), "FILL"), x, size, net.constant(number(0)))


def _counted(t: Any) -> Make:
    def make(net: Network, x: Tensor) -> Tensor:
        steps = net.constant(np.array([4, 1], t))
        return net.add(Fill(), net.add(Shape(), x), net.constant(number(1, t)), steps)

    return make


SHAPE = [
    *(
        Case(f"shuffle_{i}", (f"float32{x}",), layer(shuffle))
        for i, (x, shuffle) in enumerate(
            (
                ("[N, 4, 5]", Shuffle((1, 0, 2))),
                ("[N, 4, 5]", Shuffle((2, 1, 0), (0, -1))),
                ("[N, 4, 5]", Shuffle(None, (0, 2, 2, 5), (0, 2, 1, 3))),
                ("[]", Shuffle(reshape_dims=(1,))),
                ("[1]", Shuffle(reshape_dims=())),
                ("[N]", Shuffle(reshape_dims=(-1, 1, 1))),
                ("[N, 4, 5]", Shuffle(reshape_dims=(-1,))),
                ("[N, 4, 5]", Shuffle()),
            )
        )
    ),
    *(
        Case(f"shuffle_{t}", (f"{t}[N, 4, 5]",), layer(Shuffle((0, 2, 1), (0, -1))))
        for t in ("bool", "uint8", "int64", "float16")
    ),
    Case("shuffle_sizes", ("float32[N, 4, 5]",), _reshaped),
    Case("slice", ("float32[N, 4, 5]",), layer(Slice((1, 2), (1, 0), (2, 3), (2, 2)))),
    Case("slice_backwards", ("float32[N, 4, 5]",), layer(Slice((1,), (3,), (4,), (-1,)))),
    Case("slice_expand", ("float32[N, 1, 5]",), layer(Slice((1,), (0,), (7,), (0,)))),
    Case("slice_nothing", ("float32[N, 4, 5]",), layer(Slice((1,), (0,), (0,), (1,)))),
    Case("slice_uint8", ("uint8[N, 4]",), layer(Slice((1,), (0,), (2,), (1,)))),
    Case(
        "slice_start",
        ("float32[N, 4, 5]",),
        lambda net, x: net.add(Slice((1,), None, (2,), (1,)), x, net.constant(ints(1))),
    ),
    Case(
        "slice_expand_batch",
        ("float32[1, 5]", "float32[N, 3]"),
        lambda net, x, y: net.add(Slice((0,), (0,), None, (0,)), x, size_of(net, y)),
    ),
    Case("slice_flip_batch", ("float32[N, 4, 5]",), _flipped),
    *(
        Case(f"slice_{mode.lower()}", ("float32[N, 4, 5, 6]",), _padded(mode))
        for mode in ("FILL", "CLAMP", "REFLECT", "WRAP")
    ),
    Case("slice_fill_int64", ("int64[N, 4, 5, 6]",), _padded("FILL")),
    Case("slice_fill_batch", ("float32[N, 4]",), _padded_batch),
    *(
        Case(
            f"concatenation_{axis}", ("float32[N, 4]", "float32[N, 4]"), layer(Concatenation(axis))
        )
        for axis in (0, 1)
    ),
    Case("concatenation_1d", ("int64[N]", "int64[3]"), layer(Concatenation(0))),
    Case("concatenation_uint8", ("uint8[N, 4]", "uint8[N, 2]"), layer(Concatenation(1))),
    Case("shape", ("float32[N, 4]",), layer(Shape())),
    Case("shape_uint8", ("uint8[N, 4]",), layer(Shape())),
    *(Case(f"fill_{t}", ("float32[N, 4]",), _counted(t)) for t in ("float32", "int32", "int64")),
]
