# SPDX-License-Identifier: Apache-2.0
"""Refusing calls for which torch.export notes another shape than they give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edge_trt.errors import CaptureError
from edge_trt.lowering.edit import line_of

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_OVER_ALL = (torch.ops.aten.nansum.default, torch.ops.aten.nanmean.default)


def refuse_wrong_shapes(program: ExportedProgram) -> None:
    """Raise when what follows was traced with a shape that a run does not give.

    An empty list of dimensions means all of them to PyTorch, and none of them to its shapes.

    Raises:
        CaptureError: Naming the call and its line.
    """
    for node in program.graph.nodes:
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        if node.target in _OVER_ALL and dims is not None and not list(dims):
            where = line_of(node)
            raise CaptureError(
                f"torch.export notes a wrong shape for {node.target._opname} over an empty list "
                f"of dimensions{where}",
                source=where.removeprefix(" at "),
                hint="give dim=None, which means all of them too",
            )
