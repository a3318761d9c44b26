# SPDX-License-Identifier: Apache-2.0
"""Cuts a lowered graph into convex blocks, each for TensorRT or for the fallback.

torch.fx's own capability-based partitioner finds the blocks, twice: first what TensorRT takes,
then what is left. The common case, a graph that TensorRT takes whole, is one block at once.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import fx
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

aten = torch.ops.aten
BlockKind = Literal["tensorrt", "fallback"]


@dataclass(slots=True)
class Block:
    """A part of the graph that runs as one.

    `module` has one placeholder per entry of `inputs` and returns a flat tuple, one result per
    entry of `outputs`.
    """

    name: str
    kind: BlockKind
    module: fx.GraphModule
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    @property
    def calls(self) -> list[fx.Node]:
        """The calls that compute something."""
        return [n for n in self.module.graph.nodes if _computes(n)]


@dataclass(frozen=True, slots=True)
class Partition:
    """Blocks in execution order, and which value each output of the model is.

    A result is a value's name, or a number that capture found to be constant.
    """

    blocks: list[Block]
    results: list[Any]


def cut(
    module: fx.GraphModule, refused: Mapping[fx.Node, str], min_block_size: int
) -> tuple[Partition, dict[fx.Node, str]]:
    """Cuts the graph; also returns the refusals, with those added that are in too small blocks.

    Args:
        module: a lowered graph with a flat output tuple. It is taken apart.
        refused: the calls that TensorRT does not take, with reasons.
        min_block_size: blocks with fewer calls fall back.
    """
    _name_constant_results(module)
    reasons = dict(refused)
    calls = [n for n in module.graph.nodes if _computes(n)]
    if not reasons and (len(calls) >= min_block_size or not calls):
        return _whole(module, "tensorrt"), reasons
    groups = _groups(module, lambda n: n not in reasons)
    for group in groups:
        size = sum(map(_computes, group))
        if size < min_block_size:
            sentence = f"its block of {size} operators is below min_block_size {min_block_size}"
            reasons.update((n, sentence) for n in group)
    groups = [g for g in groups if not any(n in reasons for n in g)]
    if not groups:
        return _whole(module, "fallback"), reasons
    return _fused(module, groups), reasons


def _computes(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target is not operator.getitem


def _name_constant_results(module: fx.GraphModule) -> None:
    """Gives a result that is a weight a call that computes it, so that a block has it."""
    output = module.graph.output_node()
    for node in dict.fromkeys(output.all_input_nodes):
        if node.op == "get_attr":
            with module.graph.inserting_before(output):
                copy = module.graph.call_function(aten.clone.default, (node,))
            copy.meta = dict(node.meta)
            output.replace_input_with(node, copy)


def _whole(module: fx.GraphModule, kind: BlockKind) -> Partition:
    name = "block0" if kind == "tensorrt" else "fallback0"
    block = Block(name, kind, module)
    block.inputs = [n.name for n in module.graph.nodes if n.op == "placeholder"]
    (results,) = module.graph.output_node().args
    block.outputs = [f"{name}.{i}" for i in range(len(results))]  # type: ignore[arg-type]
    return Partition([block], list(block.outputs))


class _Support(OperatorSupportBase):
    def __init__(self, accepts: Any) -> None:
        self._accepts = accepts

    def is_node_supported(self, submodules: Any, node: fx.Node) -> bool:
        return node.op == "call_function" and self._accepts(node)


def _groups(module: fx.GraphModule, accepts: Any) -> list[list[fx.Node]]:
    partitioner = CapabilityBasedPartitioner(
        module, _Support(accepts), allows_single_node_partition=True
    )
    return [list(p.nodes) for p in partitioner.propose_partitions()]


def _fused(module: fx.GraphModule, groups: list[list[fx.Node]]) -> Partition:
    """Turns groups, then everything else, into submodules and lists these in order."""
    _fuse(module, groups, "block")
    _fuse(module, _groups(module, lambda n: True), "fallback")
    blocks: list[Block] = []
    counts = {"block": 0, "fallback": 0}
    names: dict[fx.Node, Any] = {n: n.name for n in module.graph.nodes if n.op == "placeholder"}
    for node in module.graph.nodes:
        if node.op == "call_module":
            kind = "block" if str(node.target).startswith("block") else "fallback"
            name = f"{kind}{counts[kind]}"
            counts[kind] += 1
            blocks.append(_block(module, node, name, names))
        elif node.op == "call_function":  # only getitem of a block's results is left
            source, index = node.args
            names[node] = names[source][index]  # type: ignore[index]
    (results,) = module.graph.output_node().args
    return Partition(blocks, [names[r] if isinstance(r, fx.Node) else r for r in results])  # type: ignore[union-attr]


def _fuse(module: fx.GraphModule, groups: list[list[fx.Node]], prefix: str) -> None:
    from torch.fx.passes.utils.fuser_utils import fuse_by_partitions

    if groups:
        order = {n: i for i, n in enumerate(module.graph.nodes)}
        partitions = [dict.fromkeys(sorted(g, key=order.__getitem__)) for g in groups]
        fuse_by_partitions(module, partitions, prefix=prefix, always_return_tuple=True)


def _block(module: fx.GraphModule, call: fx.Node, name: str, names: dict[fx.Node, Any]) -> Block:
    kind: BlockKind = "tensorrt" if name.startswith("block") else "fallback"
    block = Block(name, kind, module.get_submodule(str(call.target)))  # type: ignore[arg-type]
    placeholders = [n for n in block.module.graph.nodes if n.op == "placeholder"]
    for placeholder, argument in zip(placeholders, call.args, strict=True):
        assert isinstance(argument, fx.Node)
        placeholder.meta = dict(argument.meta)
        if argument.op == "get_attr":
            _move_inside(module, argument, block.module, placeholder)
        elif not _size_from_inputs(block.module, placeholder, placeholders):
            block.inputs.append(names[argument])
    block.module.graph.lint()
    block.module.recompile()
    (results,) = block.module.graph.output_node().args
    count = len(results) if isinstance(results, (tuple, list)) else 1
    block.outputs = [f"{name}.{i}" for i in range(count)]
    names[call] = block.outputs
    return block


def _move_inside(
    module: fx.GraphModule, attribute: fx.Node, inner: fx.GraphModule, placeholder: fx.Node
) -> None:
    """Weights belong to the block that reads them, shared and not copied."""
    value: Any = module
    for part in str(attribute.target).split("."):
        value = getattr(value, part)
    name = "weight_" + str(attribute.target).replace(".", "_")
    if not hasattr(inner, name):
        inner.register_buffer(name, value, persistent=False)
    with inner.graph.inserting_before(placeholder):
        inside = inner.graph.get_attr(name)
    inside.meta = {**attribute.meta, "fqn": attribute.meta.get("fqn", str(attribute.target))}
    placeholder.replace_all_uses_with(inside)
    inner.graph.erase_node(placeholder)


def _size_from_inputs(
    inner: fx.GraphModule, placeholder: fx.Node, placeholders: Iterable[fx.Node]
) -> bool:
    """Replaces a size computed elsewhere by the size of one of the block's own inputs."""
    value = placeholder.meta.get("val")
    if not isinstance(value, torch.SymInt):
        return False
    for other in placeholders:
        tensor = other.meta.get("val")
        if other is placeholder or not isinstance(tensor, torch.Tensor):
            continue
        for axis, size in enumerate(tensor.shape):
            if isinstance(size, torch.SymInt) and size.node.expr == value.node.expr:
                last = [n for n in inner.graph.nodes if n.op == "placeholder"][-1]
                with inner.graph.inserting_after(last):
                    inside = inner.graph.call_function(aten.sym_size.int, (other, axis))
                inside.meta = dict(placeholder.meta)
                placeholder.replace_all_uses_with(inside)
                inner.graph.erase_node(placeholder)
                return True
    return False
