# SPDX-License-Identifier: Apache-2.0
"""Chains of reshape, permute, squeeze and unsqueeze become the shortest equal chain."""

from __future__ import annotations

from typing import Any

from torch import fx

from edge_trt.lowering.edit import aten, calls, insert, replace, retarget, tensor
from edge_trt.lowering.shapes import reshape_arguments, same_size

_SQUEEZES = {aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims}
_ONES = {aten.unsqueeze.default, *_SQUEEZES}
"""Operators that add or drop dimensions of size one."""
_DIMS = {aten.permute.default, *_ONES}


def merge_views(gm: fx.GraphModule) -> bool:
    """Compose operators that only rearrange dimensions.

    ::

        before  r = reshape(x, [2, 8]); reshape(unsqueeze(r, 0), [4, 4])
                u = unsqueeze(y, 0); p = permute(u, [2, 1, 0, 3]); squeeze(p, 2)
        after   reshape(x, [4, 4])
                permute(y, [1, 0, 2])

    A permutation that moves dimensions of size one only counts as a reshape. Intermediate results
    with other readers stay for those.
    """
    changed = False
    for node in calls(gm):
        if node.target is aten.reshape.default:
            changed |= _permute_once(gm, node)
    for node in calls(gm):
        if node.target in _DIMS:
            changed |= _shorten(gm, node)
    for node in calls(gm):  # what no permutation has taken up goes into the reshape before it
        if node.target in _ONES:
            changed |= _onto_reshape(gm, node)
    for node in calls(gm):
        if node.target is aten.reshape.default:
            changed |= _skip_reshapes(node)
    return changed


def _permute_once(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Below a reshape no dimension of size one matters: one permutation is enough."""
    chain: list[fx.Node] = []
    below: Any = node.args[0]
    while _continues(below):
        chain.append(below)
        below = below.args[0]
    found = tensor(below)
    dims = _track(chain[::-1], found.dim()) if found is not None and len(chain) > 1 else None
    if found is None or dims is None:
        return False
    kept = [dim for dim in dims if dim is not None]
    order = [*kept, *(dim for dim in range(found.dim()) if dim not in kept)]
    if kept != sorted(kept):
        below = insert(gm, node, aten.permute.default, (below, order), like=chain[0])
    node.args = (below, *node.args[1:])
    return True


def _skip_reshapes(node: fx.Node) -> bool:
    """A reshape of a reshape is a reshape of the first input."""
    source: Any = node.args[0]
    while _keeps_order(source):
        source = source.args[0]
    if source is node.args[0]:
        return False
    node.args = (source, *node.args[1:])
    return True


def _order(node: fx.Node) -> list[int]:
    return list(node.args[1])  # type: ignore[arg-type]


def _keeps_order(node: fx.Node) -> bool:
    """Whether a call leaves the elements in their order."""
    if node.target is aten.permute.default:
        found = tensor(node.args[0])
        assert found is not None
        moved = [dim for dim in _order(node) if not same_size(found.shape[dim], 1)]
        return moved == sorted(moved)
    return node.target is aten.reshape.default or node.target in _ONES


def _onto_reshape(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Make squeeze or unsqueeze of a reshape part of the reshape."""
    below = node.args[0]
    if node.target not in _ONES or not isinstance(below, fx.Node) or len(below.users) > 1:
        return False
    if below.target is not aten.reshape.default:
        return False
    source, *hints = below.all_input_nodes
    shape = reshape_arguments(gm, node, source, hints)
    return shape is not None and retarget(node, aten.reshape.default, (source, shape))


def _shorten(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Replace a chain that ends here by squeeze, permute, unsqueeze, as far as each is needed."""
    readers = list(node.users)
    if len(readers) == 1 and readers[0].target in _DIMS:
        return False  # the end of the chain will see this call too
    chain = [node]
    while _continues(chain[-1].args[0]):
        chain.append(chain[-1].args[0])  # type: ignore[arg-type]
    source: fx.Node = chain[-1].args[0]  # type: ignore[assignment]
    found = tensor(source)
    assert found is not None
    dims = _track(chain[::-1], found.dim())
    if dims is None:
        return False
    dropped = [dim for dim in range(found.dim()) if dim not in dims]
    for position, dim in enumerate(dims):  # a new dimension may as well be one that was dropped
        if dim is None and dropped:
            dims[position] = dropped.pop(0)
    kept = [dim for dim in dims if dim is not None]
    permuted = kept != sorted(kept)
    added = [position for position, dim in enumerate(dims) if dim is None]
    if bool(dropped) + permuted + len(added) >= len(chain):
        return False
    replace(node, _emit(gm, node, source, dropped, kept if permuted else None, added))
    return True


def _continues(source: Any) -> bool:
    return isinstance(source, fx.Node) and source.target in _DIMS and len(source.users) == 1


def _track(chain: list[fx.Node], rank: int) -> list[int | None] | None:
    """Return the source dimension behind every result dimension; None for a new one of size one."""
    dims: list[int | None] = list(range(rank))
    for node in chain:
        if node.target is aten.permute.default:
            dims = [dims[dim] for dim in _order(node)]
        elif node.target is aten.unsqueeze.default:
            dims.insert(int(node.args[1]) % (len(dims) + 1), None)  # type: ignore[arg-type]
        else:
            gone = _squeezed(node)
            if gone is None:
                return None
            dims = [dim for position, dim in enumerate(dims) if position not in gone]
    return dims


def _squeezed(node: fx.Node) -> set[int] | None:
    """Return the dimensions that a squeeze drops, or None when that is known at run time only."""
    source, result = tensor(node.args[0]), tensor(node)
    assert source is not None
    assert result is not None
    if node.target is aten.squeeze.default:
        asked = list(range(source.dim()))
    else:
        given: Any = node.args[1]
        asked = [dim % source.dim() for dim in ([given] if isinstance(given, int) else given)]
    gone = {dim for dim in asked if isinstance(source.shape[dim], int) and source.shape[dim] == 1}
    return gone if source.dim() - len(gone) == result.dim() else None


def _emit(
    gm: fx.GraphModule,
    node: fx.Node,
    source: fx.Node,
    dropped: list[int],
    order: list[int] | None,
    added: list[int],
) -> fx.Node:
    new = source
    if dropped:
        new = insert(gm, node, aten.squeeze.dims, (new, dropped))
    if order is not None:
        rank = {dim: position for position, dim in enumerate(sorted(order))}
        new = insert(gm, node, aten.permute.default, (new, [rank[dim] for dim in order]))
    for position in added:
        new = insert(gm, node, aten.unsqueeze.default, (new, position))
    return new
