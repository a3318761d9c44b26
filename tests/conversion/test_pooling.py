# SPDX-License-Identifier: Apache-2.0
"""Converters of `pooling.py` and `adaptive.py`."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from tests.conversion.checking import check_program, check_row
from tests.conversion.rows import Calling, Row, f, i64

aten = torch.ops.aten
IMAGE = f("b", 3, "h", "w")
STATIC = f(2, 3, 9, 7)
ONE_OPEN = f("b", 3, 8, "w")
VOLUME = f("b", 2, 5, "h", 6)


def max_pool(**options):
    return lambda x: F.max_pool2d(x, **options)


def avg_pool(**options):
    return lambda x: F.avg_pool2d(x, **options)


WINDOWS = [
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 2, "stride": 3, "padding": 1},
    {"kernel_size": (4, 2), "stride": (3, 1), "padding": (2, 0)},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 2},
]
SIZES = [(9, 7), (8, 8), (10, 5), (6, 11)]

ROWS = [
    *(Row(f"max_pool2d {w}", max_pool(**w), (IMAGE,), "Pooling") for w in WINDOWS),
    *(
        Row(f"max_pool2d ceil {s} {w}", max_pool(ceil_mode=True, **w), (f(1, 2, *s),), "Pooling")
        for s, w in itertools.product(SIZES, WINDOWS)
    ),
    Row("max_pool2d of ints", max_pool(kernel_size=2), (i64(1, 2, 4, 4),), refusal="of integers"),
    Row("max_pool2d dilated", max_pool(kernel_size=2, dilation=2), (STATIC,), refusal="dilation"),
    Row("max_pool2d without batch", max_pool(kernel_size=3), (f(3, 9, 8),)),
    Row(
        "max_pool2d one-element lists",
        lambda x: aten.max_pool2d.default(x, [3], [2], [1]),
        (STATIC,),
    ),
    Row("max_pool1d", lambda x: F.max_pool1d(x, 3, 2, 1), (f("b", 3, 9),)),
    Row(
        "max_pool1d static", lambda x: F.max_pool1d(x, 3), (f(2, 3, 10),), "Shuffle Pooling Shuffle"
    ),
    Row("max_pool1d ceil", lambda x: F.max_pool1d(x, 3, 2, 1, ceil_mode=True), (f(2, 3, 8),)),
    Row("max_pool1d without batch", lambda x: F.max_pool1d(x, 3), (f(3, 10),)),
    Row("max_pool3d", lambda x: F.max_pool3d(x, 2, (1, 2, 2), 1), (VOLUME,), "Pooling"),
    Row("max_pool3d ceil", lambda x: F.max_pool3d(x, 2, 2, ceil_mode=True), (f(1, 2, 5, 5, 6),)),
    *(
        Row(
            f"avg_pool2d include={include} {w}",
            avg_pool(count_include_pad=include, **w),
            (IMAGE,),
            "Pooling",
        )
        for w, include in itertools.product(WINDOWS, (True, False))
    ),
    *(
        Row(
            f"avg_pool2d ceil include={include} {s} {w}",
            avg_pool(count_include_pad=include, ceil_mode=True, **w),
            (f(1, 2, *s),),
        )
        for s, w, include in itertools.product(SIZES, WINDOWS, (True, False))
    ),
    *(
        Row(f"{name} ceil of open sizes {w}", make(ceil_mode=True, **w), (IMAGE,))
        for name, make in (("max_pool2d", max_pool), ("avg_pool2d", avg_pool))
        for w in WINDOWS
    ),
    *(
        Row(f"avg_pool2d ceil of open sizes {w} {o}", avg_pool(ceil_mode=True, **w, **o), (IMAGE,))
        for w in WINDOWS
        for o in ({"count_include_pad": False}, {"divisor_override": 5})
    ),
    Row("avg_pool2d ceil of one open size", avg_pool(ceil_mode=True, **WINDOWS[2]), (ONE_OPEN,)),
    Row(
        "max_pool1d ceil of open sizes",
        lambda x: F.max_pool1d(x, 2, 3, 1, 1, True),
        (f("n", 2, "h"),),
    ),
    Row(
        "avg_pool1d ceil of open sizes", lambda x: F.avg_pool1d(x, 2, 3, 1, True), (f("n", 2, "h"),)
    ),
    Row("max_pool3d ceil of open sizes", lambda x: F.max_pool3d(x, 2, 3, 1, 1, True), (VOLUME,)),
    Row("avg_pool3d ceil of open sizes", lambda x: F.avg_pool3d(x, 2, ceil_mode=True), (VOLUME,)),
    Row("avg_pool2d divisor", avg_pool(kernel_size=3, padding=1, divisor_override=5), (IMAGE,)),
    *(
        Row(
            f"avg_pool2d ceil divisor {w}",
            avg_pool(ceil_mode=True, divisor_override=5, **w),
            (STATIC,),
        )
        for w in WINDOWS
    ),
    Row("avg_pool2d without batch", avg_pool(kernel_size=3), (f(3, 9, 8),)),
    Row("avg_pool1d", lambda x: F.avg_pool1d(x, 3, 2, 1), (f("b", 3, "n"),)),
    Row("avg_pool1d ceil", lambda x: F.avg_pool1d(x, 3, 2, 1, ceil_mode=True), (f(2, 3, 8),)),
    Row(
        "avg_pool1d exclude",
        lambda x: F.avg_pool1d(x, 3, 2, 1, count_include_pad=False),
        (f(2, 3, 8),),
    ),
    Row("avg_pool3d", lambda x: F.avg_pool3d(x, 2, (1, 2, 2), 1), (VOLUME,), "Pooling"),
    Row("avg_pool3d divisor", lambda x: F.avg_pool3d(x, 2, divisor_override=3), (VOLUME,)),
    Row("adaptive to 1", lambda x: F.adaptive_avg_pool2d(x, 1), (IMAGE,), "Reduce"),
    Row("adaptive even", lambda x: F.adaptive_avg_pool2d(x, (3, 7)), (STATIC,), "Pooling"),
    Row("adaptive uneven", lambda x: F.adaptive_avg_pool2d(x, (4, 5)), (f("b", 3, 9, 7),)),
    Row("adaptive larger", lambda x: F.adaptive_avg_pool2d(x, (11, 7)), (f("b", 3, 9, 7),)),
    Row(
        "adaptive to 1 on one axis", lambda x: F.adaptive_avg_pool2d(x, (1, 3)), (f(1, 3, "h", 7),)
    ),
    Row(
        "adaptive same on one axis", lambda x: F.adaptive_avg_pool2d(x, (None, 3)), (f(1, 3, 9, 7),)
    ),
    *(
        Row(
            f"adaptive of open sizes to {size}",
            lambda x, o=size: F.adaptive_avg_pool2d(x, o),
            (IMAGE,),
        )
        for size in (2, 3, (7, 7), (5, 1), (1, 4), (14, 10))
    ),
    Row("adaptive of one open size", lambda x: F.adaptive_avg_pool2d(x, 3), (f("b", 3, 9, "w"),)),
    Row("adaptive of an open length", lambda x: F.adaptive_avg_pool1d(x, 4), (f(3, "n"),)),
    Row(
        "adaptive of an open volume",
        lambda x: F.adaptive_avg_pool3d(x, (2, 3, 4)),
        (f("b", 2, "n", "h", 6),),
    ),
    Row(
        "adaptive to the size of another",
        lambda x, y: F.adaptive_avg_pool2d(x, y.shape[2:]),
        (IMAGE, f("b", 2, "n", 5)),
    ),
    Row(
        "adaptive of ints",
        lambda x: F.adaptive_avg_pool1d(x, 2),
        (i64(1, 2, "n"),),
        refusal="of integers",
    ),
    Row("adaptive without batch", lambda x: F.adaptive_avg_pool2d(x, 3), (f(3, 9, 6),)),
    Row("adaptive 1d", lambda x: F.adaptive_avg_pool1d(x, 3), (f("b", 3, 10),)),
    Row("adaptive 1d even", lambda x: F.adaptive_avg_pool1d(x, 5), (f("b", 3, 10),)),
    Row("adaptive 3d", lambda x: F.adaptive_avg_pool3d(x, (2, 3, 4)), (f("b", 2, 4, 9, 6),)),
    Row("_adaptive 2d", lambda x: aten._adaptive_avg_pool2d.default(x, [2, 3]), (STATIC,)),
    Row(
        "_adaptive 3d",
        lambda x: aten._adaptive_avg_pool3d.default(x, [2, 2, 2]),
        (f(1, 2, 4, 6, 6),),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_pooling(row):
    check_row(row)


def odd_image(module):
    """A program for images of odd sizes: the kind of range that ceil_mode exports with."""
    height, width = (2 * torch.export.Dim(name, min=4, max=9) - 1 for name in ("h", "w"))
    image = torch.randn(2, 3, 9, 11)
    return torch.export.export(
        Calling(module), (image,), dynamic_shapes=(({2: height, 3: width},),)
    )


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("window", [{"kernel_size": 3, "stride": 2}, WINDOWS[1]], ids=str)
@pytest.mark.parametrize("pool", [max_pool, avg_pool])
def test_ceil_mode_of_unknown_sizes(pool, window, include):
    options = {} if pool is max_pool else {"count_include_pad": include}
    function = pool(ceil_mode=True, **window, **options)
    check_program(odd_image(function), function, torch.randn(2, 3, 7, 7), torch.randn(2, 3, 17, 9))


def test_random_windows_are_refused():
    def pool(x):
        return F.fractional_max_pool2d(x, 2, 3, _random_samples=x[:, :, 0, :2])

    row = Row("fractional", pool, (f(1, 2, 8, 8),), refusal="random numbers say")
    check_row(row)
