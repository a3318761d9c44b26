# SPDX-License-Identifier: Apache-2.0
"""Operators without a converter are written in smaller ones that have one: the last resort."""

from __future__ import annotations

import logging
import operator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

from edge_trt.capture.oblivious import no_new_guards, oblivious
from edge_trt.conversion.origin import operator_of
from edge_trt.conversion.registry import ASKS_FOR_SIZE, REFUSED_PART
from edge_trt.lowering.decompositions import decomposition
from edge_trt.lowering.decompositions_quantization import QUANTIZERS
from edge_trt.lowering.edit import (
    add_constant,
    calls,
    constant,
    fake_mode,
    insert,
    is_random,
    line_of,
    module_path,
    replace,
    value,
    writes,
)
from edge_trt.lowering.functionalise_writes import functionalise_writes
from edge_trt.lowering.normalise_variants import normalise_variants
from edge_trt.lowering.remove_dead_code import remove_dead_code
from edge_trt.lowering.remove_no_ops import remove_no_ops
from edge_trt.lowering.shapes import same_type

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

DEPTH = 6
"""How often a decomposition may be decomposed again; torch's deepest chains need four."""

IN_FLOATS = "edge_trt_in_floats"
"""Key in ``gm.meta``: lines of quantizers that TensorRT's layers don't know, with the reason."""
_LOGS = [
    logging.getLogger(f"torch.{name}")
    for name in ("fx.experimental.symbolic_shapes", "_subclasses.fake_tensor")
]


def decompose_unsupported(gm: fx.GraphModule, supported: Callable[[fx.Node], str | None]) -> bool:
    """Decompose the calls that have no converter, where all parts then have one.

    ::

        before  addcmul(a, b, c)          # supported(node) -> "no converter for aten.addcmul"
        after   add(a, mul(b, c))

    All or nothing per call: a call of which some part would still have no converter stays whole, so
    that the report names the user's operator and the fallback runs it in one piece. The reason of
    the part that is in the way is kept for it.

    Args:
        gm: Module to edit.
        supported: Returns None when a node can be converted, else the reason why not.
    """
    changed = False
    for node in calls(gm):
        reason = supported(node)
        if reason is not None:
            where = line_of(node)
            expanded = _expand(gm, node, supported, DEPTH)
            if expanded and node.target in QUANTIZERS:
                gm.meta.setdefault(IN_FLOATS, []).append(f"{where}: {reason}")
            changed |= expanded
    return changed


def notes_of(gm: fx.GraphModule) -> list[str]:
    """Return what a person should know of how a graph was decomposed, in sentences."""
    found = gm.meta.get(IN_FLOATS, [])
    if not found:
        return []
    said = (
        f"{len(found)} quantizers of the model are computed in floats, which costs more than none"
    )
    return [f"{said} (the first{found[0]}); train or export with symmetric qint8 observers"]


def expand(gm: fx.GraphModule, node: fx.Node, function: Callable[..., Any]) -> bool:
    """Replace one call by what a function of its arguments does, in the smallest operators."""
    traced = _record(gm, node, function, large=False)
    if traced is None:
        return False
    holder = _splice(gm, node, traced)
    return _hand_over(node, holder)


def _expand(
    gm: fx.GraphModule, node: fx.Node, supported: Callable[[fx.Node], str | None], depth: int
) -> bool:
    """Replace one call by its decomposition, recursively; leave the graph as it was on failure."""
    function = None if depth == 0 or is_random(node.target) else decomposition(node.target)
    traced = None if function is None else _trace(gm, node, function)
    if traced is None:
        return False
    start = node.prev
    holder = _splice(gm, node, traced)
    parts = _between(start, holder)
    refused = next((part for part in parts if not _settle(gm, part, supported, depth)), None)
    if refused is not None:
        found = (operator_of(refused), supported(refused))
        node.meta[REFUSED_PART] = refused.meta.get(REFUSED_PART, found)
    if refused is not None or not _hand_over(node, holder):
        for new in reversed(_between(start, node)):
            gm.graph.erase_node(new)
        return False
    return True


def _settle(
    gm: fx.GraphModule, node: fx.Node, supported: Callable[[fx.Node], str | None], depth: int
) -> bool:
    """Make one new call convertible, if it can be."""
    if node.op != "call_function" or supported(node) is None:
        return True
    return _expand(gm, node, supported, depth - 1)


def _between(start: fx.Node, end: fx.Node) -> list[fx.Node]:
    """Return the nodes after ``start`` and before ``end``."""
    found = []
    node = start.next
    while node is not end:
        found.append(node)
        node = node.next
    return found


def _trace(
    gm: fx.GraphModule, node: fx.Node, function: Callable[..., Any]
) -> fx.GraphModule | None:
    """Record what a decomposition does, in large operators where its author wrote such."""
    for asking in (nullcontext, _asking_nothing):
        # A composite kernel in C++ is opaque before dispatch, and gives the smallest ones after it.
        for large in (True, False):
            with asking(gm):
                traced = _record(gm, node, function, large=large)
            if traced is not None and _is_usable(traced, node):
                return traced
        if ASKS_FOR_SIZE not in node.meta:
            break
    return None


def _record(
    gm: fx.GraphModule, node: fx.Node, function: Callable[..., Any], *, large: bool
) -> fx.GraphModule | None:
    sources = node.all_input_nodes

    def call(*values: Any) -> Any:
        given = dict(zip(sources, values, strict=True))
        args, kwargs = map_arg((node.args, node.kwargs), given.__getitem__)
        result = function(*map(_plain, args), **kwargs)
        if result is NotImplemented:
            raise _NoDecompositionError
        return tuple(result) if isinstance(result, (tuple, list)) else result

    try:
        with torch.no_grad(), fake_mode(gm), _no_guards(gm):
            traced = make_fx(call, pre_dispatch=large)(*map(value, sources))
    except Exception as error:  # it asks for a symbolic size, or for a value: no general form
        if "guards are frozen" in str(error):
            node.meta[ASKS_FOR_SIZE] = True
        return None
    normalise_variants(traced)
    functionalise_writes(traced)
    normalise_variants(traced)
    remove_no_ops(traced)
    remove_dead_code(traced)
    return traced


def _plain(argument: Any) -> Any:
    """An argument as torch's decompositions expect it, which change lists in place."""
    return list(argument) if isinstance(argument, list) else argument


@contextmanager
def _asking_nothing(gm: fx.GraphModule) -> Generator[None]:
    """Ask as little about sizes as can be.

    The cache of fake tensors asks, of each result that it keeps, whether a size is 1.
    """
    mode = fake_mode(gm)
    kept, mode.cache_enabled = mode.cache_enabled, False
    try:
        with oblivious():
            yield
    finally:
        mode.cache_enabled = kept


@contextmanager
def _no_guards(gm: fx.GraphModule) -> Generator[None]:
    """Let a question about a symbolic size fail: its answer would hold for the example only."""
    shapes, levels = fake_mode(gm).shape_env, [log.level for log in _LOGS]
    for log in _LOGS:
        log.setLevel(logging.CRITICAL)  # a question that fails is no news to the user
    try:
        with nullcontext() if shapes is None else no_new_guards(shapes):
            yield
    finally:
        for log, level in zip(_LOGS, levels, strict=True):
            log.setLevel(level)


def _is_usable(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a trace has only known values, makes progress and holds no data of fake tensors."""
    for inner in traced.graph.nodes:
        if inner.op == "get_attr" and isinstance(constant(traced, inner), (FakeTensor, type(None))):
            return False
        if inner.op == "call_function" and (
            inner.target is node.target or "val" not in inner.meta or writes(inner.target)
        ):
            return False
    return True


class _NoDecompositionError(Exception):
    """A decomposition answered ``NotImplemented``."""


def _splice(gm: fx.GraphModule, node: fx.Node, traced: fx.GraphModule) -> fx.Node:
    """Copy a traced graph before a call; return a node that holds the results as its arguments."""
    sources = iter(node.all_input_nodes)
    copies: dict[fx.Node, fx.Node] = {}
    results: Any = ()
    for inner in traced.graph.nodes:
        if inner.op == "placeholder":
            copies[inner] = next(sources)
        elif inner.op == "get_attr":
            data = constant(traced, inner)
            assert data is not None
            name = f"{module_path(node)}.{node.name}.constant".lstrip(".")
            copies[inner] = add_constant(gm, node, data, name)
        elif inner.op == "output":
            results = map_arg(inner.args[0], copies.__getitem__)
        else:
            args, kwargs = map_arg((inner.args, inner.kwargs), copies.__getitem__)
            val = inner.meta["val"]
            copies[inner] = insert(gm, node, inner.target, args, kwargs, like=node, val=val)
    with gm.graph.inserting_before(node):
        return gm.graph.call_function(_results, (results,))


def _results(results: Any) -> Any:
    """Target of the node that holds results while parts of a decomposition are still replaced."""
    return results


def _hand_over(node: fx.Node, holder: fx.Node) -> bool:
    """Let the readers of a call read the results instead, if they are of the same kind."""
    results: Any = holder.args[0]
    if isinstance(node.meta["val"], (list, tuple)):
        readers = list(node.users)
        if any(reader.target is not operator.getitem for reader in readers):
            return False
        if any(results[reader.args[1]] is None for reader in readers if reader.users):
            return False  # the decomposition leaves out what is seldom read
        holder.graph.erase_node(holder)
        for reader in readers:
            replace(reader, results[reader.args[1]])
        node.graph.erase_node(node)
        return True
    if not same_type(results, node):
        return False
    holder.graph.erase_node(holder)
    replace(node, results)
    return True
