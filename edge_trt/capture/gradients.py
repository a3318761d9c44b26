# SPDX-License-Identifier: Apache-2.0
"""Refusing models that differentiate in forward: torch.export loses values inside, make_fx none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt.errors import CaptureError
from edge_trt.lowering.edit import line_of

if TYPE_CHECKING:
    from torch.export import ExportedProgram

LOST = (
    r"found a fake tensor in the exported program|'Tensor' object has no attribute 'constant'|"
    r"Nested forward mode AD|functorch tensor"
)
"""What torch.export says where it can't follow a gradient."""
REASON = (
    "it loses values that forward reads through .data, or computes by a gradient, as "
    "torch.func.grad does"
)
REMEDY = (
    "write .detach() for .data; trace a gradient first, for fixed sizes, and compile what comes "
    "out: torch.fx.experimental.proxy_tensor.make_fx(model)(*inputs).eval()"
)


def refuse_gradients(program: ExportedProgram) -> None:
    """Raise when a program reads values of torch.func, which are none outside of its transform.

    Raises:
        CaptureError: Naming the line.
    """
    for node in program.graph.nodes:
        if getattr(node.target, "__name__", "") == "_unwrap_for_grad":
            where = line_of(node)
            raise CaptureError(
                f"torch.export can't take the model: {REASON}{where}",
                source=where.removeprefix(" at "),
                hint=REMEDY,
            )
