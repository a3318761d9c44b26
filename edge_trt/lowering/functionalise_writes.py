# SPDX-License-Identifier: Apache-2.0
"""In-place operators become their out-of-place twins, without tracing the program again."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch.fx.node import map_arg

from edge_trt.lowering.aliasing import parents, written_memory
from edge_trt.lowering.edit import aten, insert, propagate, retarget, tensor, writes
from edge_trt.lowering.unlifting import STATE
from edge_trt.lowering.view_inverses import can_write_back, write_back

_RETYPED = {
    "eq", "ge", "greater", "greater_equal", "gt", "isinf", "isnan", "le", "less", "less_equal",
    "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "ne", "not_equal",
}  # fmt: skip
"""Twins of these yield booleans, while the in-place operator keeps the type of its tensor."""


def functionalise_writes(gm: fx.GraphModule) -> bool:
    """Replace every write to a tensor by a new value that later readers get instead.

    Where nothing else shares the memory, which is nearly always, that is a change of one word. A
    write through a view is carried back to the tensors under it, and views that are read later are
    taken again::

        before  z = relu_(y)          v = slice(x, 1, 1, 3); add_(v, 1); use(x)
        after   z = relu(y)           v = slice(x, 1, 1, 3); a = add(v, 1)
                                      s = slice_scatter(x, a, 1, 1, 3); use(s)

    All or nothing: when one write can't be carried back (a kind of view without inverse, an
    operator without twin), the graph stays as it is, and ``lower`` lets torch functionalise it by
    tracing.
    """
    targets = [node for node in gm.graph.nodes if writes(node.target)]
    if not targets or not all(_has_twin(node) for node in targets):
        return False
    shown = written_memory(gm)
    views = parents(shown)
    if views is None or not all(_reaches_root(node, views) for node in targets):
        return False
    _note_state(gm, targets, views)
    _Rewriter(gm, shown, views).run()
    return True


def _has_twin(node: fx.Node) -> bool:
    """Whether a call writes to its first argument only, and a twin without the write exists."""
    names = writes(node.target)
    first = node.target._schema.arguments[0].name  # type: ignore[union-attr]
    written = node.args[0] if node.args else None
    return names == (first,) and isinstance(written, fx.Node) and twin(node.target) is not None


@lru_cache(maxsize=256)
def twin(target: OpOverload) -> OpOverload | None:
    """Return the operator that yields what ``target`` would write, or None when there is none."""
    namespace, name = target._schema.name.split("::")
    if not name.endswith("_") or name.endswith("__"):
        return None
    if torch.Tag.inplace_view in target.tags and name[:-1] not in _RELABELLING:
        return None
    packet = getattr(getattr(torch.ops, namespace), name[:-1], None)
    found = getattr(packet, target._overloadname, None)
    if found is None or writes(found):
        return None
    return found if _signature(found) == _signature(target) else None


def _signature(target: OpOverload) -> list[tuple[str, bool]]:
    """Return the argument types; names may differ (``dropout`` and ``dropout_`` do)."""
    return [(str(arg.type), arg.kwarg_only) for arg in target._schema.arguments]


_RELABELLING = {"detach", "squeeze", "swapaxes", "swapdims", "t", "transpose", "unsqueeze"}
"""Of these the in-place form changes the shape that one Python object has, and no memory."""


def _relabels(target: Any) -> bool:
    return torch.Tag.inplace_view in target.tags


def _reaches_root(node: fx.Node, views: dict[fx.Node, fx.Node]) -> bool:
    """Whether a write can be carried from the written view back to the memory's first owner."""
    if _relabels(node.target):
        return True
    view: fx.Node = node.args[0]  # type: ignore[assignment]
    while view in views:
        if not writes(view.target) and not can_write_back(view):
            return False
        if _relabels_view(view) and not can_write_back(view):
            return False
        view = views[view]
    return True


def _relabels_view(view: fx.Node) -> bool:
    return bool(writes(view.target)) and _relabels(view.target)


def _note_state(gm: fx.GraphModule, targets: list[fx.Node], views: dict[fx.Node, fx.Node]) -> None:
    """Remember which buffers the program writes to: whether that matters is decided later."""
    for node in targets:
        root: fx.Node = node.args[0]  # type: ignore[assignment]
        while root in views:
            root = views[root]
        if root.op == "get_attr" and not _relabels(node.target):
            gm.meta.setdefault(STATE, set()).add(root.meta["fqn"])


class _Rewriter:
    """Walks the graph once, knowing for each node of a written storage the node with its value now.

    Attributes:
        shown: Node -> storage, for all nodes that share a storage with a written one.
        views: View -> the node it views.
        calls: The call that made each view, as it was before arguments were updated.
        latest: Node -> node that has its value, as of version ``stamp[node]`` of the storage.
        version: Storage -> number of writes so far.
    """

    def __init__(
        self, gm: fx.GraphModule, shown: dict[fx.Node, int], views: dict[fx.Node, fx.Node]
    ) -> None:
        self.gm = gm
        self.shown = shown
        self.views = views
        self.calls: dict[fx.Node, tuple[Any, Any, Any]] = {}
        self.latest: dict[fx.Node, fx.Node] = {}
        self.stamp: dict[fx.Node, int] = {}
        self.version = dict.fromkeys(shown.values(), 0)

    def run(self) -> None:
        """Rewrite the graph."""
        for node in list(self.gm.graph.nodes):
            if not self.shown.keys().isdisjoint(node.all_input_nodes):
                self._visit(node)
            elif node in self.shown:
                self._set(node, node)

    def _visit(self, node: fx.Node) -> None:
        if writes(node.target):
            if not _relabels(node.target):
                self._write(node)
                return
            node.target = twin(node.target)  # type: ignore[arg-type]
        self.calls[node] = (node.target, node.args, node.kwargs)
        self._update_arguments(node)
        if node in self.shown:
            self._set(node, node)

    def _update_arguments(self, node: fx.Node) -> None:
        node.args = map_arg(node.args, lambda arg: self._current(arg, node))
        node.kwargs = map_arg(node.kwargs, lambda arg: self._current(arg, node))

    def _set(self, node: fx.Node, now: fx.Node) -> None:
        self.latest[node], self.stamp[node] = now, self.version[self.shown[node]]

    def _current(self, node: fx.Node, reader: fx.Node) -> fx.Node:
        """Return the node with the value that ``node`` has now; take a stale view again."""
        if node not in self.shown:
            return node
        if self.stamp[node] != self.version[self.shown[node]]:
            if node in self.calls:
                target, args, kwargs = self.calls[node]
                args = map_arg(args, lambda arg: self._current(arg, reader))
                kwargs = map_arg(kwargs, lambda arg: self._current(arg, reader))
                val = node.meta["val"]
                now = insert(self.gm, reader, target, args, kwargs, like=node, val=val)
            else:  # the result of a write is the tensor that was written to
                now = self._current(self.views[node], reader)
            self._set(node, now)
        return self.latest[node]

    def _write(self, node: fx.Node) -> None:
        written: fx.Node = node.args[0]  # type: ignore[assignment]
        chain = [written]
        while chain[-1] in self.views:
            chain.append(self.views[chain[-1]])
        bases = [self._current(shown, node) for shown in chain]
        self._update_arguments(node)
        after = node.next
        now = self._out_of_place(node, after)
        self.version[self.shown[written]] += 1
        self._set(node, now)
        self._set(written, now)
        for view, parent, base in zip(chain, chain[1:], bases[1:], strict=False):
            if view in self.calls:
                back = write_back(self.gm, after, view, base, now)
                assert back is not None, f"{view.target} was checked to have an inverse"
                now = back
            self._set(parent, now)

    def _out_of_place(self, node: fx.Node, after: fx.Node) -> fx.Node:
        """Retarget a write to its twin; keep the data type, as in-place operators do."""
        target = twin(node.target)  # type: ignore[arg-type]
        assert target is not None
        kept = node.meta["val"].dtype
        retarget(node, target, node.args, node.kwargs)
        types = {found.dtype for found in map(tensor, node.all_input_nodes) if found is not None}
        plain = kept.is_floating_point and target._schema.name.split("::")[1] not in _RETYPED
        if types == {kept} and plain:  # integers are summed up as int64
            return node
        val = propagate(self.gm, target, node.args, node.kwargs)
        if val.dtype == kept:
            return node
        cast = insert(
            self.gm, after, aten._to_copy.default, (node,), {"dtype": kept}, like=node,
            val=node.meta["val"],
        )  # fmt: skip
        node.meta["val"] = val
        return cast
