# SPDX-License-Identifier: Apache-2.0
"""Decides for every fallback block who runs it on the device: ONNX Runtime, or else PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch.export import ExportedProgram

from edge_trt.bundle.onnx_program import OnnxProgram
from edge_trt.capture.export import Captured
from edge_trt.conversion.origin import origin_of
from edge_trt.errors import UnsupportedError
from edge_trt.fallback.cases import block_inputs
from edge_trt.fallback.check import check
from edge_trt.fallback.export import NotPortableError, export_onnx
from edge_trt.fallback.portable import without_our_operators
from edge_trt.partitioning import program
from edge_trt.partitioning.blocks import Block, Partition

Runner = Literal["onnxruntime", "torch"]


@dataclass(frozen=True, slots=True)
class Fallback:
    """A fallback block in the form that the device runs.

    Attributes:
        runner: the library that runs it.
        why: a sentence for the report.
        onnx: for ONNX Runtime, else None.
        torch: for PyTorch, a `.pt2` file's bytes, else None.
    """

    runner: Runner
    why: str
    onnx: OnnxProgram | None = None
    torch: bytes | None = None


def save_fallbacks(partition: Partition, captured: Captured, choice: str) -> dict[str, Fallback]:
    """Every fallback block by name, saved in the form that needs least on the device.

    Args:
        partition: blocks in order.
        captured: the model, for values to check with.
        choice: the option `fallback`: `auto` tries ONNX first, then torch; `onnxruntime` and
            `torch` insist.

    Raises:
        UnsupportedError: a block can be saved in neither form, or not in the one that is asked for;
            all such blocks are listed, with module, line and reason.
    """
    blocks = [b for b in partition.blocks if b.kind == "fallback"]
    cases: Mapping[str, list[list[Any]]] = {}
    if blocks and choice != "torch":
        cases = block_inputs(partition, captured)
    saved: dict[str, Fallback] = {}
    failures: list[str] = []
    for block in blocks:
        try:
            saved[block.name] = _save(block, choice, cases.get(block.name, []))
        except NotPortableError as error:
            failures.append(f"{origin_of(program.first_call(block))}: {error}")
    if failures:
        count = f"{len(failures)} fallback blocks" if len(failures) > 1 else "one fallback block"
        raise UnsupportedError(
            f"{count} can't run in ONNX Runtime, which fallback='onnxruntime' demands",
            refusals=failures,
            hint="use fallback='auto' to let PyTorch run these, or register an ONNX form of the "
            "operator (edge_trt.onnx_converter)",
        )
    return saved


def _save(block: Block, choice: str, cases: list[list[Any]]) -> Fallback:
    exported = program.export(block)
    if choice == "torch":
        return _torch(block, exported, "fallback='torch' asks for it")
    try:
        model = export_onnx(block, exported)
        return Fallback("onnxruntime", check(block, model, cases), onnx=model)
    except NotPortableError as error:
        if choice == "onnxruntime":
            raise
        return _torch(block, exported, str(error), cases)


def _torch(
    block: Block, exported: ExportedProgram, why: str, cases: list[list[Any]] | None = None
) -> Fallback:
    if without_our_operators(block, why):
        exported = program.export(block)
    saved = program.save(block, exported)
    if cases and program.has_open_sizes(block):
        program.check(block, saved, cases)
    return Fallback("torch", why, torch=saved)
