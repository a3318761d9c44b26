# SPDX-License-Identifier: Apache-2.0
"""Layers of neural networks that lowering rewrites before they are converted."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conversion.checking import check_lowered
from tests.conversion.rows import Row, f, i64

aten = torch.ops.aten
IMAGE, VOLUME = f("b", 2, 4, 6), f("b", 2, 4, 3, 5)
DILATED = [
    {"kernel_size": 2, "dilation": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2},
    {"kernel_size": (2, 3), "stride": (3, 1), "padding": (1, 0), "dilation": (3, 1)},
]
POWERS = (0.0, 1.0, 1.5, 2.0, math.inf)
HIDDEN = torch.tensor([[1.0, 2.0], [-math.inf, -math.inf]])


def resize(mode, **options):
    return lambda x: F.interpolate(x, mode=mode, **options)


NORMALIZATION = [
    Row("softmax of a row of -inf", lambda x: aten._safe_softmax.default(x, -1), (HIDDEN,)),
    Row("softmax to float32", lambda x: x.half().softmax(-1, dtype=torch.float32), (f("b", 3),)),
    Row("native_dropout", lambda x: aten.native_dropout.default(x, 0.5, False)[0], (f("b", 3),)),
    Row("local_response_norm", lambda x: F.local_response_norm(x, 3), (f("b", 6, 4, 4),)),
    Row(
        "batch_norm without statistics",
        lambda x: aten._native_batch_norm_legit.no_stats(x, None, None, True, 0.1, 1e-5)[0],
        (f(3, 2, 4),),
    ),
    Row(
        "native_batch_norm",
        lambda x, m, v: aten.native_batch_norm.default(x, None, None, m, v, False, 0.1, 1e-5)[0],
        (f("b", 2, 4), f(2), f(2, low=0.5)),
    ),
]

ATTENTION = [
    Row("MultiheadAttention", nn.MultiheadAttention(8, 2, batch_first=True), (f("b", 5, 8),) * 3),
    Row(
        "attention as the CPU has it",
        lambda q: aten._scaled_dot_product_flash_attention_for_cpu.default(q, q, q)[0],
        (f("b", 2, 4, 8),),
    ),
]

PADDED = [
    Row("same, even kernel", nn.Conv2d(2, 3, 4, padding="same"), (f("b", 2, 5, 6),)),
    Row("same, symbolic image", nn.Conv2d(2, 3, (2, 3), padding="same"), (f("b", 2, "h", "w"),)),
    Row("same, one dimension", nn.Conv1d(2, 3, 4, padding="same"), (f("b", 2, "n"),)),
    Row("same without a batch", nn.Conv1d(2, 3, 4, padding="same"), (f(2, 7),)),
]

IMAGES = [
    Row("nearest-exact twice", resize("nearest-exact", scale_factor=2), (IMAGE,)),
    Row("nearest-exact to a size", resize("nearest-exact", size=(7, 3)), (IMAGE,)),
    Row("bilinear2d", lambda x: aten.upsample_bilinear2d.default(x, [7, 9], False), (IMAGE,)),
    *(
        Row(f"{n} by a size", lambda x, n=n: getattr(aten, n).default(x, [3, 5], False), (IMAGE,))
        for n in ("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")
    ),
    Row("nearest2d", lambda x: aten.upsample_nearest2d.default(x, [7, 9]), (IMAGE,)),
    Row(
        "grid_sampler_2d",
        lambda x, g: aten.grid_sampler_2d.default(x, g, 0, 0, False),
        (IMAGE, f("b", 3, 3, 2)),
    ),
    Row("affine_grid", lambda t: F.affine_grid(t, (2, 1, 4, 5), False), (f(2, 2, 3),)),
    Row("adaptive maximum of all", lambda x: F.adaptive_max_pool2d(x, 1), (IMAGE,)),
    Row("adaptive maximum of even bins", lambda x: F.adaptive_max_pool2d(x, (2, 3)), (IMAGE,)),
    Row("adaptive maximum of uneven bins", lambda x: F.adaptive_max_pool2d(x, (3, 4)), (IMAGE,)),
    Row("adaptive maximum of more bins", lambda x: F.adaptive_max_pool2d(x, (6, 1)), (IMAGE,)),
    Row("adaptive maximum of a row", lambda x: F.adaptive_max_pool1d(x, 4), (f("b", 2, 6),)),
    Row("adaptive maximum of a volume", lambda x: F.adaptive_max_pool3d(x, 2), (VOLUME,)),
    *(
        Row(
            f"adaptive maximum of open sizes to {size}",
            lambda x, o=size: F.adaptive_max_pool2d(x, o),
            (f("b", 2, "h", "w"),),
        )
        for size in (2, 5, (1, 3), (14, 4))
    ),
    *(
        Row(
            f"places of adaptive maxima of {image} to {size}",
            lambda x, o=size: F.adaptive_max_pool2d(x, o, return_indices=True),
            (image,),
        )
        for image in (IMAGE, f("b", 2, "h", "w"))
        for size in (2, (1, 3), (5, 4))
    ),
    Row(
        "places of equal adaptive maxima",
        lambda x: F.adaptive_max_pool2d(x.round(), (3, 2), return_indices=True),
        (f("b", 2, "h", "w"),),
    ),
    Row(
        "places of adaptive maxima of a row",
        lambda x: F.adaptive_max_pool1d(x, 3, return_indices=True),
        (f("b", 2, "n"),),
    ),
    Row(
        "places of adaptive maxima of a volume",
        lambda x: F.adaptive_max_pool3d(x, (2, 3, 1), return_indices=True),
        (VOLUME,),
    ),
    *(
        Row(f"dilated maximum {window}", lambda x, o=window: F.max_pool2d(x, **o), (image,))
        for image in (f("b", 2, "h", "w"), f(1, 2, 9, 8))
        for window in DILATED
    ),
    *(
        Row(
            f"dilated maximum, rounded up {window}",
            lambda x, o=window: F.max_pool2d(x, ceil_mode=True, **o),
            (f(1, 2, *sizes),),
        )
        for sizes in ((9, 8), (10, 7))
        for window in DILATED
    ),
    Row("dilated maximum of a row", lambda x: F.max_pool1d(x, 2, 1, 0, 2), (f("b", 2, 7),)),
    Row("dilated maximum of a volume", lambda x: F.max_pool3d(x, 2, 1, 1, 2), (VOLUME,)),
    Row("maximum of integers", lambda x: F.max_pool2d(x, 3, 2, 1), (i64(1, 2, "h", 7),)),
    Row(
        "indices of a dilated maximum",
        lambda x: F.max_pool2d(x, 2, dilation=2, return_indices=True),
        (f("b", 2, 4, 6),),
    ),
    Row("lp_pool", lambda x: F.lp_pool2d(x, 2.0, 2), (IMAGE,)),
    *(
        Row(
            f"indices of max_pool {window}, rounded up {up}",
            lambda x, o=window, up=up: F.max_pool2d(x, return_indices=True, ceil_mode=up, **o),
            (f(1, 2, "h", "w", low=-2, high=2),),
        )
        for window in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}, *DILATED)
        for up in (False, True)
    ),
    Row(
        "indices of -inf",
        lambda x: F.max_pool2d(x - math.inf, 3, 2, 1, return_indices=True),
        (f("b", 2, 4, 6),),
    ),
    Row("indices of rows", lambda x: F.max_pool1d(x, 3, 2, 1, return_indices=True), (f(2, 5, 7),)),
    Row(
        "indices of a volume",
        lambda x: F.max_pool3d(x.round(), 2, 2, 1, return_indices=True),
        (VOLUME,),
    ),
]

ROWS = (f("b", 4, 3), f("b", "n", 3))
DISTANCES = [
    *(Row(f"cdist p={p}", lambda x, y, p=p: torch.cdist(x, y, p), ROWS) for p in POWERS),
    Row("cdist of equal rows", lambda x: torch.cdist(x, x), (f("b", 4, 3),)),
    Row("cdist broadcast", torch.cdist, (f("b", 1, 4, 3), f(2, 5, 3))),
    Row("cdist of many rows", torch.cdist, (f(30, 3), f(28, 3))),
    Row("_cdist_forward", lambda x, y: aten._cdist_forward.default(x, y, 1.0, None), ROWS),
    Row("cdist of too many", torch.cdist, (f(5000, 3), f(5000, 3)), refusal="2**24"),
    *(Row(f"pdist p={p}", lambda x, p=p: F.pdist(x, p), (f(5, 3),)) for p in POWERS),
    Row("_pdist_forward", lambda x: aten._pdist_forward.default(x, 2.0), (f(5, 3),)),
    Row("pdist of symbolic size", torch.pdist, (f("n", 3),), refusal="2 to 64"),
    Row("pairwise_distance", F.pairwise_distance, (f("b", 3),) * 2),
    Row("cosine_similarity", F.cosine_similarity, (f("b", 3),) * 2),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # eager copies
@pytest.mark.parametrize(
    "row", [*NORMALIZATION, *ATTENTION, *PADDED, *IMAGES, *DISTANCES], ids=lambda row: row.name
)
def test_lowered(row):
    check_lowered(row)
