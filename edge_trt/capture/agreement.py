# SPDX-License-Identifier: Apache-2.0
"""Whether an exported program does what its model does, and has the shapes that it says."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from sympy import sympify
from torch import fx
from torch.utils import _pytree as pytree

from edge_trt.capture.flex_attention import flex_attention_as_scores
from edge_trt.capture.kept_state import copies_of_state, left_as_found
from edge_trt.lowering.eager import harmless

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from torch import nn
    from torch.export import ExportedProgram

_TOLERANCE = 1e-4


def agrees(
    model: nn.Module,
    program: ExportedProgram,
    tensors: Mapping[int, torch.Tensor],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    sizes: bool = True,
) -> bool:
    """Compare a program with its model on one call.

    The shapes inside are compared too: what is converted is what the program says of them, and an
    operator such as ``squeeze`` may do something else at one size than at all others.

    Args:
        model: The model; neither it nor its buffers change.
        program: What was exported of it.
        tensors: The tensors of the call, by position.
        args: The call.
        kwargs: Its keyword arguments.
        sizes: Whether the sizes inside have to be those that the program says, and not the number
            of dimensions alone. A slice counted from the end may be right with other sizes.
    """
    expected = answers(model, args, kwargs)
    found = checked_results(program, tensors, sizes=sizes)
    if found is None:
        return False
    return alike(found, pytree.tree_leaves(expected))


def alike(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Whether the tensors among two lists of results are the same but for rounding."""
    # Sizes and constants among the outputs are judged elsewhere.
    wanted = [v for v in expected if isinstance(v, torch.Tensor)]
    results = [v for v in found if isinstance(v, torch.Tensor)]
    return len(wanted) == len(results) and all(map(_close, results, wanted))


def checked_results(
    program: ExportedProgram, tensors: Mapping[int, torch.Tensor], *, sizes: bool
) -> Sequence[Any] | None:
    """Run a program: its results, or None where a tensor has another shape than it says.

    Args:
        program: The program; its buffers stay as they are.
        tensors: Its tensors, by position.
        sizes: As for `agrees`.
    """
    checking = _Checking(harmless(program), sizes=sizes)
    with torch.inference_mode():
        try:
            return checking.run(*(tensors[i] for i in sorted(tensors)))
        except _OtherShapeError:
            return None


def answers(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, keep: bool = False
) -> Any:
    """What the model gives; inputs and the model stay as they are.

    Args:
        model: The model.
        args: The call.
        kwargs: Its keyword arguments.
        keep: Whether to leave to the model what it keeps in attributes (it may keep a grid).
    """
    args, named = pytree.tree_map_only(torch.Tensor, torch.Tensor.clone, (args, dict(kwargs)))
    with (
        nullcontext() if keep else left_as_found(model),
        # Compiling what the model asks torch to compile takes longer than all else.
        torch.compiler.set_stance("force_eager"),
        flex_attention_as_scores(),
        attention_as_exported(),
        torch.inference_mode(),
    ):
        return torch.func.functional_call(model, copies_of_state(model), args, named)


@contextmanager
def attention_as_exported() -> Generator[None]:
    """Keep `nn.TransformerEncoderLayer` and `nn.MultiheadAttention` from their fast kernels.

    An export never has these. They give NaN for a row whose keys are all masked, which is finite
    elsewhere, and zeros where the padding is.
    """
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


class _OtherShapeError(Exception):
    """A tensor has another shape than the program says."""


class _Checking(fx.Interpreter):
    """Runs a graph, and compares every tensor's shape with the symbolic one."""

    def __init__(self, module: fx.GraphModule, *, sizes: bool) -> None:
        super().__init__(module)
        self._strict = sizes
        self._sizes: dict[Any, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node.

        Raises:
            _OtherShapeError: When its result has another shape than the program says.
        """
        result = super().run_node(n)
        said = n.meta.get("val")
        if isinstance(result, torch.Tensor) and isinstance(said, torch.Tensor):
            if result.dim() != said.dim():
                raise _OtherShapeError(n.name)
            for size, symbolic in zip(result.shape, said.shape, strict=True):
                if self._strict or isinstance(symbolic, int):
                    self._compare(n, size, symbolic)
        return result

    def _compare(self, node: fx.Node, size: int, symbolic: int | torch.SymInt) -> None:
        if isinstance(symbolic, int):
            if symbolic != size:
                raise _OtherShapeError(node.name)
            return
        expression: Any = symbolic.node.expr
        if node.op == "placeholder":
            self._learn(expression, size)
        known = sympify(expression).xreplace(self._sizes)
        # Others depend on values; a slice of fewer than no rows has none.
        if known.is_number and max(int(known), 0) != size:
            raise _OtherShapeError(node.name)

    def _learn(self, expression: Any, size: int) -> None:
        """Find the symbol of an input's size, which may be a multiple of it."""
        for symbol in expression.free_symbols:
            times = expression / symbol
            if times.is_Integer:
                self._sizes.setdefault(symbol, sympify(size // int(times)))


def _close(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    if not got.is_floating_point():
        return torch.equal(got, wanted)
    return torch.allclose(got, wanted, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
