# SPDX-License-Identifier: Apache-2.0
"""What a write through a view does to the tensor under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import fx

from edge_trt.lowering.edit import aten, insert, tensor
from edge_trt.lowering.shapes import same_shape, size_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

_SAME = {
    aten.alias.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.detach_.default,
    aten.dropout.default,
    aten.alpha_dropout.default,
    aten.feature_dropout.default,
    aten.lift_fresh.default,
    aten.positive.default,
    aten.resolve_conj.default,
    aten.resolve_neg.default,
    aten.to.device,
    aten.to.dtype,
    aten.to.dtype_layout,
    aten.to.other,
    aten.type_as.default,
}
_RESHAPING = {
    aten.reshape.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten.view.default,
    aten.squeeze_.default,
    aten.squeeze_.dim,
    aten.squeeze_.dims,
    aten.unsqueeze_.default,
}


def can_write_back(view: fx.Node) -> bool:
    """Whether a write through this kind of view can be carried to the tensor under it."""
    return view.target in _SAME or view.target in _RESHAPING or view.target in _INVERSES


def write_back(
    gm: fx.GraphModule, before: fx.Node, view: fx.Node, base: fx.Node, written: fx.Node
) -> fx.Node | None:
    """Return ``base`` with the elements that ``view`` shows replaced by ``written``.

    Args:
        gm: Module that owns the graph.
        before: New nodes come before this one.
        view: The call that made the view of ``base``.
        base: Current value of the viewed tensor.
        written: New value of the view.

    Returns:
        The node that yields the new base (``written`` itself where the view shows it as a whole),
        or None for a kind of view that is not understood here.
    """
    if view.target in _SAME:
        return written
    if view.target in _RESHAPING:
        return _reshape_back(gm, before, base, written)
    inverse = _INVERSES.get(view.target)
    if inverse is None:
        return None
    target, args = inverse(view, base, written)
    return insert(gm, before, target, args, like=view, val=base.meta["val"])


def _reshape_back(
    gm: fx.GraphModule, before: fx.Node, base: fx.Node, written: fx.Node
) -> fx.Node | None:
    shown, under = tensor(written), tensor(base)
    if shown is None or under is None:
        return None
    if same_shape(shown.shape, under.shape):
        return written
    sizes = size_arguments(gm, under.shape, [base], before)
    if sizes is None:
        return None
    return insert(gm, before, aten.reshape.default, (written, sizes), val=base.meta["val"])


def _permute(view: fx.Node, base: fx.Node, written: fx.Node) -> tuple[Any, tuple[Any, ...]]:
    dims = list(view.args[1])  # type: ignore[arg-type]
    return aten.permute.default, (written, [dims.index(dim) for dim in range(len(dims))])


def _transpose(view: fx.Node, base: fx.Node, written: fx.Node) -> tuple[Any, tuple[Any, ...]]:
    return aten.transpose.int, (written, *view.args[1:])


def _matrix_transpose(
    view: fx.Node, base: fx.Node, written: fx.Node
) -> tuple[Any, tuple[Any, ...]]:
    return aten.t.default, (written,)


def _slice(view: fx.Node, base: fx.Node, written: fx.Node) -> tuple[Any, tuple[Any, ...]]:
    return aten.slice_scatter.default, (base, written, *view.args[1:])


def _select(view: fx.Node, base: fx.Node, written: fx.Node) -> tuple[Any, tuple[Any, ...]]:
    return aten.select_scatter.default, (base, written, *view.args[1:])


def _diagonal(view: fx.Node, base: fx.Node, written: fx.Node) -> tuple[Any, tuple[Any, ...]]:
    return aten.diagonal_scatter.default, (base, written, *view.args[1:])


_INVERSES: dict[object, Callable[..., tuple[Any, tuple[Any, ...]]]] = {
    aten.permute.default: _permute,
    aten.transpose.int: _transpose,
    aten.transpose_.default: _transpose,
    aten.t.default: _matrix_transpose,
    aten.t_.default: _matrix_transpose,
    aten.slice.Tensor: _slice,
    aten.select.int: _select,
    aten.diagonal.default: _diagonal,
}
