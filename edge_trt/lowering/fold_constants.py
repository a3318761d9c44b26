# SPDX-License-Identifier: Apache-2.0
"""What depends on weights and numbers alone is computed once, now."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch.fx.node import map_arg

from edge_trt.lowering.aliasing import storage, written_memory
from edge_trt.lowering.edit import (
    add_constant,
    aten,
    constant,
    is_pure,
    is_random,
    module_path,
    replace,
    tensor,
    value,
    writes,
)
from edge_trt.lowering.shapes import static_shape
from edge_trt.lowering.stable_sorts import StableSorts

LIMIT = 64 << 20
"""Bytes: a larger result that is also larger than its inputs together stays an operator."""

_SHAPE_ONLY = {
    aten.empty_like.default,
    aten.full_like.default,
    aten.new_empty.default,
    aten.new_full.default,
    aten.new_ones.default,
    aten.new_zeros.default,
    aten.ones_like.default,
    aten.zeros_like.default,
}
"""Operators that read no element of their tensor: constant as soon as the size is known."""

_COPIES = {aten.clone.default, aten.contiguous.default, aten.lift_fresh_copy.default}
_NEVER = {aten._local_scalar_dense.default, aten.item.default}
_EMPTY = {aten.empty.memory_format, aten.empty_like.default, aten.new_empty.default}


def fold_constants(gm: fx.GraphModule) -> bool:
    """Execute the regions of the graph that read nothing but constants, and keep what others read.

    ::

        before  t = permute(weight, [1, 0]); z = new_zeros(x, [4]); fill_(slice(z, 0, 0, 2), 1)
                matmul(x, t); add(x, z)
        after   matmul(x, <weight.T>); add(x, <1, 1, 0, 0>)

    Regions run eagerly and in order, so writes inside are right by construction; a storage that
    also something outside the region writes to, or that belongs to a buffer of the model, takes no
    part. Left as operators: random ones, quantisation (a folded dequantisation would lose the
    integers), and results that would inflate the program (see ``LIMIT``). What has no elements is
    constant wherever it comes from: TensorRT and ONNX Runtime disagree with PyTorch about it.
    """
    changed = _fold_numbers(gm)
    shown = written_memory(gm)
    fixed, kept = _constant_nodes(gm, shown)
    if fixed:
        private = {node: identity for node, identity in shown.items() if identity not in kept}
        changed |= _Folder(gm, fixed, private).run()
    return changed


def _fold_numbers(gm: fx.GraphModule) -> bool:
    """Replace nodes that yield a plain number (a static size, arithmetic on such) by the number."""
    changed = False
    for node in list(gm.graph.nodes):
        number = type(value(node)) in (int, float, bool) and node.op == "call_function"
        if number and is_pure(node):
            replace(node, value(node))
            changed = True
    return changed


def _constant_nodes(gm: fx.GraphModule, shown: dict[fx.Node, int]) -> tuple[set[fx.Node], set[int]]:
    """Return the constant nodes, and the written memories that take no part.

    A memory takes part when everything that shows it is a constant call. One that does not makes
    its readers variable, which may spoil another: hence the loop, which rarely turns twice.
    """
    kept: set[int] = {shown[node] for node in shown if node.op != "call_function"}
    while True:
        fixed: set[fx.Node] = set()
        for node in gm.graph.nodes:
            if shown.get(node, -1) not in kept and _is_constant(gm, node, fixed, node in shown):
                fixed.add(node)
        spoilt = {identity for node, identity in shown.items() if node not in fixed} - kept
        if not spoilt:
            return fixed, kept
        kept |= spoilt


def _is_constant(gm: fx.GraphModule, node: fx.Node, fixed: set[fx.Node], may_write: bool) -> bool:
    if node.op == "get_attr":
        return constant(gm, node) is not None
    if _is_empty(node) and not may_write:
        return True
    if node.op != "call_function" or "val" not in node.meta:
        return False
    if node.target is operator.getitem:
        return node.args[0] in fixed
    if not _is_foldable(node.target) or (writes(node.target) and not may_write):
        return False
    if node.target in _SHAPE_ONLY and static_shape(node) is not None:
        return all(source in fixed for source in node.all_input_nodes[1:])
    constant_inputs = all(source in fixed for source in node.all_input_nodes)
    return constant_inputs and _has_size(node) and not _inflates(node)


def _is_empty(node: fx.Node) -> bool:
    """Whether a tensor has no elements, whatever the inputs."""
    return node.op in ("placeholder", "call_function") and 0 in (static_shape(node) or ())


def _is_foldable(target: Any) -> bool:
    return (
        isinstance(target, OpOverload)
        and target.namespace in ("aten", "prims")
        and not is_random(target)
        and target not in _NEVER
        and not target._schema.name.startswith("aten::fake_quantize")
    )


def _has_size(node: fx.Node) -> bool:
    """Whether the graph knows how large the result is; `nonzero` of a constant is not."""
    found = value(node)
    parts = found if isinstance(found, (list, tuple)) else [found]
    return all(isinstance(p.numel(), int) for p in parts if isinstance(p, torch.Tensor))


def _inflates(node: fx.Node) -> bool:
    size = _bytes(node)
    return size > LIMIT and size > sum(map(_bytes, node.all_input_nodes))


def _bytes(node: fx.Node) -> int:
    found = value(node)
    parts = found if isinstance(found, (list, tuple)) else [found]
    return sum(
        int(part.numel()) * part.element_size() for part in parts if isinstance(part, torch.Tensor)
    )


class _Folder:
    """Executes the constant nodes in order and gives their readers attributes instead."""

    def __init__(self, gm: fx.GraphModule, fixed: set[fx.Node], shown: dict[fx.Node, int]) -> None:
        self.gm = gm
        self.fixed = fixed
        self.shown = shown
        self.version = dict.fromkeys(shown.values(), 0)
        self.values: dict[fx.Node, Any] = {}
        self.attributes: dict[tuple[fx.Node, int], fx.Node] = {}
        self.owners: dict[int, fx.Node] = {}

    def run(self) -> bool:
        """Fold; return whether a call became a constant."""
        with torch.no_grad(), StableSorts():
            for node in list(self.gm.graph.nodes):
                if node not in self.fixed:
                    self._visit_reader(node)
                elif node.op == "get_attr":
                    self.values[node] = data = constant(self.gm, node)
                    self.owners[id(data)] = node
                else:
                    self.values[node] = self._execute(node)
        for node in reversed(list(self.gm.graph.nodes)):
            if node in self.fixed and node.op == "call_function" and not node.users:
                self.gm.graph.erase_node(node)
        return bool(self.attributes)

    def _visit_reader(self, node: fx.Node) -> None:
        if any(s in self.fixed and s.op != "get_attr" for s in node.all_input_nodes):
            node.args = map_arg(node.args, lambda arg: self._attribute(arg, node))
            node.kwargs = map_arg(node.kwargs, lambda arg: self._attribute(arg, node))

    def _execute(self, node: fx.Node) -> Any:
        if _is_empty(node):
            found = tensor(node)
            assert found is not None
            return torch.empty(static_shape(node) or (), dtype=found.dtype)
        args = map_arg(node.args, self.values.get)
        kwargs = map_arg(node.kwargs, self.values.get)
        if node.target in _SHAPE_ONLY:
            args = (_hollow(node.args[0], args[0]), *args[1:])
        if node.target in _COPIES and self.shown.keys().isdisjoint((node, node.args[0])):
            return args[0]  # nothing writes to either: no second copy of a weight
        result = node.target(*args, **kwargs)  # type: ignore[operator]
        if self.shown and _is_copy(node, result, [*args, *kwargs.values()]):
            result = result.clone()
        if node.target in _EMPTY:
            result.zero_()  # what was in memory must not decide what a bundle contains
        if writes(node.target):
            self.version[self.shown[node]] += 1
        return result

    def _attribute(self, source: fx.Node, reader: fx.Node) -> fx.Node:
        """Return an attribute node with the value that ``source`` has at ``reader``."""
        if source not in self.fixed or source.op == "get_attr":
            return source
        data = self.values[source]
        if not isinstance(data, torch.Tensor) or data.layout is not torch.strided:
            return source  # the list of a split, or a sparse tensor: computed where it is read
        key = (source, self.version[self.shown[source]] if source in self.shown else 0)
        if key not in self.attributes:
            self.attributes[key] = self._store(source, reader, data)
        return self.attributes[key]

    def _store(self, source: fx.Node, reader: fx.Node, data: torch.Tensor) -> fx.Node:
        owner = self.owners.get(id(data))
        if owner is not None:
            return owner
        data = data.clone() if source in self.shown else data.contiguous()
        fqn = f"{module_path(source)}.{source.name}".lstrip(".")
        val = source.meta["val"] if data.is_contiguous() else None
        node = add_constant(self.gm, reader, data, fqn, val=val)
        self.owners[id(data)] = node
        return node


def _is_copy(node: fx.Node, result: Any, given: Sequence[Any]) -> bool:
    """Whether a result shares memory that the program says is its own.

    Operators that copy are spelled as the views they are without writes, and here there are some.
    """
    if not isinstance(result, torch.Tensor) or writes(node.target):
        return False
    shares = storage(result) in {storage(tensor) for tensor in given}
    own = storage(value(node))
    return shares and own not in {storage(value(source)) for source in node.all_input_nodes}


def _hollow(node: Any, data: Any) -> Any:
    """Return a tensor with the shape and type of a node and one element of memory."""
    found = tensor(node)
    if data is not None or found is None:
        return data
    shape = static_shape(node) or ()
    return torch.empty((), dtype=found.dtype, device=found.device).expand(shape)
