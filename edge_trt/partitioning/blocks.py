# SPDX-License-Identifier: Apache-2.0
"""Cuts a lowered graph into convex blocks, each for TensorRT or for the fallback.

Which calls fall back beside those that must is a matter of cost (`placement.py`), and how the calls
make as few blocks as possible one of their order (`phases.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import fx
from torch.fx.passes.utils.fuser_utils import fuse_by_partitions

from edge_trt.conversion.registry import no_type, support
from edge_trt.partitioning.phases import Phase, repeat_fractions, split
from edge_trt.partitioning.placement import cheaper_on_host
from edge_trt.partitioning.sizes import compute_inside
from edge_trt.partitioning.support import computes

aten = torch.ops.aten
BlockKind = Literal["tensorrt", "fallback"]

SUBMODULE = "edge_trt_block"
"""Start of the names of the submodules that phases become; weights are attributes of the module."""


@dataclass(slots=True)
class Block:
    """A part of the graph that runs as one.

    Attributes:
        name: `block0`, `block1` ... for TensorRT, `fallback0` ... for the others.
        kind: who runs it.
        module: one placeholder per entry of `inputs`; returns a flat tuple, one result per entry
            of `outputs`. Its weights are attributes, shared with the model.
        inputs: names of the values that it reads: the model's inputs, or outputs of blocks before.
        outputs: names of the values that it gives, `<name>.<number>`.
    """

    name: str
    kind: BlockKind
    module: fx.GraphModule
    inputs: list[str] = field(default_factory=list[str])
    outputs: list[str] = field(default_factory=list[str])

    @property
    def calls(self) -> list[fx.Node]:
        """The calls that compute tensors."""
        return [n for n in self.module.graph.nodes if computes(n)]


@dataclass(frozen=True, slots=True)
class Partition:
    """Blocks in execution order, and for each output of the model the name of its value."""

    blocks: list[Block]
    results: list[str]


def cut(
    module: fx.GraphModule, refused: Mapping[fx.Node, str], min_block_size: int | None = None
) -> tuple[Partition, dict[fx.Node, str]]:
    """Cuts the graph; also returns the refusals, with those added that had better fall back.

    Args:
        module: a lowered graph with a flat output tuple. It is taken apart.
        refused: the calls that TensorRT does not take, with reasons.
        min_block_size: blocks with fewer calls fall back; None lets the costs of copies and
            kernels decide what falls back beside the refused.
    """
    refused = {**refused, **_compute_results(module)}
    graph, reasons = module.graph, dict(refused)
    if refused:
        repeat_fractions(graph)
    if refused and min_block_size is None:
        reasons |= cheaper_on_host(graph, refused)
    phases = split(graph, reasons)
    while small := _too_small(phases, min_block_size or 1):
        reasons |= small
        phases = split(graph, reasons)
    if len(phases) < 2:
        on_host = bool(phases) and phases[0].on_host
        return _whole(module, "fallback" if on_host else "tensorrt"), reasons
    return _apart(module, phases), reasons


def _too_small(phases: Sequence[Phase], least: int) -> dict[fx.Node, str]:
    """The calls of blocks for TensorRT that are not worth one, with the reason."""
    reasons: dict[fx.Node, str] = {}
    for phase in phases:
        if phase.on_host or phase.size >= least:
            continue
        count = f"{phase.size} operators" if phase.size > 1 else "one operator"
        sentence = f"its block of {count} is below min_block_size {least}"
        reasons |= {n: sentence for n in phase.calls if computes(n)}
    return reasons


def _compute_results(module: fx.GraphModule) -> dict[fx.Node, str]:
    """Gives a result that is a weight a call that computes it, so that some block has it.

    Returns:
        Those calls that TensorRT does not take, with reasons.
    """
    refused: dict[fx.Node, str] = {}
    output = module.graph.output_node()
    for node in dict.fromkeys(output.all_input_nodes):
        if node.op == "get_attr":
            with module.graph.inserting_before(output):
                copy = module.graph.call_function(aten.clone.default, (node,))
            copy.meta = dict(node.meta)
            output.replace_input_with(node, copy)
            if reason := support(copy):
                refused[copy] = reason
    return refused


def _whole(module: fx.GraphModule, kind: BlockKind) -> Partition:
    """The graph as one block, less inputs that have no place in TensorRT: nothing reads these."""
    inputs, results = _inputs(module), _results(module)
    rare = {n for n in inputs if kind == "tensorrt" and no_type(n.meta["val"])}
    if rare.issuperset(results):
        kind, rare = "fallback", set()
    block = Block("block0" if kind == "tensorrt" else "fallback0", kind, module)
    block.inputs = [name for n, name in inputs.items() if n not in rare]
    computed = [n for n in results if n not in rare]
    block.outputs = [f"{block.name}.{i}" for i in range(len(computed))]
    names = iter(block.outputs)
    given = [inputs[n] if n in rare else next(names) for n in results]
    if rare:
        module.graph.output_node().args = (tuple(computed),)
        for node in rare:
            module.graph.erase_node(node)
        module.recompile()
    return Partition([block], given)


def _inputs(module: fx.GraphModule) -> dict[fx.Node, str]:
    """Names of the model's inputs; a node's own name differs where Python has the name already."""
    return {n: str(n.target) for n in module.graph.find_nodes(op="placeholder")}


def _results(module: fx.GraphModule) -> Sequence[fx.Node]:
    results: Any = module.graph.output_node().args[0]
    return results


def _apart(module: fx.GraphModule, phases: Sequence[Phase]) -> Partition:
    """Makes every phase a block."""
    groups: list[dict[fx.Node, int | None]] = [dict.fromkeys(p.calls) for p in phases]
    fuse_by_partitions(module, groups, prefix=SUBMODULE, always_return_tuple=True)
    blocks: list[Block] = []
    names: dict[fx.Node, Any] = dict(_inputs(module))
    for node in module.graph.nodes:
        if node.op == "call_module":
            number = int(str(node.target).removeprefix(SUBMODULE))
            kind = "fallback" if phases[number].on_host else "tensorrt"
            block = _block(module, node, names, kind, sum(b.kind == kind for b in blocks))
            names[node] = block.outputs
            blocks.append(block)
        elif node.op == "call_function":  # only the choices among blocks' results are left
            source, index = node.args
            names[node] = names[source][index]
    results = [names[result] for result in _results(module)]
    return Partition(_needed(blocks, results), results)


def _block(
    module: fx.GraphModule,
    call: fx.Node,
    names: Mapping[fx.Node, Any],
    kind: BlockKind,
    number: int,
) -> Block:
    """The block behind the call of a submodule.

    Args:
        module: the whole model.
        call: the call of the submodule.
        names: names of the values so far.
        kind: who runs it.
        number: how many blocks of this kind are before it.
    """
    inner: Any = module.get_submodule(str(call.target))
    block = Block(f"{'block' if kind == 'tensorrt' else kind}{number}", kind, inner)
    placeholders = inner.graph.find_nodes(op="placeholder")
    arguments: Any = call.args
    for placeholder, argument in zip(placeholders, arguments, strict=True):
        placeholder.meta = dict(argument.meta)
        if argument.op == "get_attr":
            _move_inside(module, argument, inner, placeholder)
    names_inside = {
        p: names[a] for p, a in zip(placeholders, arguments, strict=True) if a.op != "get_attr"
    }
    compute_inside(inner.graph)
    block.inputs = [names_inside[p] for p in inner.graph.find_nodes(op="placeholder")]
    block.outputs = [f"{block.name}.{i}" for i in range(len(_results(inner)))]
    inner.graph.lint()
    return block


def _needed(blocks: Sequence[Block], results: Sequence[str]) -> list[Block]:
    """Takes away what nobody reads, such as sizes that the reader computes itself."""
    used = set(results)
    needed: list[Block] = []
    for block in reversed(blocks):
        graph = block.module.graph
        pairs = zip(block.outputs, _results(block.module), strict=True)
        kept = {name: node for name, node in pairs if name in used}
        if not kept:
            continue
        block.outputs = list(kept)
        graph.output_node().args = (tuple(kept.values()),)
        graph.eliminate_dead_code()  # leaves placeholders alone
        placeholders = zip(block.inputs, graph.find_nodes(op="placeholder"), strict=True)
        for name, placeholder in list(placeholders):
            if not placeholder.users:
                graph.erase_node(placeholder)
                block.inputs.remove(name)
        block.module.recompile()
        used.update(block.inputs)
        needed.append(block)
    return needed[::-1]


def _move_inside(
    module: fx.GraphModule, attribute: fx.Node, inner: fx.GraphModule, placeholder: fx.Node
) -> None:
    """Puts a weight, or the body of a control flow operator, into the block that reads it."""
    name = f"weight_{attribute.target}"
    value = getattr(module, str(attribute.target))
    if isinstance(value, torch.Tensor):
        inner.register_buffer(name, value, persistent=False)  # shared, not copied
    else:
        inner.add_module(name, value)
    with inner.graph.inserting_before(placeholder):
        inside = inner.graph.get_attr(name)
    inside.meta = {**attribute.meta, "fqn": attribute.meta.get("fqn", str(attribute.target))}
    placeholder.replace_all_uses_with(inside)
    inner.graph.erase_node(placeholder)
