# SPDX-License-Identifier: Apache-2.0
"""ONNX's Pad, always of all axes.

ONNX Runtime moves transposes through Pad as if its `axes` were not there, and then gathers from the
pads of axes that it was not given (seen in 1.32).
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Tensor


def pad(
    graph: Graph,
    x: Value,
    ends: Sequence[int] | Value,
    fill: Value | None,
    axes: Sequence[int],
    rank: int,
    mode: str = "constant",
) -> str:
    """`x` padded along some axes.

    Args:
        graph: where to.
        x: what to pad, of `rank` dimensions.
        ends: elements before each of `axes`, then behind each; numbers, or an int64 vector.
        fill: what a constant padding consists of, 0-d.
        axes: which axes; the others stay as they are.
        rank: number of dimensions of x.
        mode: of ONNX's Pad.
    """
    places = [*axes, *(rank + axis for axis in axes)]
    if not isinstance(ends, (Tensor, str)):
        numbers = dict(zip(places, ends, strict=True))
        pads: Value = graph.constant([numbers.get(place, 0) for place in range(2 * rank)])
    elif places == list(range(2 * rank)):
        pads = ends
    else:
        none = graph.constant([0] * (2 * rank))
        pads = graph.op("ScatterElements", none, graph.constant(places), ends, axis=0)
    return graph.op("Pad", x, pads, fill, mode=mode)
