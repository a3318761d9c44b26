# SPDX-License-Identifier: Apache-2.0
"""Float64 constants without dimensions take the type of the floats that they meet."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch.fx.node import map_arg

from edge_trt.lowering.edit import add_constant, calls, constant, fake_mode, tensor, value


def narrow_scalars(gm: fx.GraphModule) -> bool:
    """Narrow constants such as ``np.float64(0.5)``, which decide no type and hold one value.

    ::

        before  mul(x: f32[4], <0.5>: f64[])
        after   mul(x: f32[4], <0.5>: f32[])

    Only where the result's type stays what it was: integers times float64 are float64.
    """
    changed = False
    for node in calls(gm):
        scalars = [source for source in node.all_input_nodes if _is_scalar(source)]
        if scalars and isinstance(node.target, OpOverload):
            changed |= _narrow(gm, node, scalars)
    return changed


def _is_scalar(node: fx.Node) -> bool:
    found = tensor(node)
    is_double = found is not None and found.dtype is torch.float64 and found.dim() == 0
    return is_double and node.op == "get_attr"


def _narrow(gm: fx.GraphModule, node: fx.Node, scalars: list[fx.Node]) -> bool:
    found = [tensor(source) for source in node.all_input_nodes if source not in scalars]
    dtype = next((t.dtype for t in found if t is not None and t.is_floating_point()), None)
    result = tensor(node)
    if dtype is None or dtype is torch.float64 or result is None:
        return False
    if _type_of(gm, node, dtype, scalars) != result.dtype:
        return False
    for scalar in scalars:
        data = constant(gm, scalar)
        assert data is not None
        name = str(scalar.meta.get("fqn", scalar.target))
        node.replace_input_with(scalar, add_constant(gm, node, data.to(dtype), name))
    return True


def _type_of(
    gm: fx.GraphModule, node: fx.Node, dtype: torch.dtype, scalars: list[fx.Node]
) -> torch.dtype | None:
    """The type of a call's result if its scalars are of `dtype`."""

    def given(source: fx.Node) -> Any:
        return value(source).to(dtype) if source in scalars else value(source)

    assert isinstance(node.target, OpOverload)
    with torch.no_grad(), fake_mode(gm):
        result = node.target(*map_arg(node.args, given), **map_arg(node.kwargs, given))
    return result.dtype if isinstance(result, torch.Tensor) else None
