# SPDX-License-Identifier: Apache-2.0
"""What `torch.autocast` does to a call, written as casts of its operands.

torch.export records the calls of such a region as the model has them. Which of them autocast
casts, and to what, PyTorch itself is asked: each is run on fake tensors with autocast and without.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch._ops import OpOverload
from torch.fx.node import map_arg
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from edge_trt.lowering.edit import aten, fake_mode, insert, propagate, value
from edge_trt.lowering.example_operands import SEQUENCES, example_operands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import fx

    from edge_trt.lowering.example_operands import ExampleOperands


@dataclass(frozen=True)
class Autocast:
    """A region of `torch.autocast` that is enabled; `dtype` None is the device's own default."""

    device: str
    dtype: torch.dtype | None

    @property
    def type(self) -> torch.dtype:
        """To what operands are cast."""
        return self.dtype or torch.get_autocast_dtype(self.device)

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
    whole = node.target in SEQUENCES
    with example_operands(gm, node) as operands:
        inside = _steps(node.target, *operands.arguments(), region)
        if inside is None:
            return False
        same = inside == _steps(node.target, *operands.arguments())
        casts = () if same or whole else _casts(operands, inside, region)
        cast = next((c for c in casts if _gives(operands, c, inside)), None)
    _retype(gm, node, inside.types)
    if whole and not same:
        return _cast_sequence(gm, operands, inside.types, region)
    if cast is not None:
        _write(gm, node, cast)
    return same or cast is not None


def _write(gm: fx.GraphModule, node: fx.Node, cast: Mapping[fx.Node, torch.dtype]) -> None:
    copies = {
        source: insert(gm, node, aten.to.dtype, (source, dtype), like=node)
        for source, dtype in cast.items()
    }
    node.args, node.kwargs = map_arg((node.args, node.kwargs), lambda n: copies.get(n, n))


def _cast_sequence(
    gm: fx.GraphModule, operands: ExampleOperands, types: Sequence[torch.dtype], region: Autocast
) -> bool:
    """Cast all operands of a recurrent layer, which stays whole, and its results to their types.

    PyTorch casts in each step. Some cells keep their state in float32 there.
    """
    node, given = operands.node, operands.of
    if any(x.dtype is torch.float64 for x in _tensors(list(given.values()))):
        return False
    cast = {s: region.type for s, x in given.items() if x.dtype is torch.float32}
    _write(gm, node, cast)
    _set_types(gm, node, [region.type] * len(types))
    for user in list(node.users):
        readers, wanted = list(user.users), types[user.args[1]]  # type: ignore[index,call-overload]
        repropagate(gm, user)
        if wanted is not region.type:
            copy = insert(gm, user.next, aten.to.dtype, (user, wanted), like=node)
            for reader in readers:
                reader.replace_input_with(user, copy)
    return True


def _casts(
    operands: ExampleOperands, inside: _Steps, region: Autocast
) -> Iterator[dict[fx.Node, torch.dtype]]:
    """Casts that may do what the region does: those that come first in it, or of all operands."""
    sources = {s: x for s, x in operands.of.items() if isinstance(x, torch.Tensor)}
    leading = {s: inside.leading[id(x)] for s, x in sources.items() if id(x) in inside.leading}
    if leading:
        yield leading
    elif all(x.dtype is not torch.float64 for x in sources.values()):
        yield {s: region.type for s, x in sources.items() if x.dtype is torch.float32}


def _gives(operands: ExampleOperands, cast: Mapping[fx.Node, torch.dtype], inside: _Steps) -> bool:
    """Whether a call with these casts does the steps of the region, in the same types."""
    same = _steps(operands.node.target, *operands.arguments(cast))
    return same is not None and same.computed() == inside.computed()


def _retype(gm: fx.GraphModule, node: fx.Node, types: Sequence[torch.dtype]) -> None:
    """Correct what torch.export, which forgets autocast in branches, says of a call's types."""
    if [x.dtype for x in _tensors(value(node))] == types:
        return
    _set_types(gm, node, types)
    after = node.next
    while after.op != "output":
        repropagate(gm, after)
        after = after.next


def _set_types(gm: fx.GraphModule, node: fx.Node, types: Sequence[torch.dtype]) -> None:
    leaves, structure = tree_flatten(value(node))
    rest = iter(types)
    with fake_mode(gm), torch.no_grad():
        leaves = [x.to(next(rest)) if isinstance(x, torch.Tensor) else x for x in leaves]
    node.meta["val"] = tree_unflatten(leaves, structure)


def repropagate(gm: fx.GraphModule, node: fx.Node) -> None:
    """Compute again what a call yields, whose operands have other types than torch.export said."""
    if node.target is aten._assert_tensor_metadata.default:  # what torch.export said
        node.update_kwarg("dtype", value(node.args[0]).dtype)
    elif isinstance(node.target, OpOverload) or node.target is operator.getitem:
        node.meta["val"] = propagate(gm, node.target, node.args, node.kwargs)


@dataclass(frozen=True)
class _Steps:
    """What an operator ran: the casts of its own operands that came first, and all else.

    Attributes:
        leading: identity of an operand -> the type that it was cast to.
        others: operators, each with the types of its results.
        types: those of the results.
    """

    leading: Mapping[int, torch.dtype]
    others: Sequence[tuple[Any, ...]]
    types: Sequence[torch.dtype]

    def computed(self) -> list[Any]:
        """All else but copies, and views without their types: these may come before a cast."""
        return [
            call if call.is_view else (call, *types)
            for call, *types in self.others
            if call not in (aten._to_copy.default, aten.clone.default)
        ]


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
            results = (region.run if region else _run)(target, *args, **kwargs)
    except RuntimeError:  # types that don't go together
        return None
    types = [x.dtype for x in _tensors(results)]
    return _Steps(recorder.leading, recorder.others, types)


def _run(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return target(*args, **kwargs)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [x for x in tree_leaves(values) if isinstance(x, torch.Tensor)]
