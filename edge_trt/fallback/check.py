# SPDX-License-Identifier: Apache-2.0
"""Compares an ONNX program with the block that it was made of, on the values that it will see."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from edge_trt.bundle.onnx_program import OnnxProgram
from edge_trt.fallback.cases import PATIENCE
from edge_trt.fallback.export import NotPortableError
from edge_trt.fallback.ties import in_order
from edge_trt.lowering.stable_sorts import StableSorts
from edge_trt.partitioning.blocks import Block

_POOLING = {
    f"torchvision.{name}.default"
    for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
}

Case = Sequence[Any]
"""Arguments of a block: tensors and whole numbers."""

TOLERANCE = {"float16": 1e-2, "float64": 1e-11}
"""That of float64 finds numbers that torch.onnx writes as float32, such as the 3.3 of x / 3.3."""
FLOAT32_TOLERANCE = 1e-4
"""Of an output's greatest element: one block has fewer roundings than a whole model."""

FACTORS = (1.0, 8.0)
"""Floats are also tried that much larger: a threshold that nothing passes proves little."""


def check(block: Block, program: OnnxProgram, cases: Sequence[Case]) -> str:
    """Runs both on every case, with floats as they are and larger.

    Returns:
        What was compared, for the report.

    Raises:
        NotPortableError: ONNX Runtime does not take the program, or a result differs.
    """
    session = _load(program)
    compared, largest = 0, 0.0
    empty = set(block.outputs)
    start = time.perf_counter()
    regions = _regions(block)
    for case in cases:
        for factor in FACTORS:
            if compared and time.perf_counter() - start > PATIENCE:
                break
            arguments = [
                value if name in regions else _scaled(value, factor)
                for name, value in zip(block.inputs, case, strict=True)
            ]
            expected = _eager(block, arguments)
            if expected is None:  # PyTorch itself refuses the larger values
                continue
            got = in_order(_run(session, block, arguments), expected, FLOAT32_TOLERANCE)
            largest = max(largest, _difference(block, got, expected))
            compared += 1
            empty -= {name for name, value in zip(block.outputs, got, strict=True) if value.size}
    if not compared:
        raise NotPortableError("PyTorch can't run it here, so there is nothing to compare with")
    remark = f"; {', '.join(sorted(empty))} always empty" if empty else ""
    count = f"{compared} random inputs" if compared > 1 else "one random input"
    return f"equals PyTorch on {count} (largest difference {largest:.1g}{remark})"


def _load(program: OnnxProgram) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotPortableError(
            "onnxruntime is not installed, which checks it: pip install 'edge-trt[cpu]'"
        ) from error
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    data, arrays = program.data, dict(program.weights.values())
    if arrays:
        make = runtime.OrtValue.ortvalue_from_numpy
        values = [make(np.ascontiguousarray(array)) for array in arrays.values()]
        options.add_external_initializers(list(arrays), values)
    try:
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise NotPortableError(f"ONNX Runtime refuses it ({_line(error)})") from error


def _run(session: Any, block: Block, arguments: Case) -> list[np.ndarray]:
    feeds = {n: _array(v) for n, v in zip(block.inputs, arguments, strict=True)}
    try:
        return session.run(block.outputs, feeds)
    except Exception as error:
        raise NotPortableError(f"ONNX Runtime fails on it ({_line(error)})") from error


def _eager(block: Block, arguments: Case) -> list[np.ndarray] | None:
    try:
        with torch.inference_mode(), StableSorts():
            return [_array(value) for value in block.module(*arguments)]
    except Exception:  # whatever an operator's kernel raises
        return None


def _regions(block: Block) -> set[str]:
    """Inputs that say of which image a region is: another number would be of no image."""
    placeholders = block.module.graph.find_nodes(op="placeholder")
    names = dict(zip(placeholders, block.inputs, strict=True))
    pooling = [n for n in block.module.graph.nodes if str(n.target) in _POOLING]
    return {names[n.args[1]] for n in pooling if n.args[1] in names}


def _scaled(value: Any, factor: float) -> Any:
    whole = not isinstance(value, torch.Tensor) or not value.is_floating_point()
    return value if whole else value * factor


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().resolve_conj().resolve_neg().contiguous().numpy()
    return np.asarray(value, np.int64)


def _difference(block: Block, got: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest difference, as a share of an output's greatest element."""
    largest = 0.0
    for name, array, eager in zip(block.outputs, got, expected, strict=True):
        if (array.dtype, array.shape) != (eager.dtype, eager.shape):
            raise NotPortableError(
                f"its ONNX form gives {name} as {array.dtype}{list(array.shape)} where PyTorch "
                f"gives {eager.dtype}{list(eager.shape)}"
            )
        difference = _distance(array, eager)
        if difference > TOLERANCE.get(eager.dtype.name, FLOAT32_TOLERANCE):
            raise NotPortableError(
                f"its ONNX form gives other values of {name} than PyTorch (off by {difference:.2g} "
                "of the largest)"
            )
        largest = max(largest, difference)
    return largest


def _distance(array: np.ndarray, eager: np.ndarray) -> float:
    """0 if equal, NaN and infinities included; infinite if these or whole numbers differ."""
    same = (array == eager) | ((array != array) & (eager != eager))
    if eager.dtype.kind != "f" or not np.all(np.isfinite(array[~same]) & np.isfinite(eager[~same])):
        return 0.0 if bool(np.all(same)) else np.inf
    wide, exact = array.astype(np.float64), eager.astype(np.float64)
    error = np.abs(np.subtract(wide, exact, where=~same, out=np.zeros_like(exact)))
    scale = np.max(np.abs(exact[np.isfinite(exact)]), initial=0.0)
    return float(np.max(error, initial=0.0) / (scale or 1.0))


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
