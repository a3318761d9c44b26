# SPDX-License-Identifier: Apache-2.0
"""Tensor arguments: what a call may be about, and operands that fit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

RARE = (torch.float16, torch.float64, torch.int8, torch.uint8, torch.int16)
TYPES = (*[torch.float32] * 8, *[torch.int64] * 3, *[torch.int32] * 3, *[torch.bool] * 3, *RARE)
SIZES = st.sampled_from([1, 2, 3, 4, 5] * 3 + [0])


class Values(Protocol):
    """The values of a program so far."""

    def pick(self, wanted: Callable[[torch.Tensor], bool]) -> Any | None:
        """A value, drawn among those that are wanted; None if there is none."""
        ...

    def fresh(self, shape: Sequence[int], dtype: torch.dtype, low: int = -3, high: int = 3) -> Any:
        """A new input or constant with elements from low to high."""
        ...

    def tensor(self, value: Any) -> torch.Tensor:
        """What a value is for the example inputs."""
        ...


def first_of(bound: dict[str, Any], values: Values) -> torch.Tensor | None:
    """The tensor that the call is about."""
    for value in bound.values():
        for candidate in value if isinstance(value, list) else [value]:
            if isinstance(candidate, torch.fx.Node):
                return values.tensor(candidate)
    return None


def tensor_argument(
    draw: Draw, target: Any, name: str, bound: dict[str, Any], values: Values
) -> Any:
    """A value of the program, or a new one of a shape that fits the first."""
    first = first_of(bound, values)
    if first is None:
        return _subject(draw, target, values)
    related = _RELATED.get(f"{family(target)}.{name}") or _RELATED.get(name)
    if related is not None:
        shape, dtype, low, high = related(draw, target, first, bound)
        return values.fresh(shape, dtype, low, high)
    if draw(st.booleans()):
        found = values.pick(lambda t: t.dtype == first.dtype and _broadcast(t, first))
        if found is not None:
            return found
    kept = draw(st.integers(0, first.dim()))
    shape = (
        [n if draw(st.booleans()) else 1 for n in first.shape[kept:]] if kept else list(first.shape)
    )
    dtype = (
        torch.bool
        if name in ("mask", "condition")
        else draw(st.sampled_from((*[first.dtype] * len(TYPES), *TYPES)))
    )
    return values.fresh(shape, dtype)


def _broadcast(a: torch.Tensor, b: torch.Tensor) -> bool:
    try:
        torch.broadcast_shapes(a.shape, b.shape)
    except RuntimeError:
        return False
    return True


def family(target: Any) -> str:
    """`conv2d` of `aten.conv2d.default`, `add` of `aten.add_.Tensor`."""
    return str(target).split(".")[1].removesuffix("_")


def _windowed(*ranks: int) -> Callable[[torch.Tensor], bool]:
    return lambda t: t.dim() in ranks and t.is_floating_point()


def dimensions(target: Any) -> int:
    """2 of `conv2d`, `upsample_nearest2d`, ...; 2 where the name has no number."""
    return next((int(c) for c in "123" if f"{c}d" in str(target)), 2)


def _whole(t: torch.Tensor) -> bool:
    return not t.is_floating_point()


_SUBJECTS: dict[str, Callable[[torch.Tensor], bool]] = {
    **{f"bitwise_{name}": _whole for name in ("and", "or", "xor", "not")},
    "where": lambda t: t.dtype is torch.bool,
    **{f"{name}{n}d": _windowed(n + 2) for n in (1, 2, 3) for name in (
        "conv", "conv_transpose", "avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool",
        "upsample_nearest", "reflection_pad", "replication_pad")},
    "upsample_linear1d": _windowed(3), "upsample_bilinear2d": _windowed(4),
    "upsample_bicubic2d": _windowed(4), "upsample_trilinear3d": _windowed(5),
    "_upsample_nearest_exact2d": _windowed(4), "grid_sampler": _windowed(4),
    "grid_sampler_2d": _windowed(4), "pixel_shuffle": _windowed(4), "pixel_unshuffle": _windowed(4),
    "batch_norm": _windowed(2, 3, 4), "group_norm": _windowed(2, 3, 4),
    "instance_norm": _windowed(3, 4), "layer_norm": _windowed(1, 2, 3, 4),
    "linear": _windowed(1, 2, 3), "mm": _windowed(2), "bmm": _windowed(3), "mv": _windowed(2),
    "dot": _windowed(1), "scaled_dot_product_attention": _windowed(3, 4),
}  # fmt: skip
"""Which values an operator may be about."""


def _subject(draw: Draw, target: Any, values: Values) -> Any:
    """What a call is about: a value that fits, or a new one."""
    wanted = _SUBJECTS.get(family(target), lambda t: True)
    found = values.pick(wanted)
    if found is not None:
        return found
    kinds = [
        (rank, dtype)
        for dtype in TYPES
        for rank in range(6)
        if wanted(torch.empty((1,) * rank, dtype=dtype))
    ]
    rank, dtype = draw(st.sampled_from(kinds))
    return values.fresh([draw(SIZES) for _ in range(rank)], dtype)


Related = tuple[list[int], torch.dtype, int, int]


def _channel(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    axis = (
        1
        if "norm" in str(target) and "layer" not in str(target) and "rms" not in str(target)
        else -1
    )
    shape = (
        list(bound["normalized_shape"])
        if "normalized_shape" in bound
        else [x.shape[axis] if x.dim() > 1 else 1]
    )
    return shape, torch.float32, -3, 3


def _positive_channel(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    return [x.shape[1] if x.dim() > 1 else 1], torch.float32, 1, 3


def _weight(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    name, inner = family(target), x.shape[-1] if x.dim() else 1
    if name.startswith("conv"):
        channels = x.shape[1] if x.dim() > 1 else 1
        window = [draw(st.integers(1, 3)) for _ in range(dimensions(target))]
        pair = [channels, draw(st.integers(1, 3))]
        return [*(pair if "transpose" in name else pair[::-1]), *window], torch.float32, -2, 2
    if name == "embedding":
        return [5, 3], torch.float32, -3, 3
    if name == "linear":
        return [draw(SIZES), inner], torch.float32, -2, 2
    return _channel(draw, target, x, bound)


def _bias(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    weight = bound.get("weight")
    if weight is not None and family(target).startswith(("conv", "linear")):
        count = weight.meta["val"].shape[1 if "transpose" in str(target) else 0]
        return [int(count)], torch.float32, -2, 2
    return _channel(draw, target, x, bound)


def _second_matrix(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    batch = list(x.shape[:-2]) if x.dim() > 2 else []
    return [*batch, x.shape[-1] if x.dim() else 1, draw(SIZES)], x.dtype, -2, 2


def _vector(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    return [x.shape[-1] if x.dim() else 1], x.dtype, -2, 2


def _rows(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    return [draw(SIZES)], torch.int64, 0, 2


def _index(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    axis = bound.get("dim", 0)
    size = x.shape[axis] if x.dim() and -x.dim() <= axis < x.dim() else 1
    flat = family(target) in ("index_select", "index_add", "index_copy", "index_fill")
    shape = [draw(SIZES)] if flat else [draw(st.integers(min(n, 1), n)) for n in x.shape]
    return shape, torch.int64, 0, size - 1


def _keys(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    if x.dim() < 2:
        return list(x.shape), x.dtype, -2, 2
    key = bound.get("key")
    columns = key.meta["val"].shape[-2] if key is not None else draw(SIZES)
    return [*x.shape[:-2], int(columns), x.shape[-1]], x.dtype, -2, 2


def _attention_mask(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    key = bound.get("key")
    if x.dim() < 2 or key is None:
        return [], torch.bool, 0, 1
    shape = [x.shape[-2], int(key.meta["val"].shape[-2])]
    return shape, draw(st.sampled_from([torch.bool, x.dtype])), -2, 2


def _grid(draw: Draw, target: Any, x: torch.Tensor, bound: dict[str, Any]) -> Related:
    batch = [x.shape[0]] if x.dim() else []
    return [*batch, draw(SIZES), draw(SIZES), 2], torch.float32, -1, 1


_RELATED: dict[str, Callable[..., Related]] = {
    "weight": _weight, "bias": _bias, "running_mean": _channel, "running_var": _positive_channel,
    "mat2": _second_matrix, "vec": _vector, "index": _index, "indices": _rows, "grid": _grid,
    "key": _keys, "attn_mask": _attention_mask,
    "scaled_dot_product_attention.value": _keys,
}  # fmt: skip
"""Argument, or operator and argument -> shape, type, least and largest element of a new value."""


def joinable(draw: Draw, values: Values) -> list[Any]:
    """Values that may be joined."""
    first = values.pick(lambda t: t.dim() > 0) or values.fresh([2, 3], torch.float32)
    like = values.tensor(first)
    parts = [first]
    for _ in range(draw(st.integers(0, 2))):
        found = values.pick(lambda t: t.shape == like.shape)
        parts.append(found if found is not None else values.fresh(like.shape, like.dtype))
    return parts


def index_list(draw: Draw, x: torch.Tensor | None, values: Values) -> list[Any]:
    """Index tensors for leading dimensions, None for some; all of one shape."""
    shape = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(0, 2)))]
    result: list[Any] = []
    for size in x.shape if x is not None else ():
        chosen = draw(st.booleans())
        result.append(values.fresh(shape, torch.int64, -size, size - 1) if chosen else None)
    return result
