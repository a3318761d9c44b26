# SPDX-License-Identifier: Apache-2.0
"""Compiles a random program and holds it against eager PyTorch."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import edge_trt
import edge_trt_runtime
from edge_trt.bundle.bundle import Bundle
from edge_trt.lowering.stable_sorts import StableSorts
from tests.fuzz.programs import Program
from tests.support.compare import assert_close, within
from tests.support.oracles import Definition, check_types, load_flavour
from tests.support.trt_interpreter import Interpreter
from tests.support.trt_interpreter.call import UnsupportedLayerError


@dataclass(frozen=True)
class Precision:
    """How exact a program's answers are.

    Attributes:
        nudge: relative change of the inputs that must not change the answer by more than half the
            tolerance.
        rtol: largest difference, as a share of the largest element.
        atol: largest difference that is taken anyway.
    """

    nudge: float
    rtol: float
    atol: float


SINGLE, HALF = Precision(3e-6, 1e-3, 1e-4), Precision(5e-4, 2e-2, 2e-3)
"""Half of the distance of two float16 is 5e-4 of them."""


def precision(program: Program) -> Precision:
    """That of the least exact type of floats in a program."""
    nodes = program.module.graph.nodes
    values = tree_leaves([[n.meta.get("val") for n in nodes], list(program.module.buffers())])
    types = {t.dtype for t in (*program.inputs, *values) if isinstance(t, torch.Tensor)}
    return HALF if torch.float16 in types else SINGLE


def is_well_conditioned(program: Program) -> bool:
    """Whether rounding can't decide the answer: `floor`, `argmax` or 1 / 0 amplify it at will.

    The program is run from nudged inputs; all answers must agree.
    """
    answer = run(program.module, program.inputs)
    asked = precision(program)
    for seed in range(3):
        nudged = [_nudged(t, asked.nudge, seed) for t in program.inputs]
        if not _agree(run(program.module, nudged), answer, asked):
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
        CaptureError: the program is refused; whether the reason is true is for a reader to judge.
    """
    if not is_exported(program):
        return None
    expected = run(program.module, program.inputs)
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
    _compare("CPU engine", [torch.from_numpy(a) for a in outputs], expected, precision(program))
    if [part.network is not None for part in bundle.parts] == [True]:
        _read_back(bundle, program, expected)
    return bundle


def is_exported(program: Program) -> bool:
    """Whether torch.export takes the program and knows its types: its limits are no finding."""
    try:
        exported = torch.export.export(program.module, program.inputs)
    except Exception:  # of any kind
        return False
    said = [value.meta["val"] for value in exported.graph.output_node().all_input_nodes]
    types = {(t.dtype, t.shape) for t in said if isinstance(t, torch.Tensor)}
    return all((t.dtype, t.shape) in types for t in run(program.module, program.inputs))


def run(module: nn.Module, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Equal elements are sorted by place, which PyTorch leaves open and a bundle promises."""
    with torch.no_grad(), StableSorts():
        return [result.clone() for result in module(*inputs)]


def _nudged(tensor: torch.Tensor, size: float, seed: int) -> torch.Tensor:
    """Equal elements change equally: they stay equal, for sorts and comparisons."""
    if not tensor.is_floating_point():
        return tensor
    exact = tensor.double()
    noise = torch.sin(exact * 977 + seed) * size
    return (exact + (exact.abs() + 1) * noise).to(tensor.dtype)


def _agree(
    results: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], asked: Precision
) -> bool:
    pairs = zip(results, expected, strict=True)
    return all(within(a, b, asked.rtol / 2, asked.atol / 2) for a, b in pairs)


def _compare(
    who: str, results: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], asked: Precision
) -> None:
    for place, (result, eager) in enumerate(zip(results, expected, strict=True)):
        assert_close(result, eager, f"{who}, output {place}", asked.rtol, asked.atol)


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
    found = [values[name] if name in values else given[name] for name in bundle.results.values()]
    _compare("TensorRT network", found, expected, precision(program))
