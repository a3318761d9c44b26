# SPDX-License-Identifier: Apache-2.0
"""Compiles a random program and holds it against eager PyTorch."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

import edge_trt
import edge_trt_runtime
from edge_trt.bundle.bundle import Bundle
from tests.fuzz.programs import Program
from tests.support.compare import assert_close, within
from tests.support.oracles import Definition, check_types, load_flavour
from tests.support.trt_interpreter import Interpreter
from tests.support.trt_interpreter.call import UnsupportedLayerError

NUDGE = 3e-6
"""Relative change of the inputs that must not change the answer by more than the tolerance."""
RTOL, ATOL = 1e-3, 1e-4


def is_well_conditioned(program: Program) -> bool:
    """Whether rounding can't decide the answer: `floor`, `argmax` or 1 / 0 amplify it at will.

    The program is run in float64 and from nudged inputs; all answers must agree.
    """
    answer = _run(program.module, program.inputs)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        nudged = [_nudged(t, generator) for t in program.inputs]
        if not _agree(_run(program.module, nudged), answer):
            return False
    return True


def judge(program: Program, fallback: str = "torch") -> Bundle | None:
    """Compiles, with fallback allowed, and compares with eager on the CPU engine.

    A program that TensorRT takes whole is also emitted to TensorRT and read back. `fallback` is
    the option of that name; exporting fallbacks to ONNX takes a second or two each.

    Returns:
        The bundle, or None if torch.export itself can't take the program.

    Raises:
        AssertionError: the numbers differ.
    """
    if not _is_exported(program):
        return None
    expected = _run(program.module, program.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", edge_trt.EdgeTrtWarning)
        bundle = edge_trt.compile(
            program.module,
            program.inputs,
            target="cpu",
            self_test=0,
            min_block_size=1,  # all that converts is converted, whatever it would cost
            fallback=fallback,
        )
    with tempfile.TemporaryDirectory() as folder:
        bundle.save(Path(folder, "fuzz.edge"))
        with edge_trt_runtime.load(Path(folder, "fuzz.edge")) as session:
            names = [spec.name for spec in session.signature.inputs]
            feeds = dict(zip(names, [t.numpy() for t in program.inputs], strict=False))
            outputs = list(session.run(feeds).values())
    _compare("CPU engine", [torch.from_numpy(a) for a in outputs], expected)
    if [part.network is not None for part in bundle.parts] == [True]:
        _read_back(bundle, program, expected)
    return bundle


def _is_exported(program: Program) -> bool:
    """Whether torch.export takes the program: its own limits are no finding."""
    try:
        torch.export.export(program.module, program.inputs)
    except Exception:  # of any kind
        return False
    return True


def _run(module: nn.Module, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    with torch.no_grad():
        return list(module(*inputs))


def _nudged(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    noise = torch.rand(tensor.shape, generator=generator) * 2 - 1
    return tensor + (tensor.abs() + 1) * noise * NUDGE


def _agree(results: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
    return all(within(a, b, RTOL / 2, ATOL / 2) for a, b in zip(results, expected, strict=True))


def _compare(who: str, results: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    for place, (result, eager) in enumerate(zip(results, expected, strict=True)):
        assert_close(result, eager, f"{who}, output {place}", RTOL, ATOL)


def _read_back(bundle: Bundle, program: Program, expected: Sequence[torch.Tensor]) -> None:
    """What TensorRT was handed has our types, and computes what eager computes."""
    (network,) = bundle.networks
    flavour = load_flavour()
    definition = Definition.of(network, flavour.module)
    check_types(network, definition)
    interpreter = Interpreter(definition.emitted.definition, flavour.module)
    given = {s.name: t for s, t in zip(bundle.signature.inputs, program.inputs, strict=False)}
    try:
        found = interpreter.run({t.name: given[t.name] for t in network.inputs})
    except UnsupportedLayerError as error:
        if "outside the range" not in str(error):  # NaN as an integer, which nothing defines
            raise
        return
    values = dict(zip(bundle.parts[0].outputs, found.values(), strict=True))
    _compare("TensorRT network", [values[name] for name in bundle.results.values()], expected)
