# SPDX-License-Identifier: Apache-2.0
"""Networks that normalize and reduce."""

from __future__ import annotations

import numpy as np

from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import (
    LRN,
    Cast,
    Cumulative,
    Gather,
    Normalization,
    Reduce,
    Shape,
    SoftMax,
    TopK,
)
from edge_trt.network.types import DType
from tests.support.layer_networks.case import Case, layer, values


def _top_of_computed(net: Network, x: Tensor) -> tuple[Tensor, ...]:
    k = net.add(Gather(0), net.add(Shape(), x), net.constant(np.array(1)))
    return net.add_multi(TopK("MAX", 0, 1), x, net.add(Cast(DType.INT32), k))


def _normalization(
    shape: str, axes: tuple[int, ...], scale: tuple[int, ...], groups: int = 1, t: str = "float32"
) -> Case:
    dtype = DType(t).numpy

    def make(net: Network, x: Tensor) -> Tensor:
        operands = net.constant(values(scale, dtype)), net.constant(values(scale, dtype))
        return net.add(Normalization(axes, 1e-6, groups), x, *operands)

    return Case(f"normalization_{t}{shape}{axes}{scale}{groups}", (t + shape,), make)


NORMALIZATION = [
    *(Case(f"softmax_{axis}", ("float32[N, 4, 5, 6]",), layer(SoftMax(axis))) for axis in range(4)),
    Case("softmax_half", ("float16[N, 4]",), layer(SoftMax(1))),
    Case("lrn", ("float32[N, 8, 5, 5]",), layer(LRN(5, 1e-4, 0.75, 2.0))),
    _normalization("[N, 8]", (1,), (1, 8)),
    _normalization("[N, 6, 8]", (2,), (1, 1, 8), t="float16"),
    _normalization("[N, 6, 8]", (2,), (1, 1, 8), t="bfloat16"),
    _normalization("[N, 8, 4]", (1, 2), (1, 8, 4)),
    _normalization("[N, 8, 4, 4]", (2, 3), (1, 8, 1, 1)),
    _normalization("[N, 8, 4, 4]", (1, 2, 3), (1, 8, 1, 1)),
    _normalization("[N, 8, 4, 4]", (2, 3), (1, 8, 1, 1), groups=4),
    _normalization("[N, 8, 4, 4]", (2, 3), (1, 4, 1, 1), groups=4),
    _normalization("[N, 8, 4]", (2,), (1, 8, 1), groups=2, t="float16"),
    Case(
        "normalization_computed",
        ("float32[N, 8]", "float32[1, 8]", "float32[1, 8]"),
        layer(Normalization((1,))),
    ),
]


REDUCTION = [
    *(
        Case(f"reduce_{op.lower()}", ("float32[N, 4, 5]",), layer(Reduce(op, (1,))))
        for op in ("SUM", "PROD", "MAX", "MIN", "AVG")
    ),
    *(
        Case(f"reduce_{axes}_{keep}", ("float32[N, 4, 5, 6]",), layer(Reduce("SUM", axes, keep)))
        for axes, keep in (((0, 1, 2, 3), False), ((1, 3), True), ((2, 3), False))
    ),
    Case("reduce_int64", ("int64[N, 4]",), layer(Reduce("SUM", (1,)))),
    Case("reduce_1d", ("float32[N]",), layer(Reduce("MAX", (0,)))),
    *(
        Case(
            f"topk_{op.lower()}_{t}",
            (f"{t}[N, 9]",),
            lambda net, x, op=op: net.add_multi(TopK(op, 3, 1), x),
        )
        for op, t in (("MAX", "float32"), ("MIN", "float32"), ("MAX", "float16"), ("MAX", "int64"))
    ),
    Case("topk_computed", ("float32[N, 9]",), _top_of_computed),
    *(
        Case(f"cumulative_{t}_{e}_{r}", (f"{t}[N, 5]",), layer(Cumulative(1, e, r)))
        for t in ("float32", "int64")
        for e in (False, True)
        for r in (False, True)
    ),
    Case("cumulative_half", ("float16[N, 5, 3]",), layer(Cumulative(1))),
    Case("cumulative_one", ("int32[N, 1]",), layer(Cumulative(1))),
]
