# SPDX-License-Identifier: Apache-2.0
"""Converters of `resize.py`."""

from __future__ import annotations

import itertools

import pytest
from torch.nn import functional as F

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, f

SMOOTH = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
SHAPES = {1: (10,), 2: (10, 7), 3: (4, 5, 6)}
TARGETS = {"size": {"size": 8}, "up": {"scale_factor": 2}, "fraction": {"scale_factor": 0.7},
           "odd": {"scale_factor": 1.3}}  # fmt: skip


def resize(mode, **options):
    return lambda x: F.interpolate(x, mode=mode, **options)


ROWS = [
    *(
        Row(f"nearest {n}d {t}", resize("nearest", **o), (f(2, 3, *SHAPES[n]),))
        for n, (t, o) in itertools.product(SHAPES, TARGETS.items())
    ),
    *(
        Row(
            f"{mode} {t} corners={corners}",
            resize(mode, align_corners=corners, **o),
            (f(2, 3, *SHAPES[n]),),
        )
        for (mode, n), (t, o), corners in itertools.product(
            SMOOTH.items(), TARGETS.items(), (False, True)
        )
    ),
    *(
        Row(
            f"{mode} recomputed scale",
            resize(mode, scale_factor=1.3, recompute_scale_factor=True),
            (f(2, 3, 10, 7),),
        )
        for mode in ("nearest", "bilinear")
    ),
    *(
        Row(f"{mode} dynamic {t}", resize(mode, **o), (f("b", 3, "h", "w"),))
        for mode, (t, o) in itertools.product(
            ("nearest", "bilinear", "bicubic"), {k: TARGETS[k] for k in ("size", "up")}.items()
        )
    ),
    Row(
        "to the size of another",
        lambda x, y: F.interpolate(x, size=y.shape[-2:], mode="bilinear"),
        (f("b", 3, 4, 5), f("b", 3, "h", "w")),
    ),
    *(
        Row(f"nearest rounded off {o}", resize("nearest", **o), (f(2, 2, *shape),), kinds)
        for shape, o, kinds in (
            ((39,), {"size": 66}, "Gather"),
            ((39, 10), {"size": (66, 20)}, "Gather Resize"),
            ((4, 3, 10), {"size": (8, 123, 10)}, "Gather Resize"),
            ((3, 3), {"scale_factor": 41}, "Gather Gather"),
            ((39, 10), {"scale_factor": (66.5 / 39, 2.0)}, None),
        )
    ),
    Row("exact fraction", resize("bilinear", scale_factor=0.7), (f(1, 2, 10, 20),), "Resize"),
    Row(
        "fraction by matrices",
        resize("bilinear", scale_factor=0.5),
        (f("b", 2, 7, 5),),
        "MatrixMultiply MatrixMultiply",
    ),
    Row(
        "fraction of unknown sizes",
        resize("bilinear", scale_factor=0.5),
        (f("b", 3, "h", "w"),),
        refusal="needs a known image size",
    ),
    *(
        Row(
            f"{mode} antialias {t} corners={corners}",
            resize(mode, antialias=True, align_corners=corners, **o),
            (f("b", 2, 10, 7),),
        )
        for mode, (t, o), corners in itertools.product(
            ("bilinear", "bicubic"), TARGETS.items(), (False, True)
        )
    ),
    Row(
        "antialias of unknown sizes",
        resize("bilinear", antialias=True, size=4),
        (f("b", 3, "h", "w"),),
        refusal="needs known image sizes",
    ),
    Row("to one pixel", resize("bilinear", size=1, align_corners=False), (f(1, 2, 5, 6),)),
    Row("to one pixel, corners", resize("bilinear", size=1, align_corners=True), (f(1, 2, 5, 6),)),
    Row("scales per axis", resize("bilinear", scale_factor=(0.5, 3.0)), (f(1, 2, 7, 5),)),
    *(
        Row(
            f"grid_sample {mode} {outside} corners={corners}",
            lambda x, g, m=mode, o=outside, c=corners: F.grid_sample(x, g, m, o, c),
            (f("b", 3, 6, 7), f("b", 4, 5, 2, low=-1.3, high=1.3)),
            "GridSample",
        )
        for mode, outside, corners in itertools.product(
            ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (False, True)
        )
    ),
    Row(
        "grid_sample of a volume",
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        (f(1, 2, 4, 4, 4), f(1, 3, 3, 3, 3)),
        refusal="not of volumes",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_resize(row):
    check_row(row)
