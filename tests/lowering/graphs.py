# SPDX-License-Identifier: Apache-2.0
"""Support for the lowering tests: small programs in, printed graphs and comparisons out."""

from __future__ import annotations

import copy
import inspect
import operator
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves

from edge_trt.lowering import unlift
from edge_trt.lowering.edit import propagate, tensor, writes
from edge_trt.lowering.shapes import same_shape


class Program(nn.Module):
    """A function as a module: its parameters are inputs, tensors given by name are buffers."""

    def __init__(self, function, **buffers):
        super().__init__()
        for name, data in buffers.items():
            self.register_buffer(name, data)

        def forward(*args):
            return function(*args, **dict(self.named_buffers()))

        inputs = inspect.signature(function).parameters
        kept = [parameter for name, parameter in inputs.items() if name not in buffers]
        forward.__signature__ = inspect.Signature(kept)
        self.forward = forward


def export(function, *args, dynamic=None, **buffers):
    """Export a module, or a function of inputs and buffers."""
    module = function if isinstance(function, nn.Module) else Program(function, **buffers)
    return torch.export.export(module.eval(), args, dynamic_shapes=dynamic)


def unlifted(function, *args, dynamic=None, **buffers):
    return unlift(export(function, *args, dynamic=dynamic, **buffers))


def text(gm: fx.GraphModule) -> str:
    """Print a graph, one short line per node."""
    lines = []
    for node in gm.graph.nodes:
        if node.op == "placeholder":
            lines.append(f"{node.name} = input")
        elif node.op == "get_attr":
            lines.append(f"{node.name} = <{node.meta.get('fqn', 'body')}>")
        elif node.op == "output":
            lines.append(f"return {_arg(node.args[0])}")
        else:
            args = [_arg(arg) for arg in node.args]
            args += [f"{key}={_arg(item)}" for key, item in node.kwargs.items()]
            lines.append(f"{node.name} = {_name(node.target)}({', '.join(args)})")
    return "\n".join(lines)


def _name(target: Any) -> str:
    if target is operator.getitem:
        return "getitem"
    name = str(target).removeprefix("aten.").removesuffix(".default")
    return getattr(target, "__name__", name) if name.startswith("<") else name


def _arg(arg: Any) -> str:
    if isinstance(arg, (list, tuple)):
        inner = ", ".join(map(_arg, arg))
        return f"({inner})" if isinstance(arg, tuple) else f"[{inner}]"
    return str(arg)


def lines(block: str) -> str:
    """Strip the indentation of an expected text."""
    return "\n".join(line.strip() for line in block.strip().splitlines())


def ops(gm: fx.GraphModule) -> list[str]:
    """Return the operators in order, without overload names."""
    return [
        _name(node.target).split(".")[0] for node in gm.graph.nodes if node.op == "call_function"
    ]


def check(gm: fx.GraphModule) -> None:
    """Check that the graph is well formed, functional, and that every recorded value is right."""
    gm.graph.lint()
    for node in gm.graph.nodes:
        assert not writes(node.target), f"{node.target} writes"
        if node.op == "get_attr" and isinstance(getattr(gm, node.target), torch.Tensor):
            assert tuple(node.meta["val"].shape) == tuple(getattr(gm, node.target).shape), node
            assert node.meta["val"].dtype == getattr(gm, node.target).dtype, node
        if node.op != "call_function":
            continue
        found = propagate(gm, node.target, node.args, node.kwargs)
        if tensor(node) is not None:
            assert found.dtype == node.meta["val"].dtype, f"{node}: {found.dtype}"
            assert same_shape(found.shape, node.meta["val"].shape), f"{node}: {found.shape}"


def agree(gm: fx.GraphModule, function, *args, rtol=1e-5, **buffers) -> None:
    """Check that the graph yields what eager does, on copies of the arguments."""
    gm.recompile()
    module = function if isinstance(function, nn.Module) else Program(function, **buffers)
    with torch.no_grad():
        leaves = tree_leaves(copy.deepcopy(module).eval()(*copy.deepcopy(args)))
        got = gm(*copy.deepcopy(args))
    want = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    assert len(want) == len(got)
    for expected, found in zip(want, got, strict=True):
        torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-6)
