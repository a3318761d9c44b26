# SPDX-License-Identifier: Apache-2.0
"""Lowering: from the large ATen operator set to a functional graph of what converters know.

A pass is a plain function ``(gm) -> bool`` that edits the module's graph and says whether it
changed anything; it lives in a file of its own name. ``PASSES`` is the order in which they run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt.errors import UnsupportedError
from edge_trt.lowering.cancel_permutes import cancel_permutes
from edge_trt.lowering.complex_as_pairs import complex_as_pairs
from edge_trt.lowering.decompose_unsupported import decompose_unsupported
from edge_trt.lowering.divide_for_means import divide_for_means
from edge_trt.lowering.edit import writes
from edge_trt.lowering.fold_batch_norm import fold_batch_norm
from edge_trt.lowering.fold_channel_constants import fold_channel_constants
from edge_trt.lowering.fold_constants import fold_constants
from edge_trt.lowering.functionalise_writes import functionalise_writes
from edge_trt.lowering.inline_contexts import inline_contexts
from edge_trt.lowering.lower_bodies import lower_bodies
from edge_trt.lowering.merge_duplicates import merge_duplicates
from edge_trt.lowering.merge_views import merge_views
from edge_trt.lowering.narrow_scalars import narrow_scalars
from edge_trt.lowering.normalise_variants import normalise_variants
from edge_trt.lowering.place_constant_masks import place_constant_masks
from edge_trt.lowering.remove_dead_code import remove_dead_code
from edge_trt.lowering.remove_no_ops import remove_no_ops
from edge_trt.lowering.retracing import retrace
from edge_trt.lowering.rewrite_strided_views import rewrite_strided_views
from edge_trt.lowering.threads import one_thread
from edge_trt.lowering.unlifting import STATE, unlift

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import fx
    from torch.export import ExportedProgram

    Pass = Callable[[fx.GraphModule], bool]
    Support = Callable[[fx.Node], str | None]

__all__ = ["FUNCTIONALISATION", "PASSES", "SIMPLIFICATION", "lower", "unlift"]

FUNCTIONALISATION: tuple[Pass, ...] = (
    inline_contexts,  # first: a body is invisible to every other pass
    normalise_variants,  # splits become slices: views that a write can be carried through
    fold_constants,  # takes away masks built by filling slices, which then need no carrying
    functionalise_writes,
    normalise_variants,  # `fill` and `copy` read nothing of what they overwrite
    remove_dead_code,  # with write-backs that nobody reads gone, a buffer that is left is state
)
"""Passes that may see writes; everything after them relies on their absence."""

SIMPLIFICATION: tuple[Pass, ...] = (
    complex_as_pairs,  # before strided views are: pairs have no layout that has to be kept
    rewrite_strided_views,  # before anything that changes strides
    normalise_variants,  # for the parts of decompositions
    divide_for_means,  # of these parts too
    remove_no_ops,  # brings batch-norms next to their convolutions and views next to views
    fold_constants,  # before batch-norm: weights that are computed (weight norm) become constants
    place_constant_masks,  # where masks that are computed from constants are constants
    fold_constants,  # the sizes behind masks, now that they are numbers
    narrow_scalars,  # where operators of constants are gone, but for those that stay
    fold_batch_norm,
    fold_channel_constants,  # after batch-norm, which may stand between, and folding of constants
    merge_views,  # after the no-ops between views are gone
    cancel_permutes,  # needs merged permutations
    merge_duplicates,  # last: equal operators are spelled equally only now
    remove_dead_code,
)
"""Passes on the functional graph; they also clean up after a decomposition."""

PASSES: tuple[Pass, ...] = (*FUNCTIONALISATION, *SIMPLIFICATION)
"""Every pass in the order of a run without a decomposition."""


@one_thread()
def lower(
    program: ExportedProgram,
    on_pass: Callable[[str], None] | None = None,
    supported: Support | None = None,
) -> fx.GraphModule:
    """Map a program to a functional graph of few, large operators.

    Args:
        program: Exported program; not modified, its weights are shared.
        on_pass: Called with the name of each pass before it runs.
        supported: Tells why a call can't be converted, or None. Given, calls without a converter
            are decomposed where that helps.

    Returns:
        A module of pure operators: placeholders are the user's inputs, the output is the flat tuple
        of the user's outputs, weights are attributes.

    Raises:
        UnsupportedError: The outputs depend on a buffer that the program writes to, or a step
            takes a size for known that is open.
    """
    # Not above: capture lowers too.
    from edge_trt.capture.retraced import known_sizes, settle_lowered

    before = known_sizes(program)
    report = on_pass or (lambda name: None)
    gm = unlift(program)
    if any(_is_vmap(node.target) for node in gm.graph.nodes):
        report("retrace")
        program = retrace(program)
        gm = unlift(program)
    _run(gm, FUNCTIONALISATION, report)
    if any(writes(node.target) for node in gm.graph.nodes):
        report("retrace")
        gm = unlift(retrace(program))
        _run(gm, FUNCTIONALISATION, report)
    _refuse_state(gm)
    _simplify(gm, report, supported)
    settle_lowered(program, gm, before)
    return gm


def _simplify(gm: fx.GraphModule, report: Callable[[str], None], supported: Support | None) -> None:
    """Run all that works on a functional graph, in its branches too."""
    _run(gm, SIMPLIFICATION, report)
    if supported is not None:
        report(decompose_unsupported.__name__)
        if decompose_unsupported(gm, supported):
            _run(gm, SIMPLIFICATION, report)

    def lower_body(body: fx.GraphModule) -> None:
        _run(body, FUNCTIONALISATION, report)
        _simplify(body, report, supported)

    if lower_bodies(gm, lower_body):
        remove_dead_code(gm)
    gm.recompile()


def _is_vmap(target: object) -> bool:
    """Whether this begins or ends a region of `torch.vmap`, where tensors lack a dimension."""
    return getattr(target, "__module__", "") == "torch._functorch.predispatch"


def _run(gm: fx.GraphModule, passes: tuple[Pass, ...], report: Callable[[str], None]) -> None:
    for step in passes:
        report(step.__name__)
        step(gm)


def _refuse_state(gm: fx.GraphModule) -> None:
    """Refuse buffers whose new value would have to live until the next call."""
    state = gm.meta.get(STATE, set())
    live = [n.meta["fqn"] for n in gm.graph.nodes if n.op == "get_attr" and "fqn" in n.meta]
    for fqn in live:
        if fqn in state:
            raise UnsupportedError(
                f"buffer '{fqn}' is updated by forward() and its outputs depend on it, but a "
                "compiled program keeps nothing between calls",
                hint="compile with states='io' (--states io): it becomes an input and an output",
            )
