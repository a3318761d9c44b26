# SPDX-License-Identifier: Apache-2.0
"""Rows for loops and conditionals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_trt.network.builder import Builder
from edge_trt.network.graph import Network
from edge_trt.network.layers import IfConditional, Loop
from edge_trt.network.loops import give
from edge_trt.network.types import UNKNOWN, DType, TensorType
from tests.support.layer_rows.row import Row, bfloat16, normal, row, whole


def rows() -> Iterator[Row]:
    for dtype in (np.float32, np.float16, bfloat16, np.int32):
        yield _running(dtype, reverse=False)
    yield _running(np.float32, reverse=True)
    yield _scaled()
    for dtype in (np.float32, np.float16, bfloat16, np.int32, np.bool_):
        for condition in (True, False):
            yield _either(dtype, condition)


def running_sum(dtype: DType, *, reverse: bool = False) -> Loop:
    """Adds up rows; gives the sum after each row."""
    body = Network("running")
    rows = TensorType(dtype, (UNKNOWN,))
    state, x = body.input("running.state", rows), body.input("running.row", rows)
    inner = Builder(body)
    total = inner.elementwise("SUM", state, x)
    for tensor in (total, total):
        give(inner, tensor)
    return Loop(body, 1, 1, reverse)


def _running(dtype: Any, *, reverse: bool) -> Row:
    start = np.array([1, 2, 3]).astype(dtype)
    steps = np.arange(12).reshape(4, 3).astype(dtype)

    def reference(state: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, ...]:
        ordered = x[::-1] if reverse else x
        sums = (state + np.cumsum(ordered.astype(np.float64), 0)).astype(dtype)
        return sums[-1], sums[::-1] if reverse else sums

    layer = running_sum(DType.of(start), reverse=reverse)
    return row(layer, [start, steps], reference)


def _scaled() -> Row:
    """Two iterated inputs, one that every step reads, no state."""
    body = Network("scaled")
    kind = TensorType(DType.FLOAT32, (3,))
    a, b, factor = (body.input(f"scaled.{name}", kind) for name in "abf")
    inner = Builder(body)
    give(inner, inner.elementwise("PROD", inner.elementwise("SUM", a, b), factor))
    inputs = [normal(4, 3), normal(4, 3, seed=1), normal(3)]
    return row(Loop(body, 0, 2), inputs, lambda a, b, factor: (a + b) * factor)


def either(dtype: DType) -> IfConditional:
    """x and its maximum with y, or y and x."""
    root, bodies = Network("either"), list[Network]()
    for name in ("true", "false"):
        body = root.body(name)
        kind = TensorType(dtype, (UNKNOWN, 3))
        x, y = body.input(f"{name}.x", kind), body.input(f"{name}.y", kind)
        inner = Builder(body)
        largest = inner.elementwise("OR" if dtype is DType.BOOL else "MAX", x, y)
        for tensor in (x, largest) if name == "true" else (y, x):
            give(inner, tensor)
        bodies.append(body)
    return IfConditional(*bodies)


def _either(dtype: Any, condition: bool) -> Row:
    x, y = (whole(2, 3, dtype=dtype, seed=seed) for seed in (0, 1))
    expected = (x, np.maximum(x, y)) if condition else (y, x)
    layer = either(DType.of(x))
    return row(layer, [np.array(condition), x, y], lambda *_: expected)
