# SPDX-License-Identifier: Apache-2.0
"""Fake quantizers of models from ``prepare_qat_fx``, which observe and quantize in one call.

Whether they do either is in buffers. With the observer off, a plain fake quantizer is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from edge_trt.capture.copied_programs import with_own_graph
from edge_trt.capture.eager_quantization import still_observes
from edge_trt.lowering.edit import arguments, aten, line_of, replace, retarget

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram

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
    program = with_own_graph(program)
    for node in program.graph.find_nodes(op="call_function", target=_FUSED):
        given = arguments(node)
        observes, quantizes = (
            _flag(program, given[name]) for name in ("observer_on", "fake_quant_on")
        )
        if observes is not False or quantizes is None:
            raise still_observes(_name(program, given["observer_on"]), line_of(node))
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
