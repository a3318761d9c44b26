# SPDX-License-Identifier: Apache-2.0
"""Float64 computed in float32, where the user allows it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.capture import Input, capture
from edge_trt.engines.onnx import CpuRunner
from edge_trt.options import CompileOptions

ALLOWED = CompileOptions(float64_as_float32=True)
BIG = 2**53 + 1
"""An integer that float64 can't hold, and float32 even less."""


class Precise(nn.Module):
    """Weights, a constant, a cast and a created tensor, all float64; int64 passes through."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3).double()
        self.register_buffer("shift", torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64))

    def forward(self, x, count):
        scale = count.to(torch.float64).mean() / BIG
        ones = torch.ones(3, dtype=torch.float64)
        return {"y": self.linear(x) * scale + self.shift + ones, "count": count + 1}


def inputs():
    return torch.randn(2, 4, dtype=torch.float64), torch.full((5,), BIG)


def bundle_of(model, given, **options):
    return edge_trt.compile(model, given, float64_as_float32=True, fallback="forbid", **options)


def test_inputs_and_outputs_become_float32_and_int64_stays_exact():
    model, given = Precise().eval(), inputs()
    captured = capture(model, given, ALLOWED)
    assert [s.dtype for s in captured.signature.inputs] == ["float32", "int64"]
    assert {s.name: s.dtype for s in captured.signature.outputs} == {
        "y": "float32",
        "count": "int64",
    }
    assert [e.dtype for e in captured.examples] == [torch.float32, torch.int64]
    bundle = bundle_of(model, given)
    (part,) = bundle.parts
    results = CpuRunner(part.network).run(
        {"x": given[0].float().numpy(), "count": given[1].numpy()}
    )
    results = {name: results[value] for name, value in bundle.results.items()}
    expected = model(*given)
    np.testing.assert_allclose(results["y"], expected["y"].detach().numpy(), rtol=1e-5)
    assert results["y"].dtype == np.float32
    assert results["count"].tolist() == [BIG + 1] * 5


def test_the_model_keeps_its_types():
    model = Precise().eval()
    program = torch.export.export(model, inputs())
    captured = capture(program, None, ALLOWED)
    assert captured.program is not program
    assert {s.dtype for s in captured.signature.inputs} == {"float32", "int64"}
    assert model.linear.weight.dtype is torch.float64
    assert {t.dtype for t in program.state_dict.values()} == {torch.float64}
    weight = next(n for n in program.graph.nodes if n.op == "placeholder")
    assert weight.meta["val"].dtype is torch.float64


def test_symbolic_sizes_and_self_test():
    given = (Input(["batch", 4], min=1, opt=2, max=8, dtype="float64"), torch.arange(5))
    bundle = bundle_of(Precise().eval(), given)
    assert bundle.signature.dims.keys() == {"batch"}
    assert {a.dtype.name for a in bundle.vectors.values()} == {"float32", "int64"}


def test_without_leave_it_falls_back_and_says_how_to_allow_it():
    with pytest.raises(edge_trt.UnsupportedError, match="float64_as_float32"):
        edge_trt.compile(Precise().eval(), inputs(), fallback="forbid")


def test_other_programs_stay_as_they_are():
    captured = capture(nn.Linear(4, 3).eval(), torch.randn(2, 4), ALLOWED)
    assert {s.dtype for s in captured.signature.inputs} == {"float32"}
