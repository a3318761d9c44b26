# SPDX-License-Identifier: Apache-2.0
"""Fake quantizers of models from ``prepare_qat_fx``, which observe and quantize in one call.

Whether they do either is in buffers. With the observer off, a plain fake quantizer is left.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_trt.errors import CaptureError
from edge_trt.lowering.edit import arguments, aten, line_of, replace, retarget

_FUSED = aten.fused_moving_avg_obs_fake_quant.default


def plain_fake_quantizers(program: ExportedProgram) -> ExportedProgram:
    """Take away observers that are off.

    ::

        before  fused_moving_avg_obs_fake_quant(x, on, quantizes, ..., scale, zero, ...)
        after   fake_quantize_per_tensor_affine(x, scale, zero, quant_min, quant_max)

    Args:
        program: The program; it keeps its graph.

    Raises:
        CaptureError: An observer is on: each run would change the scales.
    """
    if not program.graph.find_nodes(op="call_function", target=_FUSED):
        return program
    program = _copied(program)
    for node in program.graph.find_nodes(op="call_function", target=_FUSED):
        given = arguments(node)
        observes, quantizes = (
            _flag(program, given[name]) for name in ("observer_on", "fake_quant_on")
        )
        if observes is not False or quantizes is None:
            raise CaptureError(
                f"the fake quantizer {_name(program, given['observer_on'])!r}{line_of(node)} still "
                "observes, so that each run would change its scale",
                hint="turn observers off: model.apply(torch.ao.quantization.disable_observer)",
            )
        if quantizes:
            _make_plain(node, given)
        else:
            replace(node, given["self"])
    return program


def _make_plain(node: fx.Node, given: dict[str, Any]) -> None:
    parameters = (given["self"], given["scale"], given["zero_point"])
    limits = (given["quant_min"], given["quant_max"])
    if given["per_row_fake_quant"]:
        per_channel = aten.fake_quantize_per_channel_affine.default
        retarget(node, per_channel, (*parameters, given["ch_axis"], *limits))
    else:
        retarget(node, aten.fake_quantize_per_tensor_affine.tensor_qparams, (*parameters, *limits))


def _name(program: ExportedProgram, flag: fx.Node) -> str:
    """Qualified name of the module that has a flag."""
    specs = program.graph_signature.input_specs
    fqn = next((str(s.target) for s in specs if s.arg.name == flag.name), flag.name)
    return fqn.rpartition(".")[0] or fqn


def _flag(program: ExportedProgram, flag: fx.Node) -> bool | None:
    """The value of a buffer that is on or off; None for anything that a run computes."""
    for spec in program.graph_signature.input_specs:
        if spec.arg.name == flag.name and spec.target is not None:
            stored = program.state_dict.get(spec.target, program.constants.get(spec.target))
            return bool(stored) if isinstance(stored, torch.Tensor) else None
    return None


def _copied(program: ExportedProgram) -> ExportedProgram:
    """The same program with a graph of its own; tensors are shared."""
    memo: dict[fx.Node, fx.Node] = {}
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, memo))
    for old, new in memo.items():
        new.name = old.name  # as the signature has it, even where fx would choose another
    graph.output_node().meta = dict(program.graph.output_node().meta)
    root = fx.GraphModule(program.graph_module, graph)
    root.meta = dict(program.graph_module.meta)
    return ExportedProgram(
        root=root,
        graph=graph,
        graph_signature=program.graph_signature,
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=program.constants,
        verifiers=program.verifiers,
    )
