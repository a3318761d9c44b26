# SPDX-License-Identifier: Apache-2.0
"""Every layer kind and variant against numbers computed without ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

import edge_trt.network.layers
from edge_trt.engines.onnx import CpuRunner
from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.network.layer import Layer
from edge_trt.network.types import TensorType
from tests.support.layer_rows import ROWS, Row


def _check(row: Row, *, symbolic: bool) -> None:
    network = row.network(symbolic=symbolic)
    network.verify()
    found = CpuRunner(network, threads=1).run(row.feeds())
    for tensor, expected in zip(network.outputs, row.expected, strict=True):
        result = found[tensor.name]
        assert result.dtype == tensor.dtype.numpy == expected.dtype
        assert result.shape == expected.shape
        _check_shape(tensor.type, result.shape)
        if expected.dtype.kind in "iub":
            np.testing.assert_array_equal(result, expected)
        else:
            np.testing.assert_allclose(
                result.astype(np.float64), expected.astype(np.float64),
                rtol=row.tolerance, atol=row.tolerance,
            )  # fmt: skip


def _check_shape(inferred: TensorType, shape: tuple[int, ...]) -> None:
    """Known sizes are right, and so are those that carry an input's name."""
    assert inferred.rank == len(shape)
    for dim, size in zip(inferred.shape, shape, strict=True):
        assert dim == "?" or dim in (size, f"n{size}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_static_shapes(row: Row) -> None:
    _check(row, symbolic=False)


@pytest.mark.parametrize("row", [r for r in ROWS if r.symbolic], ids=lambda row: row.name)
def test_symbolic_shapes(row: Row) -> None:
    _check(row, symbolic=True)


def test_every_kind_has_an_emission_and_rows() -> None:
    kinds = {getattr(edge_trt.network.layers, name) for name in edge_trt.network.layers.__all__}
    assert kinds == set(Layer.kinds.values())
    assert kinds <= set(emit_layer.registry)
    assert kinds == {type(row.layer) for row in ROWS}
