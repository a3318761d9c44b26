# SPDX-License-Identifier: Apache-2.0
"""Refusing products of different types, which torch.export lets through and eager PyTorch does not.

The usual way there: a model in half precision with an ``Input`` of the default type, float32.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.capture.inputs import CAST_INSIDE
from edge_trt.capture.signature import user_inputs
from edge_trt.errors import CaptureError
from edge_trt.lowering.edit import line_of
from edge_trt.user_code import chain, is_user_code

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch.export import ExportedProgram

_aten = torch.ops.aten
_PRODUCTS = {
    _aten.linear,
    _aten.matmul,
    _aten.mm,
    _aten.bmm,
    _aten.addmm,
    _aten.conv1d,
    _aten.conv2d,
    _aten.conv3d,
    _aten.conv_transpose1d,
    _aten.conv_transpose2d,
    _aten.conv_transpose3d,
    _aten.convolution,
}
_WRITES = {_aten.index_put, _aten.index_put_}

ON_THE_LINE = (
    "the values that meet there differ in type: cast one, as in x.to(y.dtype), or make constants "
    "of the type of what they meet"
)


def refuse_mixed_types(program: ExportedProgram) -> None:
    """Raise when a convolution, matrix product or write to places mixes types.

    Raises:
        CaptureError: Naming the types, the module and the line.
    """
    for node in program.graph.nodes:
        packet = getattr(node.target, "overloadpacket", None)
        if packet not in _PRODUCTS and packet not in _WRITES:
            continue
        operands = (node.args[0], node.args[2]) if packet in _WRITES else node.all_input_nodes
        values = [operand.meta["val"] for operand in operands]
        types = {value.dtype for value in values if isinstance(value, torch.Tensor)}
        if len(types) > 1:
            names = " and ".join(sorted(map(_name, types)))
            modules = list((node.meta.get("nn_module_stack") or {}).values())
            module = f" in {modules[-1][0]!r}" if modules and modules[-1][0] else ""
            line = line_of(node)
            given = [user_input.value for user_input in user_inputs(program)]
            raise CaptureError(
                f"{packet.__name__} mixes {names}{module}{line}",
                source=line.removeprefix(" at "),
                hint=_at_the_border(program.parameters(), given) or ON_THE_LINE,
            )


def remedy_for_types(
    error: BaseException, weights: Iterable[torch.Tensor], inputs: Iterable[torch.Tensor]
) -> str:
    """Return what to do about types that differ: of the inputs, or on a line of the user.

    Args:
        error: What torch said.
        weights: Of the model.
        inputs: Of the model.
    """
    *_, innermost = chain(error)
    layer = str(Path(torch.nn.modules.__file__).parent)
    files = [frame.filename for frame in traceback.extract_tb(innermost.__traceback__)]
    mine = max((i for i, file in enumerate(files) if is_user_code(file)), default=-1)
    in_layer = any(f.startswith(layer) and Path(f).name != "module.py" for f in files[mine + 1 :])
    return (_at_the_border(weights, inputs) if in_layer else "") or ON_THE_LINE


def _at_the_border(weights: Iterable[torch.Tensor], inputs: Iterable[Any]) -> str:
    """Return what to do where no input has a type of the weights, else an empty text."""
    inside = {weight.dtype for weight in weights if weight.is_floating_point()}
    given = {x.dtype for x in inputs if isinstance(x, torch.Tensor) and x.is_floating_point()}
    if not given or len(inside) != 1 or inside & given:
        return ""
    name = _name(inside.pop())
    if name == "bfloat16":
        return f"inputs must be of the weights' type, and none can be bfloat16: {CAST_INSIDE}"
    return f"give inputs of the weights' type, as in Input(..., dtype={name!r})"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
