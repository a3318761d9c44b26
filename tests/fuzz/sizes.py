# SPDX-License-Identifier: Apache-2.0
"""The same random programs with open sizes: compiled once, right at others than the example's."""

from __future__ import annotations

import random
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

import edge_trt
import edge_trt_runtime
from tests.fuzz.judging import SINGLE, is_exported, precision, run
from tests.fuzz.programs import Program
from tests.support.compare import assert_close, within

TRIES = 4  # other sets of sizes


def judge_open(program: Program, number: int = 0) -> bool:
    """Compiles a program with a range for every size above 1, and compares at several sizes.

    Sizes that are equal in the example have one name, so that what is added can still be added.

    Args:
        program: The program.
        number: Of the draw of sizes.

    Returns:
        Whether anything was compared: torch.export may not take the program, and eager PyTorch no
        other sizes.

    Raises:
        AssertionError: The numbers differ.
        CaptureError: The program is refused; whether the reason is true is for a reader to judge.
    """
    # Of a tensor without elements PyTorch does not ask whether an index is within its sizes.
    indexed = any("index" in call or "scatter" in call for call in program.calls)
    if not is_exported(program) or (indexed and any(not t.numel() for t in program.inputs)):
        return False
    sizes = sorted({n for t in program.inputs for n in t.shape if n > 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", edge_trt.EdgeTrtWarning)
        bundle = edge_trt.compile(
            program.module,
            tuple(_opened(tensor) for tensor in program.inputs),
            target="cpu",
            self_test=0,
            min_block_size=1,
            fallback="torch",
        )
    compared = False
    with tempfile.TemporaryDirectory() as folder:
        path = bundle.save(Path(folder, "fuzz.edge"))
        with edge_trt_runtime.load(path) as session:
            for inputs in _other_inputs(program, sizes, random.Random(number)):
                compared = _compare(session, program, inputs) or compared
    return compared


def _opened(tensor: torch.Tensor) -> torch.Tensor | edge_trt.Input:
    names = {n: f"s{n}" for n in tensor.shape if n > 1}
    if not names:
        return tensor
    return edge_trt.Input(
        tuple(names.get(n, n) for n in tensor.shape),
        min={name: max(1, n - 1) for n, name in names.items()},
        opt={name: n for n, name in names.items()},
        max={name: n + 2 for n, name in names.items()},
        dtype=tensor.dtype,
    )


def _other_inputs(
    program: Program, sizes: Sequence[int], draw: random.Random
) -> list[list[torch.Tensor]]:
    """The example's inputs, and such of other sizes with its elements in another order."""
    found = [list(program.inputs)]
    for _ in range(TRIES):
        chosen = {n: draw.randint(max(1, n - 1), n + 2) for n in sizes}
        found.append([_resized(tensor, chosen) for tensor in program.inputs])
    return found


def _resized(tensor: torch.Tensor, chosen: Mapping[int, int]) -> torch.Tensor:
    shape = [chosen.get(n, n) for n in tensor.shape]
    count = int(torch.Size(shape).numel())
    if not tensor.numel():
        return tensor.new_zeros(shape)
    order = torch.arange(count)
    elements = tensor.flatten()[(order * 7 + 3) % tensor.numel()]
    if tensor.is_floating_point():  # which of equal ones kthvalue finds is left open
        elements = elements + (order * 2**-7).to(tensor.dtype)
    return elements.reshape(shape)


def _compare(
    session: edge_trt_runtime.Session, program: Program, inputs: list[torch.Tensor]
) -> bool:
    try:
        expected = run(program.module, inputs)
        nudged = run(program.module, [_nudged(t) for t in inputs])
    except Exception:  # of any kind: the model does not take such sizes
        return False
    asked = precision(program)
    if any(t.isnan().any() for t in expected if t.is_floating_point()) or not all(
        within(a, b, asked.rtol / 2, asked.atol / 2) for a, b in zip(nudged, expected, strict=True)
    ):
        return False
    names = [spec.name for spec in session.signature.inputs]
    feeds = dict(zip(names, [t.numpy() for t in inputs], strict=False))
    outputs = list(session.run(feeds).values())
    for place, (array, eager) in enumerate(zip(outputs, expected, strict=True)):
        who = f"output {place} at {[list(t.shape) for t in inputs]}"
        assert_close(torch.from_numpy(array), eager, who, asked.rtol, asked.atol)
    return True


def _nudged(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor + (tensor.abs() + 1) * SINGLE.nudge
