# SPDX-License-Identifier: Apache-2.0
"""``capture``: a model in any form becomes an exported program with a signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch.export import ExportedProgram

from edge_trt.capture.call import prepare_call
from edge_trt.capture.eager_quantization import decided_fake_quantizers
from edge_trt.capture.embeddings import bounded_embeddings
from edge_trt.capture.gradients import refuse_gradients
from edge_trt.capture.kept_attributes import kept_attributes, recorded_attributes, warn_about
from edge_trt.capture.kept_state import left_as_found
from edge_trt.capture.mixed_types import refuse_mixed_types
from edge_trt.capture.module_state import (
    evaluation_mode,
    on_cpu,
    warn_about_bad_weights,
    with_plain_weights,
)
from edge_trt.capture.mutations import hides_memory, refuse_mutations
from edge_trt.capture.narrow_float64 import narrow_examples, narrow_float64
from edge_trt.capture.observers import plain_fake_quantizers
from edge_trt.capture.operators import find_operators
from edge_trt.capture.preparation import prepared_images, with_images
from edge_trt.capture.profiles import profiled
from edge_trt.capture.program_inputs import known_of_program
from edge_trt.capture.rename import rename_inputs
from edge_trt.capture.shared_state import one_placeholder_each
from edge_trt.capture.signature import Known, make_signature, user_inputs
from edge_trt.capture.slow_traces import told_when_slow
from edge_trt.capture.sources import Source, import_plugin, load_source
from edge_trt.capture.states import StateInput, explicit_states
from edge_trt.capture.torchvision_detection import traceable_detectors
from edge_trt.capture.tracing import trace
from edge_trt.capture.wrong_shapes import refuse_wrong_shapes
from edge_trt.errors import CaptureError
from edge_trt.lowering.retracing import retrace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from edge_trt.capture.call import Call
    from edge_trt.options import CompileOptions
    from edge_trt_runtime.manifest import Signature


@dataclass(frozen=True)
class Captured:
    """A captured model.

    Attributes:
        program: The exported program. Its user-input placeholders carry the names of
            ``signature.inputs``; one that is not among them is a constant and has no users.
        signature: Names, types, ranges and calling convention.
        examples: A tensor per input of the signature, in order, at the ``opt`` sizes.
        symbols: Name in ``signature.dims`` by symbol of the program (``{"s77": "batch"}``).
        name: A short name of the model, for reports.
        states: First value of each input that was a buffer.
    """

    program: ExportedProgram
    signature: Signature
    examples: tuple[torch.Tensor, ...]
    symbols: dict[str, str]
    name: str
    states: dict[str, torch.Tensor]

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in order."""
        return [spec.name for spec in self.signature.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        return [spec.name for spec in self.signature.outputs]


def capture(model: object, inputs: Any = None, options: CompileOptions | None = None) -> Captured:
    """Capture a model with torch.export.

    Args:
        model: An ``nn.Module``, an ``ExportedProgram``, the path of a ``.pt2`` file,
            ``"file.py:factory"`` or ``"package.module:factory"`` (returns a model, or a model and
            example inputs), ``"timm:name"`` or ``"torchvision:name"``.
        inputs: Positional arguments as a tuple or list, keyword arguments as a mapping, or one
            argument; nested as the model takes them. An ``Input`` may stand for any tensor.
            ``None`` where the model brings its own.
        options: Compile options, for checking the operators they name.

    Raises:
        CaptureError: When the model can't be loaded, called or exported.
        OptionError: When inputs or options contradict each other.
    """
    for plugin in options.plugins if options else ():
        import_plugin(plugin)
    for name in options.fallback_ops if options else ():
        find_operators(name)
    source = load_source(model)
    narrow = options is not None and options.float64_as_float32
    stateful = options is not None and options.states == "io"
    if isinstance(source.model, ExportedProgram):
        program, known = _from_program(source, source.model, inputs, stateful)
    else:
        program, known = _from_module(source, source.model, inputs, stateful)
    program, states = explicit_states(program) if stateful else (program, [])
    known |= _known_of_states(program, states)
    if narrow:
        program, known = narrow_float64(program), narrow_examples(known)
    captured = _captured(source, program, known, states)
    return profiled(captured, options) if options else captured


Exported: TypeAlias = "tuple[ExportedProgram, dict[int, Known]]"
"""A program, and what is known of its inputs."""


def _from_program(
    source: Source, program: ExportedProgram, inputs: Any, stateful: bool
) -> Exported:
    """Derive everything from a program that was exported elsewhere."""
    program = plain_fake_quantizers(program)
    if hides_memory(program):
        program = retrace(program)
    refuse_mutations(program, buffers=not stateful)
    refuse_gradients(program)
    return program, known_of_program(program, source.inputs if inputs is None else inputs)


def _from_module(source: Source, model: nn.Module, inputs: Any, stateful: bool) -> Exported:
    """Export a module."""
    given = with_images(source.inputs, inputs)
    if given is None:
        raise CaptureError(
            f"{source.name} has no example inputs",
            hint="give them, as in (torch.randn(1, 3, 224, 224),) or --input x=1x3x224x224:float32",
        )
    model = with_plain_weights(on_cpu(model))
    warn_about_bad_weights(model)
    call = prepare_call(model.forward, given)
    with (
        left_as_found(model),
        evaluation_mode(model, tell=not source.ours),
        bounded_embeddings(model),
        decided_fake_quantizers(model),
        prepared_images(model, call),
        traceable_detectors(),
    ):
        with (
            left_as_found(model),
            recorded_attributes(model) as written,
            told_when_slow(model, call),
        ):
            program, call = trace(model, call)
        kept = kept_attributes(model, program, call, written)
    program = plain_fake_quantizers(one_placeholder_each(program))
    refuse_mutations(program, buffers=not stateful)
    refuse_gradients(program)
    refuse_mixed_types(program)
    refuse_wrong_shapes(program)
    warn_about(kept)
    _name_inputs(program, call)
    known = {
        tensor.position: Known(
            tensor.axes, tensor.example, tensor.described.image if tensor.described else None
        )
        for tensor in call.tensors
    }
    return program, known


def _name_inputs(program: ExportedProgram, call: Call) -> None:
    """Give the inputs the names that the user gave them."""
    present = user_inputs(program)
    names = {
        present[tensor.position].name: tensor.described.name
        for tensor in call.tensors
        if tensor.described is not None and tensor.described.name is not None
    }
    rename_inputs(program, names)


def _known_of_states(program: ExportedProgram, states: Sequence[StateInput]) -> dict[int, Known]:
    """Return what is known of the inputs that were buffers: they are the last."""
    first = len(user_inputs(program)) - len(states)
    return {first + i: Known({}, state.initial, None) for i, state in enumerate(states)}


def _captured(
    source: Source,
    program: ExportedProgram,
    known: dict[int, Known],
    states: Sequence[StateInput],
) -> Captured:
    """Put the result together."""
    signature, symbols = make_signature(program, known, source.image, states)
    examples = [known[position].example for position in sorted(known)]
    return Captured(
        program=program,
        signature=signature,
        examples=tuple(example for example in examples if example is not None),
        symbols={str(symbol): name for symbol, name in symbols.names.items()},
        name=source.name,
        states={state.input: state.initial for state in states},
    )
