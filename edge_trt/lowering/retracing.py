# SPDX-License-Identifier: Apache-2.0
"""Letting torch do away with writes by tracing a program again, with all its views in sight."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edge_trt.errors import UnsupportedError
from edge_trt.lowering.aliasing import written_memory
from edge_trt.lowering.edit import arguments, aten, line_of, tensor, writes
from edge_trt.lowering.shapes import same_size
from edge_trt.user_code import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from torch._ops import OpOverload
    from torch.export import ExportedProgram

    _Source = Callable[[fx.Node], fx.Node | None]

_HIDDEN_VIEWS = (
    aten.atleast_1d.Sequence,
    aten.atleast_2d.Sequence,
    aten.atleast_3d.Sequence,
    aten.broadcast_tensors.default,
    aten.flatten_dense_tensors.default,
    aten.meshgrid.default,
    aten.meshgrid.indexing,
    aten.sum_to_size.default,
    aten.type_as.default,
    aten.unflatten_dense_tensors.default,
)
"""Results may share memory with inputs, of which their schemas say nothing."""

_DROPOUTS = (
    aten.alpha_dropout.default,
    aten.dropout.default,
    aten.feature_alpha_dropout.default,
    aten.feature_dropout.default,
)
"""Results are the inputs themselves where nothing is dropped, but to a trace copies of them."""

_SAFE = {
    aten.unsafe_chunk.default: aten.chunk.default,
    aten.unsafe_split.Tensor: aten.split.Tensor,
    aten.unsafe_split_with_sizes.default: aten.split_with_sizes.default,
}
"""Operators that promise autograd that nobody writes to their pieces -> the same without that."""


def retrace(program: ExportedProgram) -> ExportedProgram:
    """Return a program that writes to nothing but its state, and has no vmap.

    Torch keeps a composite operator whole where its schema says that it yields fresh memory. Those
    of which that is not true become views, else a write to one result were not seen in the others.
    Nothing else is decomposed.

    Raises:
        UnsupportedError: A write goes through a view of which torch gets the way back wrong, or
            the way back is right for some sizes only.
    """
    # Not above: capture traces again too.
    from edge_trt.capture.mutations import hides_memory
    from edge_trt.capture.oblivious import oblivious
    from edge_trt.capture.recurrences import whole_recurrences
    from edge_trt.capture.rename import rename_inputs
    from edge_trt.capture.retraced import known_sizes, settle_sizes
    from edge_trt.capture.signature import user_inputs

    hidden = hides_memory(program)
    source = _by_schema if hidden else _by_memory(program.graph_module)
    _refuse_lossy_writes(program.graph_module, source)
    table: dict[Any, Callable[..., Any]] = {op: partial(_composite, op) for op in _HIDDEN_VIEWS}
    table[aten.einsum.default] = _einsum
    before = known_sizes(program)
    with warnings.catch_warnings(), _as_views(program.graph), oblivious(), whole_recurrences():
        # torch 2.13 trips over its own deprecation
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        retraced = _decomposed(program, table)
    # Torch names some inputs after their place again: those of `forward(*images)` are `images_0`.
    pairs = zip(user_inputs(retraced), user_inputs(program), strict=True)
    rename_inputs(retraced, {now.name: before.name for now, before in pairs})
    settle_sizes(program, retraced, before)
    return retraced


def _decomposed(program: ExportedProgram, table: dict[Any, Callable[..., Any]]) -> ExportedProgram:
    try:
        return program.run_decompositions(table)
    except (AssertionError, RuntimeError) as error:
        found = re.search(r"While executing %(\w+)", str(error))
        nodes = {node.name: node for node in program.graph.nodes}
        where = line_of(nodes[found[1]]) if found is not None and found[1] in nodes else ""
        why = "it reads a view by as_strided" if "as_strided()" in str(error) else reason(error)
        raise UnsupportedError(
            f"PyTorch can't carry back what the model writes in place{where}: {why}",
            hint="clone() the view before it is written to, or write to the tensor itself",
        ) from error


def _refuse_lossy_writes(gm: fx.GraphModule, source: _Source) -> None:
    """Refuse what torch traces, but wrongly: it adds up what repeats, and drops what no window has.

    Where a write goes through an expanded tensor, that gives sums; through windows with gaps,
    zeros between them; and windows that overlap it refuses with an error of its own.
    """
    for node in gm.graph.nodes:
        for name in writes(node.target):
            view = next(filter(_is_lossy, _views(arguments(node)[name], source)), None)
            if view is not None:
                raise UnsupportedError(
                    f"{node.name} writes in place to elements of {view.name}{line_of(node)}, which "
                    "repeats or leaves out elements of the tensor that it shows",
                    hint="clone() it before, or write to the tensor itself",
                )


def _by_memory(gm: fx.GraphModule) -> _Source:
    """What tells of which node another is a view, by the memory that export saw."""
    shown = written_memory(gm)

    def source(node: fx.Node) -> fx.Node | None:
        memory = shown.get(node)
        found = (s for s in node.all_input_nodes if memory is not None and shown.get(s) == memory)
        return next(found, None)

    return source


def _by_schema(node: fx.Node) -> fx.Node | None:
    """Of which node another is a view or may be one, where values don't tell."""
    from edge_trt.capture.mutations import MAYBE_A_VIEW, viewed

    found = viewed(node, hidden=True)
    copied = found is not None and _is_lossy(found) and not _is_lossy(node)
    return None if copied and node.target._opname in MAYBE_A_VIEW else found  # type: ignore[union-attr]


def _views(written: Any, source: _Source) -> Iterator[fx.Node]:
    """The written node and the nodes that it is a view of, the nearest first."""
    while isinstance(written, fx.Node):
        yield written
        written = source(written)


def _is_lossy(view: fx.Node) -> bool:
    found = tensor(view)
    if found is None:
        return False
    if view.target == aten.unfold.default:
        base = tensor(view.args[0])
        return base is None or not same_size(base.numel(), found.numel())
    if view.target == aten.as_strided.default and _overlaps(found):
        return True
    pairs = zip(found.shape, found.stride(), strict=True)
    return any(same_size(stride, 0) and not same_size(size, 1) for size, stride in pairs)


def _overlaps(view: torch.Tensor) -> bool:
    """Whether a view of known sizes has more elements than the memory from its first to last."""
    sizes = [*view.shape, *view.stride()]
    if not all(isinstance(size, int) for size in sizes) or not view.numel():
        return False
    reach = sum((n - 1) * step for n, step in zip(view.shape, view.stride(), strict=True))
    return view.numel() > reach + 1


def _composite(target: OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Run the operator's own kernel; ``target.decompose`` is this function while torch retraces."""
    return target._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)


def _einsum(equation: str, tensors: Any, *, path: Any = None) -> Any:
    """Keep it whole, but for one operand, of which it may be a permutation or a diagonal."""
    if len(tensors) > 1:
        return NotImplemented
    return _composite(aten.einsum.default, equation, tensors, path=path)


@contextmanager
def _as_views(graph: fx.Graph) -> Generator[None]:
    """Write splits without their promise, and what drops nothing as the view that it is."""
    splits = [node for node in graph.nodes if node.target in _SAFE]
    dropouts = [node for node in graph.nodes if node.target in _DROPOUTS and _keeps_all(node)]
    before = [(node, node.target, node.args, node.kwargs) for node in (*splits, *dropouts)]
    for node in splits:
        node.target = _SAFE[node.target]
    for node in dropouts:
        node.target, node.args, node.kwargs = aten.alias.default, (arguments(node)["input"],), {}
    try:
        yield
    finally:
        for node, target, args, kwargs in before:
            node.target, node.args, node.kwargs = target, args, kwargs


def _keeps_all(dropout: fx.Node) -> bool:
    bound = arguments(dropout)
    return not bound["train"] or bound["p"] == 0
