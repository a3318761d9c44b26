# SPDX-License-Identifier: Apache-2.0
"""Operands of a call at the sizes of the example, to ask PyTorch what a call does.

Asked of open sizes, a kernel may fix them for the whole program, or refuse to answer.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.node import map_arg
from torch.utils._pytree import tree_any, tree_map

from edge_trt.capture.quiet import quiet
from edge_trt.lowering.edit import aten, fake_mode, value

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from torch import fx

SEQUENCES = (aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)
"""Operators that run one step after the other; all steps do the same."""
_BATCH_FIRST = 8

_Symbols = (torch.SymInt, torch.SymFloat, torch.SymBool)


class ExampleOperands:
    """What the inputs of a call are, each time the same objects."""

    def __init__(self, node: fx.Node, numbers: bool) -> None:
        self.node = node
        self.of = {
            source: tree_map(_at_example, value(source)) if numbers else value(source)
            for source in node.all_input_nodes
        }
        if node.target in SEQUENCES and numbers:
            first, batch_first = node.args[0], node.args[_BATCH_FIRST]
            self.of[first] = self.of[first][:, :1] if batch_first else self.of[first][:1]  # type: ignore[index]

    def arguments(self, cast: Mapping[fx.Node, torch.dtype] | None = None) -> tuple[Any, Any]:
        """Positional and named arguments, some tensors as another type."""
        types = cast or {}

        def known(source: fx.Node) -> Any:
            found = self.of[source]
            return found.to(types[source]) if source in types else found

        return map_arg((self.node.args, self.node.kwargs), known)


@contextmanager
def example_operands(gm: fx.GraphModule, node: fx.Node) -> Generator[ExampleOperands]:
    """The operands, in a mode without memory; sizes stay open where data decides one of them."""
    values = [value(source) for source in node.all_input_nodes]
    numbers = not tree_any(_is_unknown, values)
    with FakeTensorMode() if numbers else fake_mode(gm), torch.no_grad(), quiet():
        yield ExampleOperands(node, numbers)


def _is_unknown(found: Any) -> bool:
    if isinstance(found, torch.Tensor):
        return any(map(_is_unknown, (*found.shape, *found.stride())))
    return isinstance(found, _Symbols) and found.node.hint is None


def _at_example(found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        sizes, strides = ([_at_example(n) for n in of] for of in (found.shape, found.stride()))
        return torch.empty_strided(sizes, strides, dtype=found.dtype, device=found.device)
    return found.node.hint if isinstance(found, _Symbols) else found
