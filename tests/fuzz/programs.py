# SPDX-License-Identifier: Apache-2.0
"""Small random FX programs over every operator that the compiler knows."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import fx, nn
from torch.utils._pytree import tree_leaves

from edge_trt.conversion.registry import CONVERTERS, lookup
from edge_trt.lowering.decompositions import DECOMPOSITIONS
from edge_trt.lowering.edit import is_random, writes
from edge_trt.lowering.normalise_variants import RULES
from tests.fuzz.arguments import draw_call, is_allowed
from tests.fuzz.tensors import SIZES, TYPES, Draw
from tests.fuzz.writes import VIEWS, Rollback, in_place

BOOLEANS = st.booleans()
LARGEST = 4096
"""Elements that a value may have."""


@functools.cache
def operators() -> tuple[Any, ...]:
    """The ATen overloads with a converter, a rule or a decomposition, in order of their names."""
    lookup(None)
    known = {
        t for t in (*CONVERTERS, *RULES, *DECOMPOSITIONS) if isinstance(t, torch._ops.OpOverload)
    }
    tensors = [t for t in known if any("Tensor" in str(r.type) for r in t._schema.returns)]
    usable = [t for t in tensors if t.namespace == "aten" and not writes(t) and not _draws(t)]
    chosen = (t for t in usable if str(t) not in LEFT_OUT and "quantize" not in str(t))
    return tuple(sorted(chosen, key=str))  # quantized levels jump at ties, and have rows


def _draws(target: Any) -> bool:
    """Whether results are random; attention is only where it drops weights, which is never here."""
    return is_random(target) and "attention" not in str(target)


LEFT_OUT = {
    "aten._reshape_alias.default": "its strides are what autograd found, and random ones are wrong",
    "aten._pdist_forward.default": "it crashes on what aten.pdist refuses",
    "aten.empty.memory_format": "elements are what memory holds",
    "aten.empty_like.default": "elements are what memory holds",
    "aten.new_empty.default": "elements are what memory holds",
    "aten.new_empty_strided.default": "elements are what memory holds",
    "aten.empty_strided.default": "elements are what memory holds",
    "aten.empty_permuted.default": "elements are what memory holds",
    **{
        f"aten._upsample_{mode}2d_aa.{overload}": "PyTorch repeats a pixel where images are 1 wide"
        for mode in ("bilinear", "bicubic")
        for overload in ("default", "vec")
    },
}


class Program:
    """A program with the inputs that it was made with.

    Attributes:
        module: a graph of ATen calls; returns a tuple.
        inputs: example inputs, in order.
        calls: the operators.
    """

    def __init__(
        self, module: fx.GraphModule, inputs: Sequence[torch.Tensor], calls: Sequence[str]
    ) -> None:
        self.module, self.inputs, self.calls = module, tuple(inputs), list(calls)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{t.dtype}{list(t.shape)}" for t in self.inputs)
        return f"Program({inputs})\n{self.module.code}"


@st.composite
def programs(draw: Draw, only: Sequence[Any] = ()) -> Program:
    """Programs of one to five calls, some of them in place; `only` narrows the operators."""
    drafted = _Draft(draw)
    for _ in range(draw(st.integers(1, 2))):
        rank = draw(st.sampled_from([1, 2, 3, 4] * 3 + [0]))
        drafted.fresh([draw(SIZES) for _ in range(rank)], draw(st.sampled_from(TYPES)))
    choices = st.sampled_from(list(only) or operators())
    wanted = draw(st.integers(1, 5))
    for _ in range(4 * wanted):
        if draw(st.sampled_from([False] * 3 + [True])):
            drafted.write()
        else:
            drafted.call(draw(choices))
        if len(drafted.calls) == wanted:
            break
    assume(drafted.calls)
    return drafted.finish()


@dataclass
class _Draft:
    draw: Draw
    graph: fx.Graph = field(default_factory=fx.Graph)
    root: nn.Module = field(default_factory=nn.Module)
    inputs: list[torch.Tensor] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    values: list[fx.Node] = field(default_factory=list)
    written: list[fx.Node] = field(default_factory=list)

    def tensor(self, value: fx.Node) -> torch.Tensor:
        return value.meta["val"]

    def pick(self, wanted: Callable[[torch.Tensor], bool]) -> fx.Node | None:
        found = [v for v in self.values if wanted(self.tensor(v))]
        return self.draw(st.sampled_from(found[::-1])) if found else None  # recent ones first

    def fresh(
        self, shape: Sequence[int], dtype: torch.dtype, low: int = -3, high: int = 3
    ) -> fx.Node:
        """An input, or a weight. Floats are eighths, so that sums and products are exact."""
        generator = torch.Generator().manual_seed(len(list(self.graph.nodes)))
        if dtype is torch.bool:
            low, high = 0, 1
        low = 0 if dtype is torch.uint8 else low
        scale = 8 if dtype.is_floating_point else 1
        raw = torch.randint(
            low * scale, max(high, low) * scale + 1, tuple(shape), generator=generator
        )
        tensor = (raw / scale).to(dtype)
        if self.draw(st.booleans()) or not self.inputs:
            placeholders = self.graph.find_nodes(op="placeholder")
            after = self.graph.inserting_after(placeholders[-1]) if placeholders else nullcontext()
            with after:
                node = self.graph.placeholder(f"x{len(self.inputs)}")
            self.inputs.append(tensor.clone())
        else:
            name = f"weight{len(list(self.root.buffers()))}"
            self.root.register_buffer(name, tensor)
            node = self.graph.get_attr(name)
        node.meta["val"] = tensor
        self.values.append(node)
        return node

    def write(self) -> None:
        """Adds a call that writes to a value that is no input, or to a part of one."""
        value = self.pick(self._is_own)
        value = value or self.call(torch.ops.aten.clone.default, self.pick(lambda t: t.numel() > 0))
        if value is None:
            return
        part = self.call(self.draw(st.sampled_from(VIEWS)), value) if self.draw(BOOLEANS) else None
        if self.call(self.draw(st.sampled_from(in_place(operators()))), part or value) is not None:
            self.written.append(value)

    def _is_own(self, tensor: torch.Tensor) -> bool:
        given = {t.untyped_storage().data_ptr() for t in self._given()}
        return tensor.numel() > 0 and tensor.untyped_storage().data_ptr() not in given

    def _given(self) -> Iterator[torch.Tensor]:
        return (self.tensor(node) for node in self.values if node.op != "call_function")

    def call(self, target: Any, about: fx.Node | None = None) -> fx.Node | None:
        """Adds a call, unless PyTorch refuses it for the arguments that were drawn."""
        arguments = draw_call(self.draw, target, self, about)
        args, kwargs = _positional(target, arguments)
        concrete = fx.map_arg((args, kwargs), self.tensor)
        if not is_allowed(target, *concrete):
            return None
        before = [self.tensor(value)._version for value in self.values]
        rollback = Rollback(concrete[0][0]) if writes(target) else None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                result = target(*concrete[0], **concrete[1])
        except Exception:  # whatever PyTorch says: it does not want these arguments
            return None
        if not rollback and before != [self.tensor(value)._version for value in self.values]:
            return None  # statistics of a normalization that trains
        results = result if isinstance(result, (list, tuple)) else [result]
        tensors = [t for t in tree_leaves(results) if isinstance(t, torch.Tensor)]
        if len(tensors) != len(results) or not all(map(_usable, tensors)):
            if rollback:
                rollback.undo()
            return None
        node = self.graph.call_function(target, args, kwargs)
        self.calls.append(str(target))
        if isinstance(result, torch.Tensor):
            node.meta["val"] = result
            self.values.append(node)
            return node
        for place, tensor in enumerate(tensors):
            part = self.graph.call_function(_getitem, (node, place))
            part.meta["val"] = tensor
            self.values.append(part)
        return node

    def finish(self) -> Program:
        """The program; its results are the values that no call reads, or that are written to.

        One more may be any other, an input or a view of it.
        """
        results = [v for v in self.values if not v.users and v.op == "call_function"]
        results = [*results, *self.written] or self.values[-1:]
        if self.draw(st.sampled_from([False] * 3 + [True])):
            results.append(self.draw(st.sampled_from(self.values)))
        self.graph.output(tuple(dict.fromkeys(results)))
        for node in self.graph.find_nodes(op="placeholder"):
            node.meta.clear()
        module = fx.GraphModule(self.root, self.graph).eval()
        return Program(module, self.inputs, self.calls)


def _getitem(values: Sequence[Any], place: int) -> Any:
    return values[place]


def _usable(tensor: torch.Tensor) -> bool:
    """Whether a value is small, of a type of inputs, and without NaN, which has rows of its own."""
    return (
        not tensor.isnan().any()
        and tensor.dtype in TYPES
        and tensor.numel() <= LARGEST
        and tensor.dim() <= 6
    )


def _positional(target: Any, arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments up to the first that is left out by position, the others by name."""
    args: list[Any] = []
    schema = target._schema.arguments
    for argument in schema:
        if argument.kwarg_only or argument.name not in arguments:
            break
        args.append(arguments[argument.name])
    names = {a.name for a in schema[: len(args)]}
    return tuple(args), {n: v for n, v in arguments.items() if n not in names}
