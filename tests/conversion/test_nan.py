# SPDX-License-Identifier: Apache-2.0
"""What NaN in the input gives: NaN where PyTorch gives it, or the operator's row says "no NaN"."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from edge_trt.conversion.driver import convert
from edge_trt.conversion.registry import CONVERTERS, NO_NAN, lookup
from edge_trt.engines.onnx import CpuRunner
from tests.conversion.checking import captured
from tests.conversion.rows import Row
from tests.support.compare import within

aten = torch.ops.aten
X = torch.tensor(
    [[math.nan, 1.0, -2.0, 3.0], [1.0, math.nan, 0.5, -1.0], [0.0, 2.0, -1.0, math.nan]]
)
PLACES = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 1, 1]])
NORMS = (0, 1, 2, 3)

PASSED = {
    aten.sum.dim_IntList: lambda x: x.sum(1),
    aten.mean.dim: lambda x: x.mean(1),
    aten.prod.dim_int: lambda x: x.prod(1),
    aten.var.correction: lambda x: x.var(1, correction=1),
    aten.cumsum.default: lambda x: x.cumsum(1),
    aten.logsumexp.default: lambda x: x.logsumexp(1),
    aten.linalg_vector_norm.default: lambda x: [torch.linalg.vector_norm(x, n, 1) for n in NORMS],
    aten.softmax.int: lambda x: x.softmax(1),
    aten.any.dim: lambda x: x.any(1),
    aten.abs.default: torch.abs,
    aten.round.default: torch.round,
    aten.remainder.Scalar: lambda x: torch.remainder(x, 0.7),
    aten.fmod.Scalar: lambda x: torch.fmod(x, 0.7),
    aten.floor_divide.default: lambda x: torch.floor_divide(x, x.flip(0)),
    aten.elu.default: F.elu,
    aten.leaky_relu.default: F.leaky_relu,
    aten.gelu.default: F.gelu,
    aten.softplus.default: F.softplus,
    aten.softshrink.default: F.softshrink,
    aten.hardshrink.default: F.hardshrink,
    aten.avg_pool2d.default: lambda x: F.avg_pool2d(x[None], 2),
    aten.scatter_add.default: lambda x: torch.zeros(3, 4).scatter_add(1, PLACES, x),
}
LOST = {
    aten.maximum.default, aten.minimum.default, aten.clamp.default, aten.clamp_min.default,
    aten.clamp_max.default, aten.clip.default, aten.relu.default, aten.relu6.default,
    aten.hardtanh.default, aten.hardsigmoid.default, aten.hardswish.default,
    aten.threshold.default, aten.amax.default, aten.amin.default, aten.max.default,
    aten.min.default, aten.max.dim, aten.min.dim, aten.argmax.default, aten.argmin.default,
    aten.topk.default, aten.sort.default, aten.sort.stable, aten.kthvalue.default,
    aten.median.default, aten.median.dim, aten.sign.default, aten.max_pool1d.default,
    aten.max_pool2d.default, aten.max_pool3d.default,
}  # fmt: skip
"""TensorRT's extremes, clips and TopK."""


@pytest.mark.parametrize("target", PASSED, ids=str)
def test_nan_passes(target):
    row = Row("NaN", PASSED[target], (X,))
    graph = captured(row.program())
    assert target in {node.target for node in graph.graph.nodes}
    network = convert(graph, "net")
    results = CpuRunner(network).run({network.inputs[0].name: X.numpy()}).values()
    expected = PASSED[target](X)
    for result, eager in zip(results, expected if len(results) > 1 else [expected], strict=True):
        assert within(torch.from_numpy(result), eager)


def test_the_rows_of_extremes_say_so():
    lookup(None)
    assert {t for t in LOST if NO_NAN not in CONVERTERS[t].note} == set()
    assert {t for t in PASSED if CONVERTERS[t].note == NO_NAN} == set()
