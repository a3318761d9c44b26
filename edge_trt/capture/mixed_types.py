# SPDX-License-Identifier: Apache-2.0
"""Refusing products of different types, which torch.export lets through and eager PyTorch does not.

The usual way there: a model in half precision with an ``Input`` of the default type, float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edge_trt.errors import CaptureError

if TYPE_CHECKING:
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


def refuse_mixed_types(program: ExportedProgram) -> None:
    """Raise when a convolution or matrix product mixes floating types.

    Raises:
        CaptureError: Naming the types and the module.
    """
    for node in program.graph.nodes:
        if getattr(node.target, "overloadpacket", None) not in _PRODUCTS:
            continue
        values = [argument.meta["val"] for argument in node.all_input_nodes]
        types = {value.dtype for value in values if isinstance(value, torch.Tensor)}
        if len(types) > 1:
            names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in types))
            modules = list((node.meta.get("nn_module_stack") or {}).values())
            where = f" in {modules[-1][0]!r}" if modules and modules[-1][0] else ""
            raise CaptureError(
                f"{node.target.overloadpacket.__name__} mixes {names}{where}",
                hint="give inputs of the weights' type, as in Input(..., dtype='float16')",
            )
