# SPDX-License-Identifier: Apache-2.0
"""What `torch.autocast` does to a call, written as casts of its operands.

torch.export records the calls of such a region as the model has them. Which of them autocast
casts, and to what, PyTorch itself is asked: each is run on fake tensors with autocast and without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch._ops import OpOverload
from torch.fx.node import map_arg
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edge_trt.lowering.edit import aten, fake_mode, insert, propagate, value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import fx


@dataclass(frozen=True)
class Autocast:
    """A region of `torch.autocast` that is enabled; `dtype` None is the device's own default."""

    device: str
    dtype: torch.dtype | None

    def run(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call an operator as the region does."""
        with torch.autocast(self.device, dtype=self.dtype, cache_enabled=False):
            return target(*args, **kwargs)


def cast_operands(gm: fx.GraphModule, node: fx.Node, region: Autocast) -> bool:
    """Give a call the operands that it gets inside of an autocast region.

    ::

        before  linear(x, w, b)                          # float32, in a region of bfloat16
        after   linear(x.to(bf16), w.to(bf16), b.to(bf16))

    Returns:
        False where the casts are inside of what the operator is composed of, so that no operands
        of other types do the same.
    """
    if not isinstance(node.target, OpOverload):
        return True
    _retype(gm, node, region)
    with fake_mode(gm), torch.no_grad():
        inside = _steps(node.target, *_values(node), region)
        if inside == _steps(node.target, *_values(node)):
            return True
        casts = inside.leading if inside is not None else {}
        cast = {s: casts[id(value(s))] for s in node.all_input_nodes if id(value(s)) in casts}
        same = _steps(node.target, *_values(node, cast))
    if not cast or same is None or inside is None or same.others != inside.others:
        return False
    copies = {
        source: insert(gm, node, aten.to.dtype, (source, dtype), like=node)
        for source, dtype in cast.items()
    }
    node.args, node.kwargs = map_arg((node.args, node.kwargs), lambda n: copies.get(n, n))
    return True


def _retype(gm: fx.GraphModule, node: fx.Node, region: Autocast) -> None:
    """Correct what torch.export, which forgets autocast in branches, says of a call's type."""
    with fake_mode(gm), torch.no_grad():
        args, kwargs = _values(node)
        known = region.run(node.target, *args, **kwargs)  # type: ignore[arg-type]
    if [x.dtype for x in _tensors(known)] == [x.dtype for x in _tensors(value(node))]:
        return
    node.meta["val"] = known
    after = node.next
    while after.op != "output":
        if isinstance(after.target, OpOverload):
            after.meta["val"] = propagate(gm, after.target, after.args, after.kwargs)
        after = after.next


@dataclass(frozen=True)
class _Steps:
    """What an operator ran: the casts of its own operands that came first, and all else."""

    leading: Mapping[int, torch.dtype]
    others: Sequence[tuple[Any, ...]]


class _Recorder(TorchDispatchMode):
    def __init__(self, operands: Sequence[Any]) -> None:
        super().__init__()
        self.operands = {id(x) for x in operands}
        self.leading: dict[int, torch.dtype] = {}
        self.others: list[tuple[Any, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        is_cast = func is aten._to_copy.default and id(args[0]) in self.operands
        if is_cast and not self.others:
            self.leading[id(args[0])] = result.dtype
        elif func.namespace != "prim":  # questions, such as of what device a tensor is
            self.others.append((func, *(x.dtype for x in _tensors(result))))
        return result


def _steps(target: Any, args: Any, kwargs: Any, region: Autocast | None = None) -> _Steps | None:
    """What an operator runs on fake tensors, or None where it takes no such types."""
    recorder = _Recorder(_tensors((args, kwargs)))
    try:
        with recorder:
            if region is None:
                target(*args, **kwargs)
            else:
                region.run(target, *args, **kwargs)
    except RuntimeError:  # types that don't go together
        return None
    return _Steps(recorder.leading, recorder.others)


def _values(node: fx.Node, cast: Mapping[fx.Node, torch.dtype] | None = None) -> tuple[Any, Any]:
    """The arguments of a call as fake tensors, some of them as another type."""
    types = cast or {}

    def known(source: fx.Node) -> Any:
        found = value(source)
        return found.to(types[source]) if source in types else found

    return map_arg((node.args, node.kwargs), known)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [x for x in tree_leaves(values) if isinstance(x, torch.Tensor)]
