# SPDX-License-Identifier: Apache-2.0
"""A fallback block as a program of torch.export, which may be saved as `.pt2`."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.fx._lazy_graph_module import _LazyGraphModule

from edge_trt.capture.oblivious import oblivious
from edge_trt.capture.quiet import quiet
from edge_trt.capture.recurrences import whole_recurrences
from edge_trt.conversion.origin import operator_of, origin_of
from edge_trt.conversion.registry import support
from edge_trt.errors import UnsupportedError
from edge_trt.partitioning.blocks import Block


def export(block: Block) -> ExportedProgram:
    """A fallback block as a program of its own.

    Raises:
        UnsupportedError: torch.export does not take the block, or only for some of its sizes; the
            message says where in the model it is.
    """
    placeholders = block.module.graph.find_nodes(op="placeholder")
    values = [n.meta["val"] for n in placeholders]
    if any(isinstance(v, (torch.SymFloat, torch.SymBool)) for v in values):
        raise refusal(block, "it takes a number computed from sizes that is no whole number")
    _LazyGraphModule.force_recompile(block.module)  # export reads its arguments' names there
    try:
        examples, shapes = tuple(map(_example, values)), tuple(map(_dynamic, values))
        with quiet(), oblivious(), whole_recurrences():  # a length that is a range stays one
            program = torch.export.export(
                block.module, examples, dynamic_shapes=shapes, strict=False
            )
    except Exception as error:  # torch.export raises many kinds of errors
        raise refusal(block, _reason(error)) from error
    if fixed := _fixed(placeholders, program):
        raise refusal(block, f"torch.export fixes the size {fixed}")
    # What export still asks about sizes chooses nothing: a block is calls of operators alone.
    program._guards_code = []
    return program


def save(block: Block, program: ExportedProgram) -> bytes:
    """The file that `torch.export.load` reads.

    Raises:
        UnsupportedError: torch can't write the program.
    """
    file = io.BytesIO()
    try:
        torch.export.save(program, file)
    except Exception as error:
        if why := _unwritten(program, str(error)):
            raise refusal(block, why, hint="") from error
        raise refusal(block, _reason(error)) from error
    return file.getvalue()


def has_open_sizes(block: Block) -> bool:
    """Whether an argument of a block is a size, or has one, that may change."""
    values = [n.meta["val"] for n in block.module.graph.find_nodes(op="placeholder")]
    sizes = [s for v in values for s in (v.shape if isinstance(v, torch.Tensor) else [v])]
    return any(isinstance(size, torch.SymInt) for size in sizes)


def check(block: Block, data: bytes, cases: Sequence[Sequence[Any]]) -> None:
    """Run what was saved at several sizes: torch may have kept those of the example.

    Args:
        block: the block.
        data: its saved program.
        cases: arguments; those that PyTorch itself can't run here say nothing.

    Raises:
        UnsupportedError: the program takes other sizes than the block.
    """
    with quiet():
        module = torch.export.load(io.BytesIO(data)).module()
    for arguments in cases:
        with torch.inference_mode(), quiet():
            try:
                block.module(*arguments)
            except Exception:  # an operator without a kernel here, or values that it refuses
                continue
            try:
                module(*arguments)
            except Exception as error:
                shapes = [list(a.shape) for a in arguments if isinstance(a, torch.Tensor)]
                raise refusal(
                    block, f"what torch.export saves fails at {shapes}: {_reason(error)}"
                ) from error


def _unwritten(program: ExportedProgram, error: str) -> str | None:
    """The operator that has no form in a file, where torch prints its whole call."""
    found = re.match(r"Failed serializing node (\w+) in graph", error)
    node = next((n for n in program.graph.nodes if found and n.name == found[1]), None)
    if node is None:
        return None
    return f"torch.export can't write {operator_of(node)} ({support(node)})"


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


_KEEP_OUT = "keep the whole module out with fallback_modules, or rewrite it"


def refusal(block: Block, why: str, hint: str = _KEEP_OUT) -> UnsupportedError:
    """The error about a fallback that can't be saved, with its place and the fix."""
    return UnsupportedError(
        f"the fallback block that starts with {origin_of(first_call(block))} can't be saved as a "
        f"program: {why}",
        hint=hint,
    )


def first_call(block: Block) -> fx.Node:
    """The block's first call of an operator, to say where it is."""
    return next(n for n in block.module.graph.nodes if n.op == "call_function")


def _example(value: Any) -> Any:
    """A tensor or number of the captured sizes; zeros are safe as indices."""
    if not isinstance(value, torch.Tensor):
        return _size(value)
    return torch.zeros([_size(s) for s in value.shape], dtype=value.dtype)


def _size(size: int | torch.SymInt) -> int:
    """The captured size; any where it depends on values. Capture took care that none is 0 or 1."""
    if isinstance(size, int):
        return size
    return int(size.node.hint) if size.node.has_hint() else 2


def _dynamic(value: Any) -> Any:
    auto = torch.export.Dim.AUTO
    if isinstance(value, torch.Tensor):
        return {i: auto for i, s in enumerate(value.shape) if _symbolic(s)} or None
    return torch.export.Dim.DYNAMIC


def _fixed(placeholders: list[fx.Node], program: ExportedProgram) -> str:
    """The first size that was symbolic and no longer is."""
    names = program.graph_signature.user_inputs
    exported = {n.name: n for n in program.graph.find_nodes(op="placeholder")}
    for node, name in zip(placeholders, names, strict=True):
        before, after = node.meta["val"], exported[str(name)].meta["val"]
        if not isinstance(before, torch.Tensor):
            continue
        for axis, (was, now) in enumerate(zip(before.shape, after.shape, strict=True)):
            if _symbolic(was) and not _symbolic(now):
                return f"{axis} of {node.name} to {now}"
    return ""


def _symbolic(size: int | torch.SymInt) -> bool:
    return isinstance(size, torch.SymInt) and not size.node.expr.is_number
