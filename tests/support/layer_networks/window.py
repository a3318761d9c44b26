# SPDX-License-Identifier: Apache-2.0
"""Networks that pool and resample."""

from __future__ import annotations

from typing import Any

from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import Concatenation, GridSample, Pooling, Resize
from tests.support.layer_networks.case import Case, ints, layer
from tests.support.layer_networks.convolution import X
from tests.support.layer_networks.shape import size_of


def _pooling(kind: Any, up: bool, excludes: bool, depth: int = 2) -> Case:
    x = "float32[N, 4, 9, 9, 9]" if depth == 3 else X
    attributes = Pooling(
        kind,
        (3, 2, 2)[:depth],
        (2, 2, 1)[:depth],
        (1, 0, 0)[:depth],
        (1, 1, 0)[:depth],
        "EXPLICIT_ROUND_UP" if up else "EXPLICIT_ROUND_DOWN",
        excludes,
    )
    return Case(f"pooling_{kind.lower()}_{up}_{excludes}_{depth}", (x,), layer(attributes))


def _resized(net: Network, x: Tensor) -> Tensor:
    rest = net.constant(ints(4, 7, 3))
    return net.add(Resize("LINEAR"), x, net.add(Concatenation(0), size_of(net, x), rest))


WINDOW = [
    _pooling("MAX", up=False, excludes=True),
    _pooling("MAX", up=True, excludes=True),
    _pooling("MAX", up=False, excludes=True, depth=3),
    _pooling("AVERAGE", up=False, excludes=True),
    _pooling("AVERAGE", up=True, excludes=False),
    _pooling("AVERAGE", up=False, excludes=False, depth=3),
    *(
        Case(f"resize_{i}", (X,), layer(resize))
        for i, resize in enumerate(
            (
                Resize("NEAREST", scales=(1, 1, 2, 2), coordinate_transformation="ASYMMETRIC"),
                Resize("NEAREST", scales=(1, 1, 2, 2), nearest_rounding="HALF_UP"),
                Resize("NEAREST", scales=(1, 1, 2, 2), nearest_rounding="HALF_DOWN"),
                Resize("NEAREST", scales=(1, 1, 0.5, 0.5), nearest_rounding="CEIL"),
                Resize("LINEAR", scales=(1, 1, 2, 2), coordinate_transformation="ALIGN_CORNERS"),
                Resize("LINEAR", scales=(1, 1, 1, 0.2), selector_for_single_pixel="UPPER"),
                Resize("CUBIC", scales=(1, 1, 2, 2), cubic_coeff=-0.5),
                Resize("CUBIC", scales=(1, 1, 0.5, 0.5), exclude_outside=True),
            )
        )
    ),
    Case("resize_shape", ("float32[2, 4, 5, 5]",), layer(Resize("LINEAR", shape=(2, 4, 7, 3)))),
    Case("resize_computed", (X,), _resized),
    Case("resize_1d", ("float32[N, 4, 5]",), layer(Resize("LINEAR", scales=(1, 1, 2)))),
    Case("resize_3d", ("float32[N, 4, 3, 3, 3]",), layer(Resize("LINEAR", scales=(1, 1, 2, 2, 2)))),
    *(
        Case(
            f"grid_sample_{mode}_{corners}_{outside}",
            (X, "float32[N, 3, 6, 2]"),
            layer(GridSample(mode, corners, outside)),
        )
        for mode, corners, outside in (
            ("NEAREST", False, "FILL"),
            ("LINEAR", True, "CLAMP"),
            ("CUBIC", False, "REFLECT"),
        )
    ),
]
