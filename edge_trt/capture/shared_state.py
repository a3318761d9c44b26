# SPDX-License-Identifier: Apache-2.0
"""Buffers that ``forward`` reaches by another way than their name.

A cache of Hugging Face is an object with tensors, which its wrapper registers as buffers too.
torch.export knows buffers by name alone: what comes from the object is one more constant to it,
and a write to it no write to the buffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.export.graph_signature import InputKind

from edge_trt.lowering.retracing import retrace

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def one_placeholder_each(program: ExportedProgram) -> ExportedProgram:
    """Give constants that are buffers of the model the placeholders of these.

    ::

        before  buffer k, constant lifted_0; index_copy_(lifted_0, ...)
        after   buffer k; index_copy_(k, ...)

    Args:
        program: A program that nobody else holds; it is changed.
    """
    signature = program.graph_signature
    placeholders = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    buffers = {
        place: spec
        for spec in signature.input_specs
        if spec.kind is InputKind.BUFFER and (place := _place(program, spec.target)) is not None
    }
    changed = again = False
    for spec in list(signature.input_specs):
        buffer = buffers.get(_place(program, spec.target) or ())
        if spec.kind is not InputKind.CONSTANT_TENSOR or buffer is None:
            continue
        kept, other = placeholders[buffer.arg.name], placeholders[spec.arg.name]
        again |= bool(kept.users)  # values of both do not know that they share memory
        other.replace_all_uses_with(kept)
        kept.meta["val"] = other.meta["val"]
        program.graph.erase_node(other)
        signature.input_specs.remove(spec)
        program.constants.pop(str(spec.target))
        changed = True
    if changed:
        program.graph_module.recompile()
    return retrace(program) if again else program


def _place(program: ExportedProgram, target: str | None) -> tuple[object, ...] | None:
    """Where in memory a tensor of the program is, and in which form; None if it is no such."""
    tensor = program.state_dict.get(target or "", program.constants.get(target or ""))
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or not tensor.numel():
        return None
    memory = tensor.untyped_storage()._cdata  # no data_ptr(), for which lazy copies become real
    return (memory, tensor.storage_offset(), tensor.dtype, tensor.shape, tensor.stride())
