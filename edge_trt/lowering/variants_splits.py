# SPDX-License-Identifier: Apache-2.0
"""Rules for operators that yield a list of pieces: every piece in use becomes a slice or a select.

TensorRT has no splitting layer, so a piece costs one slice either way, and unused ones cost
nothing.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from torch import fx

from edge_trt.lowering.edit import arguments, aten, retarget, tensor

if TYPE_CHECKING:
    from edge_trt.lowering.variants_views import Rule

_END = 2**63 - 1  # what torch writes for an end that is left out
_FIXED_DIM = {"hsplit": 1, "vsplit": 0, "dsplit": 2}


def _pieces(node: fx.Node) -> list[tuple[fx.Node, int]] | None:
    """Return the users with the piece each takes, or None when one takes the list as a whole."""
    pieces = node.meta["val"]
    result = []
    for user in node.users:
        if user.target is not operator.getitem:
            return None
        result.append((user, int(user.args[1]) % len(pieces)))  # type: ignore[arg-type]
    return result


def _unbind(gm: fx.GraphModule, node: fx.Node) -> bool:
    pieces, source = _pieces(node), node.args[0]
    found = tensor(source)
    if pieces is None or found is None:
        return False
    dim = int(arguments(node)["dim"]) % found.dim()
    for user, index in pieces:
        retarget(user, aten.select.int, (source, dim, index))
    gm.graph.erase_node(node)
    return True


def _split(gm: fx.GraphModule, node: fx.Node) -> bool:
    pieces, source = _pieces(node), node.args[0]
    found = tensor(source)
    if pieces is None or found is None:
        return False
    name = node.target._schema.name.split("::")[1]  # type: ignore[union-attr]
    dim = _FIXED_DIM.get(name)
    if dim is None:
        dim = int(arguments(node)["dim"]) % found.dim()
    dim = min(dim, found.dim() - 1)  # hsplit cuts a vector along its only dimension
    places = arguments(node).get("indices")
    if places is not None:  # they slice as Python does: pieces may overlap, or leave a gap
        bounds = list(zip([0, *places], [*places, _END], strict=True))
    else:
        bounds = _bounds([piece.shape[dim] for piece in node.meta["val"]])
    if any(bounds[index] is None for _, index in pieces):
        return False  # a symbolic size is cut into equal parts: left to its converter
    for user, index in pieces:
        retarget(user, aten.slice.Tensor, (source, dim, *bounds[index], 1))  # type: ignore[misc]
    gm.graph.erase_node(node)
    return True


def _bounds(sizes: list[Any]) -> list[tuple[int, int] | None]:
    """Return start and end of every piece; None from the first one of unknown size on."""
    bounds: list[tuple[int, int] | None] = []
    start: int | None = 0
    for index, size in enumerate(sizes):
        if start is None:
            bounds.append(None)
        elif isinstance(size, int):
            bounds.append((start, start + size))
            start += size
        else:
            bounds.append((start, _END) if index == len(sizes) - 1 else None)
            start = None
    return bounds


RULES: dict[object, Rule] = {
    aten.unbind.int: _unbind,
    aten.unbind_copy.int: _unbind,
    aten.chunk.default: _split,
    aten.split.Tensor: _split,
    aten.split.sizes: _split,
    aten.split_copy.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.split_with_sizes_copy.default: _split,
    aten.unsafe_chunk.default: _split,
    aten.unsafe_split.Tensor: _split,
    aten.unsafe_split_with_sizes.default: _split,
    aten.tensor_split.sections: _split,
    aten.tensor_split.indices: _split,
    aten.hsplit.int: _split,
    aten.hsplit.array: _split,
    aten.vsplit.int: _split,
    aten.vsplit.array: _split,
    aten.dsplit.int: _split,
    aten.dsplit.array: _split,
}
