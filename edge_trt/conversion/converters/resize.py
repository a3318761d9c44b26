# SPDX-License-Identifier: Apache-2.0
"""Resampling of images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter, needs_float, refuse, table
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import GridSample, Resize
from edge_trt.network.layers.window import InterpolationMode

aten = torch.ops.aten

NEAREST = dict.fromkeys(
    (aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec, aten.upsample_nearest3d.vec),
    Resize("NEAREST", coordinate_transformation="ASYMMETRIC"),
)
SMOOTH = {
    aten.upsample_linear1d.vec: Resize("LINEAR"),
    aten.upsample_bilinear2d.vec: Resize("LINEAR"),
    aten.upsample_trilinear3d.vec: Resize("LINEAR"),
    aten.upsample_bicubic2d.vec: Resize("CUBIC"),
}


def _whole_factors(input: fx.Node, scale_factors: Sequence[float] | None) -> str | None:
    if reason := needs_float(input, "resizing"):
        return reason
    known = all(isinstance(size, int) for size in input.meta["val"].shape[2:])
    if known or all(float(s).is_integer() for s in scale_factors or ()):
        return None
    return (
        f"resizing by {list(scale_factors or ())} needs a known image size: fix height and width, "
        "or use whole factors"
    )


def _nearest(
    ctx: Context,
    layer: Resize,
    input: Tensor,
    output_size: Sequence[Size] | None,
    scale_factors: Sequence[float] | None,
) -> Tensor:
    """PyTorch rounds each place to float32, sometimes below the number that it is.

    Where that takes another neighbour than the sizes say, its own are gathered. Sizes that are
    open are trusted: of 39 rows made 66, say, one is then the next one.
    """
    for axis, old in enumerate(input.shape[2:], 2):
        new = ctx.result.shape[axis]
        if not (isinstance(old, int) and isinstance(new, int)):
            continue
        factor = (
            None if output_size is not None or scale_factors is None else scale_factors[axis - 2]
        )
        places = _places(old, new, factor)
        if not all(np.array_equal(places, other) for other in _readings(old, new)):
            input = ctx.gather(input, ctx.constant(places), axis)
    if all(input.shape[axis] == ctx.result.shape[axis] for axis in range(2, input.rank)):
        return input
    if output_size is None and all(isinstance(s, int) for s in input.shape[2:]):
        output_size = [int(s) for s in ctx.result.shape[2:]]
    return _resized(ctx, layer, input, output_size, scale_factors)


def _places(old: int, new: int, factor: float | None) -> np.ndarray:
    """Which old element PyTorch takes for each new one."""
    numbers = torch.arange(old, dtype=torch.float32)[None, None]  # exact below 2**24
    if factor is None:
        found = torch.nn.functional.interpolate(numbers, size=new, mode="nearest")
    else:
        found = torch.nn.functional.interpolate(numbers, scale_factor=factor, mode="nearest")
    return found[0, 0].long().numpy()


def _readings(old: int, new: int) -> tuple[np.ndarray, ...]:
    """Which one engines take: exactly, or by either ratio of the sizes in float32."""
    exact, each = np.arange(new) * old // new, np.arange(new, dtype=np.float32)
    ratios = (
        each * (np.float32(old) / np.float32(new)),
        each / (np.float32(new) / np.float32(old)),
    )
    return (exact, *(np.minimum(np.floor(r), old - 1).astype(np.int64) for r in ratios))


def _resized(
    ctx: Context,
    layer: Resize,
    input: Tensor,
    output_size: Sequence[Size] | None,
    scale_factors: Sequence[float] | None,
) -> Tensor:
    """PyTorch samples by a given factor, TensorRT by the ratio of the sizes.

    The two differ where a size times the factor is no whole number. There each axis is multiplied
    by the matrix of what PyTorch does to it.
    """
    if output_size is not None:
        return _to_size(ctx, layer, input, output_size)
    assert scale_factors is not None
    if all(float(s).is_integer() for s in scale_factors):
        return ctx.network.add(replace(layer, scales=(1.0, 1.0, *scale_factors)), input)
    pairs = [(int(d), s) for d, s in zip(input.shape[2:], scale_factors, strict=True)]
    exact = all((size * factor).is_integer() for size, factor in pairs)
    if exact or layer.coordinate_transformation == "ALIGN_CORNERS":
        return _to_size(ctx, layer, input, [int(d) for d in ctx.result.shape[2:]])
    for axis, (size, factor) in enumerate(pairs, 2):
        input = ctx.along(input, axis, _weights(layer.resize_mode, size, factor))
    return input


def _to_size(ctx: Context, layer: Resize, input: Tensor, output_size: Sequence[Size]) -> Tensor:
    sizes = [*ctx.sizes(input)[:2], *output_size]
    known = tuple(s for s in sizes if isinstance(s, int))
    if len(known) == len(sizes):
        return ctx.network.add(replace(layer, shape=known), input)
    return ctx.network.add(layer, input, ctx.shape_tensor(sizes))


def _weights(mode: InterpolationMode, size: int, factor: float) -> np.ndarray:
    """[size, new size]: how much of each old element is in each new one."""
    name = {"NEAREST": "nearest", "LINEAR": "bilinear", "CUBIC": "bicubic"}[mode]
    scales = (factor, 1.0)
    unit = torch.eye(size)[None, :, :, None]  # a batch of `size` channels, each one of them lit
    result = torch.nn.functional.interpolate(unit, scale_factor=scales, mode=name)
    return result[0, :, :, 0].numpy()


def _smooth(
    ctx: Context,
    layer: Resize,
    input: Tensor,
    output_size: Sequence[Size] | None,
    scale_factors: Sequence[float] | None,
    align_corners: bool,
) -> Tensor:
    if align_corners:
        layer = replace(layer, coordinate_transformation="ALIGN_CORNERS")
    return _resized(ctx, layer, input, output_size, scale_factors)


WHOLE = "float input; a known image size, or whole factors"
table(NEAREST, _nearest, when=_whole_factors, note=f"{WHOLE}; of open sizes, PyTorch may round off")
table(SMOOTH, _smooth, when=_whole_factors, note=WHOLE)

ANTIALIAS = {
    aten._upsample_bilinear2d_aa.vec: "bilinear",
    aten._upsample_bicubic2d_aa.vec: "bicubic",
}


def _known_sizes(input: fx.Node, output_size: Sequence[Size] | None) -> str | None:
    if reason := needs_float(input, "resizing"):
        return reason
    if all(isinstance(s, int) for s in (*input.meta["val"].shape[2:], *(output_size or ()))):
        return None
    return "resizing with antialias needs known image sizes: fix height and width"


def _antialiased(
    ctx: Context,
    mode: str,
    input: Tensor,
    output_size: Sequence[int] | None,
    align_corners: bool,
    scale_factors: Sequence[float] | None,
) -> Tensor:
    """TensorRT's Resize has no filter; each axis is multiplied by PyTorch's own weights."""
    for axis in (2, 3):
        size = int(input.shape[axis])
        unit = torch.eye(size)[None, None]  # a row per old element, which alone is lit
        target: dict[str, tuple[float, float] | tuple[int, int]] = (
            {"scale_factor": (1.0, scale_factors[axis - 2])}
            if output_size is None and scale_factors is not None
            else {"size": (size, int(ctx.result.shape[axis]))}
        )
        weights = torch.nn.functional.interpolate(
            unit,
            mode=mode,
            align_corners=align_corners,
            antialias=True,
            **target,  # type: ignore[arg-type]
        )
        input = ctx.along(input, axis, weights[0, 0].numpy())
    return input


table(ANTIALIAS, _antialiased, when=_known_sizes, note="float input; known image sizes")

INTERPOLATION: tuple[InterpolationMode, ...] = ("LINEAR", "NEAREST", "CUBIC")
OUTSIDE: tuple[Literal["FILL", "CLAMP", "REFLECT"], ...] = ("FILL", "CLAMP", "REFLECT")


NO_VOLUMES = (
    "TensorRT samples grids of images, not of volumes: leave it to the fallback, or resize volumes"
    " with interpolate"
)
refuse(NO_VOLUMES, aten.grid_sampler_3d)


def _flat_grid(input: fx.Node) -> str | None:
    if input.meta["val"].dim() == 4:
        return needs_float(input, "sampling")
    return NO_VOLUMES


@converter(aten.grid_sampler.default, when=_flat_grid, note="float images")
def grid_sampler(
    ctx: Context,
    input: Tensor,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Tensor:
    mode, outside = INTERPOLATION[interpolation_mode], OUTSIDE[padding_mode]
    return ctx.network.add(GridSample(mode, align_corners, outside), input, grid)


refuse("TensorRT has no Lanczos filter: resize bicubically", "_upsample_lanczos2d_aa")
