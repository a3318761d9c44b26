# SPDX-License-Identifier: Apache-2.0
"""Where a graph node comes from, read from the traces that torch.export leaves on it."""

from __future__ import annotations

import functools
import re
import sysconfig
from pathlib import Path

import torch
from torch import fx

from edge_trt.network.graph import Origin

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH = re.compile(r"[/\\]torch[/\\](nn|_|functional|overrides|utils|export|fx)")


def origin_of(node: fx.Node) -> Origin:
    """Module path, source line, operator and name of a node."""
    return Origin(module_of(node), source_of(node), operator_of(node), node.name)


_ON_COPIES = (
    torch.ops.higher_order.auto_functionalized,
    torch.ops.higher_order.auto_functionalized_v2,
)


def operator_of(node: fx.Node) -> str:
    """What a node calls: `aten.relu.default`, or `operator.add` for a calculation with sizes."""
    target = written_by(node) or node.target
    if isinstance(target, (str, torch._ops.OpOverload)):
        return str(target)
    return f"{target.__module__.lstrip('_')}.{target.__name__}"


def written_by(node: fx.Node) -> torch._ops.OpOverload | None:
    """The operator of a call that writes to its arguments, which torch runs on copies of them."""
    target = node.args[0] if node.target in _ON_COPIES else None
    return target if isinstance(target, torch._ops.OpOverload) else None


def module_of(node: fx.Node) -> str:
    """Path of the innermost module whose forward made the call: `layer1.0.conv2`."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return _clean(paths[-1]) if paths else ""


def source_of(node: fx.Node) -> str:
    """`file.py:123` of the innermost frame outside torch, relative to where it was imported."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    frames = [f for f in frames if not f[0].startswith("<eval_with_key>")]  # of fx
    frames = [f for f in frames if not f[0].startswith("<")] or frames  # generated code
    own = [f for f in frames if not _TORCH.search(f[0])] or frames
    return f"{_short(own[-1][0])}:{own[-1][1]}" if own else ""


def _clean(path: str) -> str:
    if path.startswith("_empty_nn_module_stack"):  # torch's word for calls outside of any forward
        return ""
    return re.sub(r"^L\['self'\]\.?|^L__self__\.?", "", path)


@functools.cache
def _short(file: str) -> str:
    """Without the machine's part of the path: bundles travel."""
    path = Path(file)
    roots = [Path.cwd(), *(Path(sysconfig.get_path(p)) for p in ("purelib", "platlib", "stdlib"))]
    inside = [r for r in roots if path.is_relative_to(r)]
    if not inside:
        return path.name
    return path.relative_to(max(inside, key=lambda r: len(r.parts))).as_posix()
