# SPDX-License-Identifier: Apache-2.0
"""Refusing programs that write to their buffers or inputs: an engine keeps no state."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.export.graph_signature import InputKind

from edge_trt.errors import CaptureError
from edge_trt.lowering.aliasing import storage
from edge_trt.lowering.edit import line_of, writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.export import ExportedProgram

_aten = torch.ops.aten
MAYBE_A_VIEW = {"reshape", "reshape_as", "flatten", "contiguous", "to"}
_NO_STATE = {InputKind.PARAMETER: "weight", InputKind.CONSTANT_TENSOR: "tensor"}
_BATCH_NORM = (_aten.batch_norm.default, _aten.instance_norm.default)


def refuse_mutations(program: ExportedProgram, *, buffers: bool = True) -> None:
    """Raise when a run of the program would leave something behind.

    Args:
        program: The program.
        buffers: Whether to refuse what it leaves in its buffers, and not only in its inputs.

    Raises:
        CaptureError: Naming the buffer or input, and the line that writes to it.
    """
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    for node, target in _writes(program):
        spec = specs.get(target.name)
        if spec is None:
            continue
        where = line_of(node)
        if spec.kind is InputKind.USER_INPUT:
            raise CaptureError(
                f"the model changes its input {target.name!r} in place{where}",
                source=where.removeprefix(" at "),
                hint="use the operator without '_', or clone the input first",
            )
        if buffers and node.graph is not program.graph and spec.kind not in _NO_STATE:
            continue  # lowering says whether what is left by a region matters
        if buffers and spec.kind is InputKind.BUFFER:
            raise _buffer_error(str(spec.target), where)
        if spec.kind in _NO_STATE:
            raise CaptureError(
                f"the model writes to its {_NO_STATE[spec.kind]} {spec.target!r}{where}",
                source=where.removeprefix(" at "),
                hint="keep what changes in a buffer (register_buffer); states='io' is for these",
            )
    signature = program.graph_signature
    for name in signature.buffers_to_mutate.values() if buffers else ():
        raise _buffer_error(name, "")
    for name in signature.user_inputs_to_mutate.values():
        raise CaptureError(
            f"the model changes its input {name!r} in place",
            hint="use the operator without '_', or clone the input first",
        )


def written_buffers(program: ExportedProgram) -> set[str]:
    """Qualified names of the tensors of the model in which a run leaves something."""
    lifted = {
        spec.arg.name: str(spec.target)
        for spec in program.graph_signature.input_specs
        if spec.kind is not InputKind.USER_INPUT
    }
    written = {lifted[target.name] for _, target in _writes(program) if target.name in lifted}
    return written | set(program.graph_signature.buffers_to_mutate.values())


def hides_memory(program: ExportedProgram) -> bool:
    """Whether a program writes in place, but its values don't tell which of them share memory.

    In a program that was saved and loaded, each value has a memory of its own.
    """
    return any(
        _storage(node) != _storage(node.args[0])
        for graph in _graphs(program)
        for node in graph.nodes
        if writes(node.target) and node.args and isinstance(node.args[0], fx.Node)
    )


def _graphs(program: ExportedProgram) -> list[fx.Graph]:
    """The program's graph, and those of its branches and regions under `torch.no_grad()`."""
    return [m.graph for m in program.graph_module.modules() if isinstance(m, fx.GraphModule)]


def _buffer_error(name: str, where: str) -> CaptureError:
    """Return the error about a written buffer."""
    return CaptureError(
        f"the model writes to its buffer {name!r}{where}, and an engine keeps no state",
        source=where.removeprefix(" at "),
        hint="compile with states='io' (--states io), which makes it an input and an output",
    )


def _writes(program: ExportedProgram) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Yield each writing node with the program's placeholder whose memory it writes to."""
    placeholders = {_storage(n): n for n in program.graph.find_nodes(op="placeholder")}
    placeholders.pop(None, None)
    for node in (node for graph in _graphs(program) for node in graph.nodes):
        for written in _written_arguments(node):
            root = _root(written)
            inner = root.op == "placeholder" and root.graph is not program.graph
            # Not every operator says of what its result is a view; this one copies, but not fakes.
            hidden = root.op != "placeholder" and root.target != _aten.lift_fresh_copy.default
            if inner or hidden:
                root = placeholders.get(_storage(written), root)
            if root.op == "placeholder" and root.graph is program.graph:
                yield node, root


def _written_arguments(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the arguments that an operator writes to."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    if node.target in _BATCH_NORM:
        # Their schemas don't say that training updates the running statistics.
        mean, variance, training = node.args[3:6]
        statistics = (mean, variance) if training else ()
        yield from (value for value in statistics if hasattr(value, "op"))  # type: ignore[misc]
    if node.target._schema.is_mutable:
        for value, alias in _aliases(node):
            if alias.is_write and hasattr(value, "op"):
                yield value


def _root(node: fx.Node) -> fx.Node:
    """Follow views to the node that owns the memory."""
    while node.op == "call_function":
        parent = viewed(node)
        if parent is None:
            break
        node = parent
    return node


def viewed(node: fx.Node, *, hidden: bool = False) -> fx.Node | None:
    """Return the argument whose memory the result of ``node`` shares.

    Args:
        node: A call.
        hidden: Whether values don't tell what shares memory: what may be a view then counts as one.
    """
    if node.target is operator.getitem:
        return node.args[0]  # type: ignore[return-value]
    if not isinstance(node.target, torch._ops.OpOverload):
        return None
    for value, _ in _aliases(node):
        if not hasattr(value, "op"):
            continue
        maybe = not hidden and node.target._opname in MAYBE_A_VIEW
        if maybe and not _same_memory(node, value):
            return None
        return value
    return None


def _aliases(node: fx.Node) -> Iterator[tuple[Any, Any]]:
    """Yield (argument, alias annotation) for the annotated arguments of an operator call."""
    for index, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if argument.alias_info is not None:
            given = node.args[index] if index < len(node.args) else node.kwargs.get(argument.name)
            # An out-variant on a list annotates each of its tensors.
            for value in given if isinstance(given, list | tuple) else (given,):
                yield value, argument.alias_info


def _storage(node: fx.Node) -> int | None:
    """Return the identity of the memory that a node shows, or None when it is no strided tensor."""
    return storage(node.meta.get("val"))


def _same_memory(first: fx.Node, second: fx.Node) -> bool:
    """Whether export saw both nodes share a storage."""
    return _storage(first) == _storage(second)
