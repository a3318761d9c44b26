# SPDX-License-Identifier: Apache-2.0
"""Rules for operators that only rearrange: reshape, permute, expand, slice, and casts.

A rule rewrites one call in place, keeps the value it yields, and also keeps whether the result
shares memory with the input: these rules run before in-place operators are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import fx

from edge_trt.lowering.edit import aten, retarget, tensor
from edge_trt.lowering.shapes import is_static, reshape_arguments, same_size, size_arguments

Rule = Callable[[fx.GraphModule, fx.Node], bool]


def _sources(node: fx.Node) -> list[fx.Node]:
    """Return the nodes beside the tensor itself: they may yield a symbolic size of the result."""
    return [source for source in node.all_input_nodes if source is not node.args[0]]


def _reshape(gm: fx.GraphModule, node: fx.Node) -> bool:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    shape = reshape_arguments(gm, node, source, _sources(node))
    return shape is not None and retarget(node, aten.reshape.default, (source, shape))


def _permutation(order: Callable[..., list[int] | None]) -> Rule:
    """Make a rule from a function ``(rank, *arguments) -> permutation``."""

    def rule(gm: fx.GraphModule, node: fx.Node) -> bool:
        source = tensor(node.args[0])
        dims = None if source is None else order(source.dim(), *node.args[1:])
        return dims is not None and retarget(node, aten.permute.default, (node.args[0], dims))

    return rule


def _swap(rank: int, first: int, second: int) -> list[int]:
    dims = list(range(rank))
    if rank:
        dims[first], dims[second] = dims[second], dims[first]
    return dims


def _reverse(rank: int) -> list[int]:
    return list(range(rank))[::-1]


def _matrix(rank: int) -> list[int] | None:
    return _swap(rank, -2, -1) if rank >= 2 else None


def _wrap(rank: int, dims: Sequence[int]) -> list[int]:
    return [dim % max(rank, 1) for dim in dims]  # a scalar takes -1 and 0


def _move(rank: int, source: int | list[int], destination: int | list[int]) -> list[int]:
    sources = _wrap(rank, [source] if isinstance(source, int) else source)
    targets = _wrap(rank, [destination] if isinstance(destination, int) else destination)
    rest = iter([dim for dim in range(rank) if dim not in sources])
    placed = dict(zip(targets, sources, strict=True))
    return [placed[dim] if dim in placed else next(rest) for dim in range(rank)]


def _expand(gm: fx.GraphModule, node: fx.Node) -> bool:
    source, result = tensor(node.args[0]), tensor(node)
    if source is None or result is None:
        return False
    pad = result.dim() - source.dim()
    sizes: list[Any] = []
    for dim, size in enumerate(result.shape):
        if dim >= pad and same_size(source.shape[dim - pad], size):
            sizes.append(-1)
        else:
            found = size_arguments(gm, [size], _sources(node), node)
            if found is None or found == [-1]:
                return False
            sizes += found
    return retarget(node, aten.expand.default, (node.args[0], sizes))


def _cast(gm: fx.GraphModule, node: fx.Node) -> bool:
    source, result = tensor(node.args[0]), tensor(node)
    if source is None or result is None or source.dtype == result.dtype:
        return False  # an identity: `to` returns its input then, remove_no_ops knows
    return retarget(node, aten._to_copy.default, (node.args[0],), {"dtype": result.dtype})


def _bounds(size: Any, start: Any, end: Any) -> tuple[Any, Any]:
    """Clamp the numbers among the bounds of a slice into the size, where it is known."""
    start = 0 if start is None else start
    if not is_static(size):
        return start, 2**63 - 1 if end is None else end
    end = size if end is None else end

    def clamp(bound: Any) -> Any:
        if not isinstance(bound, int):
            return bound
        return min(max(bound + size if bound < 0 else bound, 0), size)

    return clamp(start), clamp(end)


def _slice(gm: fx.GraphModule, node: fx.Node) -> bool:
    source = tensor(node.args[0])
    if source is None:
        return False
    args: list[Any] = [*node.args, *(0, None, None, 1)[len(node.args) - 1 :]]
    names = ("dim", "start", "end", "step")
    dim, start, end, step = (node.kwargs.get(n, a) for n, a in zip(names, args[1:], strict=True))
    dim = int(dim) % source.dim()  # type: ignore[arg-type]
    start, end = _bounds(source.shape[dim], start, end)
    return retarget(node, aten.slice.Tensor, (args[0], dim, start, end, step))


def _narrow(gm: fx.GraphModule, node: fx.Node) -> bool:
    args: Any = node.args
    source, dim, start, length = args
    found = tensor(source)
    if found is None or not (isinstance(start, int) and isinstance(length, int)):
        return False
    size = found.shape[dim % found.dim()]  # type: ignore[operator]
    if start < 0:
        if not is_static(size):
            return False
        start += size
    return retarget(
        node,
        aten.slice.Tensor,
        (source, dim % found.dim(), start, start + length, 1),  # type: ignore[operator]
    )


def _select(gm: fx.GraphModule, node: fx.Node) -> bool:
    args: Any = node.args
    source, dim, index = args
    found = tensor(source)
    if found is None:
        return False
    dim %= found.dim()  # type: ignore[operator]
    if isinstance(index, int) and index < 0 and is_static(found.shape[dim]):
        index += found.shape[dim]
    return retarget(node, aten.select.int, (source, dim, index))


RULES: dict[object, Rule] = {
    aten.view.default: _reshape,
    aten.view_copy.default: _reshape,
    aten._unsafe_view.default: _reshape,
    aten._reshape_copy.default: _reshape,
    aten._reshape_alias.default: _reshape,
    aten.reshape.default: _reshape,
    aten.reshape_as.default: _reshape,
    aten.view_as.default: _reshape,
    aten.flatten.using_ints: _reshape,
    aten.unflatten.int: _reshape,
    aten.ravel.default: _reshape,
    aten.permute.default: _permutation(_wrap),
    aten.permute_copy.default: _permutation(_wrap),
    aten.transpose.int: _permutation(_swap),
    aten.transpose_copy.int: _permutation(_swap),
    aten.swapaxes.default: _permutation(_swap),
    aten.swapdims.default: _permutation(_swap),
    aten.t.default: _permutation(_reverse),
    aten.t_copy.default: _permutation(_reverse),
    aten.numpy_T.default: _permutation(_reverse),
    aten.mT.default: _permutation(_matrix),
    aten.movedim.int: _permutation(_move),
    aten.movedim.intlist: _permutation(_move),
    aten.moveaxis.int: _permutation(_move),
    aten.moveaxis.intlist: _permutation(_move),
    aten.expand.default: _expand,
    aten.expand_copy.default: _expand,
    aten.expand_as.default: _expand,
    aten.broadcast_to.default: _expand,
    aten.to.dtype: _cast,
    aten.to.device: _cast,
    aten.to.dtype_layout: _cast,
    aten.to.other: _cast,
    aten.type_as.default: _cast,
    aten._to_copy.default: _cast,
    aten.slice.Tensor: _slice,
    aten.slice_copy.Tensor: _slice,
    aten.narrow.default: _narrow,
    aten.select.int: _select,
    aten.select_copy.int: _select,
}
