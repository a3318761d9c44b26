# SPDX-License-Identifier: Apache-2.0
"""Editing an FX graph so that every node keeps a right value, origin and name.

``node.meta["val"]`` is the FakeTensor (or number, or list of them) that the node yields; passes
rely on it, and conversion compares its results with it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch.fx.node import map_arg

from edge_trt.user_code import is_user_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch._subclasses.fake_tensor import FakeTensorMode

aten = torch.ops.aten
ORIGIN = ("nn_module_stack", "stack_trace", "torch_fn", "source_fn_stack", "from_node")
"""Meta entries that say where in the user's model a node came from."""


def value(node: Any) -> Any:
    """Return what a node yields at compile time: FakeTensor, number, or a list of them."""
    return node.meta.get("val") if isinstance(node, fx.Node) else node


def tensor(node: Any) -> torch.Tensor | None:
    """Return the FakeTensor of a node, or None when it yields something else."""
    found = value(node)
    return found if isinstance(found, torch.Tensor) else None


def calls(gm: fx.GraphModule) -> Iterator[fx.Node]:
    """Yield the operator calls in order; the graph may be edited meanwhile."""
    for node in list(gm.graph.nodes):
        if node.op == "call_function" and not node._erased:
            yield node


def arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments by the names of the ATen schema, defaults filled in."""
    bound: dict[str, Any] = {}
    for index, (name, default) in enumerate(_parameters(node.target)):  # type: ignore[arg-type]
        bound[name] = node.args[index] if index < len(node.args) else node.kwargs.get(name, default)
    return bound


@lru_cache(maxsize=2048)
def _parameters(target: OpOverload) -> tuple[tuple[str, Any], ...]:
    return tuple((arg.name, arg.default_value) for arg in target._schema.arguments)


def fake_mode(gm: fx.GraphModule) -> FakeTensorMode:
    """Return the mode that made the graph's values.

    Raises:
        ValueError: The graph has no tensor at all.
    """
    for node in gm.graph.nodes:
        found = tensor(node)
        if found is not None and hasattr(found, "fake_mode"):
            return found.fake_mode  # type: ignore[attr-defined]
    raise ValueError("the graph holds no FakeTensor: lowering needs a program from torch.export")


def propagate(gm: fx.GraphModule, target: Any, args: Any, kwargs: Any) -> Any:
    """Compute the value of one call on the values of its arguments."""
    with torch.no_grad(), fake_mode(gm):
        return target(*map_arg(args, value), **map_arg(kwargs, value))


def insert(
    gm: fx.GraphModule,
    before: fx.Node,
    target: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    like: fx.Node | None = None,
    val: Any = None,
) -> fx.Node:
    """Insert a call with the origin of ``like`` (default: of ``before``).

    Args:
        gm: Module that owns the graph.
        before: The new node comes before this one.
        target: Operator.
        args: Positional arguments.
        kwargs: Keyword arguments.
        like: Node whose module path and source line the new one inherits.
        val: The value where it is known already; computed on fake tensors otherwise.
    """
    with gm.graph.inserting_before(before):
        name = _base_name(target)
        node = gm.graph.create_node("call_function", target, tuple(args), dict(kwargs or {}), name)
    source = (like or before).meta
    node.meta = {key: source[key] for key in ORIGIN if key in source}
    node.meta["val"] = propagate(gm, target, node.args, node.kwargs) if val is None else val
    return node


def retarget(
    node: fx.Node, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
) -> bool:
    """Make a node call something else that yields the same; return True when that is a change."""
    new_args, new_kwargs = tuple(args), dict(kwargs or {})
    renamed = node.target != target
    if not renamed and node.kwargs == new_kwargs and _alike(node.args, new_args):
        return False
    node.target, node.args, node.kwargs = target, new_args, new_kwargs
    if renamed:
        node._rename(_base_name(target))
    return True


def _alike(old: Any, new: Any) -> bool:
    if isinstance(new, (list, tuple)):
        return (
            len(old) == len(new) and all(map(_alike, old, new))
            if isinstance(old, (list, tuple))
            else False
        )
    return old is new or (type(old) is type(new) and not isinstance(old, fx.Node) and old == new)


def _base_name(target: Any) -> str:
    name = (
        target._schema.name.split("::")[-1] if isinstance(target, OpOverload) else target.__name__
    )
    return re.sub(r"\W", "_", name).strip("_") or "call"


def replace(node: fx.Node, new: Any) -> None:
    """Let every user of a node read ``new`` instead, and erase the node."""
    if isinstance(new, fx.Node):
        node.replace_all_uses_with(new)
    else:
        for user in list(node.users):
            user.args = map_arg(user.args, lambda arg: new if arg is node else arg)
            user.kwargs = map_arg(user.kwargs, lambda arg: new if arg is node else arg)
    node.graph.erase_node(node)


def constant(gm: fx.GraphModule, node: Any) -> torch.Tensor | None:
    """Return the tensor behind an attribute node, or None for anything else."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    found = getattr(gm, str(node.target))
    return found if isinstance(found, torch.Tensor) else None


def add_constant(
    gm: fx.GraphModule, before: fx.Node, data: torch.Tensor, fqn: str, *, val: Any = None
) -> fx.Node:
    """Register a tensor and insert its attribute node.

    Args:
        gm: Module that gets the tensor as a buffer.
        before: The new node comes before this one.
        data: Stored as it is, without a copy.
        fqn: Name for reports and for the weights file; made unique when another tensor has it.
        val: Fake value where it is known already.
    """
    name = re.sub(r"\W", "_", fqn).strip("_") or "constant"
    unique, count = name, 0
    while hasattr(gm, unique):
        count += 1
        unique = f"{name}_{count}"
    gm.register_buffer(unique, data)
    with gm.graph.inserting_before(before):
        node = gm.graph.create_node("get_attr", unique, name=unique)
    source = before.meta
    node.meta = {key: source[key] for key in ORIGIN if key in source}
    node.meta["fqn"] = f"{fqn}_{count}" if count else fqn
    node.meta["val"] = fake_mode(gm).from_tensor(data, static_shapes=True) if val is None else val
    return node


def module_path(node: fx.Node) -> str:
    """Return the dotted path of the module that a node came from, or an empty string."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    return str(next(reversed(stack.values()))[0])


def line_of(node: fx.Node) -> str:
    """Return `` at file:line`` of the user's innermost frame that export recorded."""
    trace = (node.meta.get("stack_trace") or "").strip().splitlines()
    frames = [line.split('"', 2) for line in trace if line.strip().startswith("File ")]
    mine = [(path, rest) for _, path, rest in frames if is_user_code(path)]
    if not mine:
        return ""
    path, rest = mine[-1]
    return f" at {path}:{rest.split(',')[1].strip().removeprefix('line ')}"


def writes(target: Any) -> tuple[str, ...]:
    """Return the names of the arguments that an operator writes to."""
    return _written(target) if isinstance(target, OpOverload) else ()


@lru_cache(maxsize=2048)
def _written(target: OpOverload) -> tuple[str, ...]:
    return tuple(
        arg.name
        for arg in target._schema.arguments
        if arg.alias_info is not None and arg.alias_info.is_write
    )


@lru_cache(maxsize=2048)
def is_random(target: Any) -> bool:
    """Whether two calls with equal arguments may yield different values."""
    return isinstance(target, OpOverload) and torch.Tag.nondeterministic_seeded in target.tags


def is_pure(node: fx.Node) -> bool:
    """Whether a call may be dropped when unused, and shared with an equal one."""
    target = node.target
    if not isinstance(target, OpOverload):
        return not isinstance(target, torch._ops.HigherOrderOperator)
    return not (writes(target) or is_random(target) or node.is_impure())
