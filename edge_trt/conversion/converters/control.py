# SPDX-License-Identifier: Apache-2.0
"""`torch.cond`: TensorRT computes the branch that is chosen, and only that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.driver import convert_branch
from edge_trt.conversion.origin import origin_of
from edge_trt.conversion.registry import REFUSED, converter, support
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import IfConditional
from edge_trt.network.loops import give, own_or_input


def _cond_ok(pred: Any, true_fn: fx.Node, false_fn: fx.Node, operands: Any) -> str | None:
    if not isinstance(pred, fx.Node):
        return "its condition is a constant: choose in Python"
    for branch in (true_fn, false_fn):
        reason = _branch_reason(branch)
        if reason is not None:
            return reason
    return _sizes_reason(true_fn, false_fn)


def _sizes_reason(true_fn: fx.Node, false_fn: fx.Node) -> str | None:
    """Results of other sizes are those of an unknown size to what reads them."""
    if _result_sizes(true_fn) == _result_sizes(false_fn):
        return None
    return "its branches give results of different sizes: pad them to one size in the model"


def _result_sizes(branch: fx.Node) -> list[str]:
    results: Any = _graph_of(branch).output_node().args[0]
    return [str(result.meta["val"].shape) for result in results]


def _graph_of(branch: fx.Node) -> fx.Graph:
    body: Any = getattr(branch.graph.owning_module, str(branch.target))
    return body.graph


def _branch_reason(branch: fx.Node) -> str | None:
    """Why a branch can't be converted: the first call in it that can't."""
    for node in _graph_of(branch).nodes:
        reason = support(node)
        if reason is not None:
            return f"its branch calls {origin_of(node)}: {reason}"
    return None


higher = torch.ops.higher_order
_INSTEAD = {
    higher.while_loop: "loops here run as often as shapes say, and no condition ends them: use a"
    " for loop of a fixed number of steps in the model",
    higher.scan: "it has no converter: use an LSTM or GRU, cumsum, cumprod, or a for loop",
    higher.map_impl: "it has no converter: use torch.vmap, or a batch dimension",
    higher.associative_scan: "it has no converter, other than its combine_mode='generic', which is"
    " written out in operators that have one",
    higher.flex_attention: "it is written out where a module is compiled, and not in a program"
    " that was exported before: give the module",
}
REFUSED.update({operator: f"{operator}: {instead}" for operator, instead in _INSTEAD.items()})


@converter(higher.cond, when=_cond_ok, note="tensors or sizes decide, and both branches convert")
def cond(
    ctx: Context, pred: Tensor, true_fn: fx.GraphModule, false_fn: fx.GraphModule,
    operands: list[Any],
) -> tuple[Tensor, ...]:  # fmt: skip
    # A condition on sizes is a table, though torch may know it: its ranges begin at 2 where the
    # user's begin at 1, and `x.shape[0] > 1` is always true to it.
    branches, condition = (true_fn, false_fn), ctx.reshape(pred, ())
    varying = [o for o in operands if isinstance(o, Tensor) and o.data is None]
    if ctx.in_branch and not all(t.is_static for t in (*(o.type for o in varying), *ctx.results)):
        # TensorRT-RTX 1.7.1 fails on a conditional with open sizes inside of another.
        return _both(ctx, condition, branches, operands)
    name = ctx.network.origin.node or "cond"
    bodies = [
        _body(ctx, f"{name}.{word}", branch, operands)
        for word, branch in zip(("true", "false"), branches, strict=True)
    ]
    return ctx.network.add_multi(IfConditional(*bodies), condition, *varying)


def _body(ctx: Context, name: str, branch: fx.GraphModule, operands: list[Any]) -> Network:
    body = ctx.network.body(name)
    inside = [own_or_input(ctx, body, o) if isinstance(o, Tensor) else o for o in operands]
    inner = Context(body, ctx.dim_names, in_branch=True)
    for result in convert_branch(inner, branch, inside):
        give(inner, result)
    body.prune()
    return body


def _both(
    ctx: Context, condition: Tensor, branches: Sequence[fx.GraphModule], operands: list[Any]
) -> tuple[Tensor, ...]:
    """Computes both branches, and selects."""
    origin = ctx.network.origin
    then, otherwise = (
        convert_branch(Context(ctx.network, ctx.dim_names, in_branch=True), branch, operands)
        for branch in branches
    )
    ctx.network.origin = origin
    pairs = zip(then, otherwise, strict=True)
    return tuple(ctx.select(condition, a, b) for a, b in pairs)
