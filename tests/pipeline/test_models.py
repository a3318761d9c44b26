# SPDX-License-Identifier: Apache-2.0
"""Models at the edge of what a model is: bundles of all of them run as the model does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt_runtime import load, run_self_test
from tests.pipeline.models import IMAGE, X, assert_as_eager, batch, hybrid, net


class Of(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(4))
        self.table = nn.Embedding(10, 4)

    def forward(self, x):
        return self.function(self, x)


INDICES = torch.randint(0, 10, (2, 3))


@pytest.mark.parametrize(
    ("function", "x"),
    [
        pytest.param(lambda m, x: x, X, id="identity"),
        pytest.param(lambda m, x: (x, x), X, id="input twice"),
        pytest.param(lambda m, x: m.weight, X, id="a weight"),
        pytest.param(lambda m, x: (m.weight * 2, x + 1), X, id="constant and not"),
        pytest.param(lambda m, x: torch.arange(4) * 2, X, id="constant"),
        pytest.param(lambda m, x: (y := x.relu(), y, y + 1), X, id="same result twice"),
        pytest.param(lambda m, x: (x.sum(), x.max()), X, id="scalars"),
        pytest.param(lambda m, x: x * 2, torch.tensor(3.0), id="scalar input"),
        pytest.param(lambda m, x: m.table(x), INDICES, id="indices"),
        pytest.param(lambda m, x: (x + 1, x.max()), INDICES, id="int64"),
        pytest.param(lambda m, x: (x + 1, x // 2), INDICES.int(), id="int32"),
        pytest.param(lambda m, x: (~x, x.any()), X > 0, id="bool"),
        pytest.param(lambda m, x: (x > 0, x.argmax(-1)), X, id="bool and int64 results"),
        pytest.param(lambda m, x: x.half() @ x.half().T, X, id="cast inside"),
        pytest.param(lambda m, x: x.reshape(-1)[:0], X, id="empty result"),
    ],
)
def test_results_are_those_of_the_model(function, x: torch.Tensor, tmp_path: Path) -> None:
    model = Of(function).eval()
    bundle = edge_trt.compile(model, (x,))
    bundle.save(tmp_path / "m.edge")
    assert [part.network is not None for part in bundle.parts] == [True]
    rtol = 2e-3 if bundle.signature.outputs[0].dtype == "float16" else 1e-4
    assert_as_eager(model, bundle, x, rtol=rtol)
    assert_as_eager(model, bundle, x if x.dtype is torch.bool else x * 0 + 1, rtol=rtol)
    results = run_self_test(tmp_path / "m.edge")
    assert len(results) == 2 * len(bundle.signature.outputs)
    assert all(result.passed for result in results)


def test_an_unused_input_is_still_asked_for(tmp_path: Path) -> None:
    class Unused(nn.Module):
        def forward(self, x, unused):
            return torch.fft.rfft(x.relu()).abs()

    bundle = edge_trt.compile(Unused().eval(), (X, IMAGE))
    bundle.save(tmp_path / "m.edge")
    assert [spec.name for spec in bundle.signature.inputs] == ["x", "unused"]
    assert all("unused" not in part.inputs for part in bundle.parts)
    assert_as_eager(Unused(), bundle, X, IMAGE)


@pytest.mark.rtx
def test_plans_of_models_without_operators(tmp_path: Path) -> None:
    for function in (lambda m, x: x, lambda m, x: m.weight):
        bundle = edge_trt.compile(Of(function).eval(), (X,), target=("cpu", "rtx"))
        assert [plan.segment for plan in bundle.plans] == ["block0"]


def test_places_of_the_greatest_may_be_viewed() -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.topk(4)[1].view(2, -1)

    x = torch.randn(2, 3, 12)
    bundle = edge_trt.compile(Model().eval(), (x,))
    torch.testing.assert_close(bundle.module()(x), Model()(x))


def test_half_precision(tmp_path: Path) -> None:
    model = net().half()
    bundle = edge_trt.compile(model, (IMAGE.half(),))
    bundle.save(tmp_path / "m.edge")
    assert {spec.dtype for spec in bundle.signature.inputs + bundle.signature.outputs} == {
        "float16"
    }
    assert_as_eager(model, bundle, IMAGE.half(), rtol=1e-2)
    assert all(result.passed for result in run_self_test(tmp_path / "m.edge"))


def test_bfloat16_inside(tmp_path: Path) -> None:
    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8, dtype=torch.bfloat16)

        def forward(self, x):
            return self.linear(x.bfloat16()).float()

    model = Inside().eval()
    bundle = edge_trt.compile(model, (X,))
    bundle.save(tmp_path / "m.edge")
    assert_as_eager(model, bundle, X, rtol=2e-2)


def test_bfloat16_at_the_border_is_refused() -> None:
    model = nn.Linear(8, 8, dtype=torch.bfloat16).eval()
    with pytest.raises(
        edge_trt.CaptureError, match="numpy lacks: take and give float32 and cast inside"
    ):
        edge_trt.compile(model, (X.bfloat16(),))


class TestHybrid:
    """Bundles in which PyTorch runs a part."""

    def test_fixed_sizes(self, tmp_path: Path) -> None:
        model = hybrid()
        bundle = edge_trt.compile(model, (X,))
        bundle.save(tmp_path / "m.edge")
        kinds = ["tensorrt" if part.network else "torch" for part in bundle.parts]
        assert kinds == ["tensorrt", "torch", "tensorrt"]
        assert_as_eager(model, bundle, torch.randn(3, 8))

    @pytest.mark.parametrize("opt", [1, 2, 6])
    def test_ranges(self, opt: int, tmp_path: Path) -> None:
        model = hybrid()
        bundle = edge_trt.compile(model, (batch(8, opt=opt),))
        bundle.save(tmp_path / "m.edge")
        for size in (1, 2, 5, 6):
            assert_as_eager(model, bundle, torch.randn(size, 8))

    def test_everything_in_fp16_but_the_fallback(self, tmp_path: Path) -> None:
        model = hybrid()
        bundle = edge_trt.compile(model, (X,), precision="fp16")
        bundle.save(tmp_path / "m.edge")
        assert_as_eager(model, bundle, X, rtol=2e-2)
        assert {spec.dtype for part in bundle.parts for spec in part.tensors} == {"float32"}

    def test_a_number_that_is_no_size(self, tmp_path: Path) -> None:
        """A quotient of sizes is computed and used where Python runs, and keeps its fraction."""

        class Mean(nn.Module):
            def forward(self, x):
                return torch.fft.rfft(x).abs().relu() * (x.shape[0] / 3)

        bundle = edge_trt.compile(Mean().eval(), (batch(8),))
        bundle.save(tmp_path / "m.edge")
        for size in (1, 2, 5):
            assert_as_eager(Mean(), bundle, torch.randn(size, 8))

    def test_a_fraction_that_several_blocks_read(self, tmp_path: Path) -> None:
        class Twice(nn.Module):
            def forward(self, x):
                third = x.shape[0] / 3
                y = torch.fft.rfft(x * third).abs().relu()
                return torch.fft.rfft(y * third).abs(), y

        bundle = edge_trt.compile(Twice().eval(), (batch(8),))
        bundle.save(tmp_path / "m.edge")
        for size in (1, 2, 5):
            assert_as_eager(Twice(), bundle, torch.randn(size, 8))

    def test_sizes_that_depend_on_values(self, tmp_path: Path) -> None:
        class Positive(nn.Module):
            def forward(self, x):
                return (torch.nonzero(x > 0) * 2).sum(0), x.relu()

        bundle = edge_trt.compile(Positive().eval(), (X,), fallback_ops="aten.nonzero")
        bundle.save(tmp_path / "m.edge")
        for _ in range(3):
            assert_as_eager(Positive(), bundle, torch.randn(3, 8))

    @pytest.mark.rtx
    def test_plans_at_derived_sizes(self) -> None:
        """A block in the middle gets a profile for sizes that follow from those of the inputs."""

        class Flat(nn.Module):
            def forward(self, x):
                rows = torch.fft.rfft(x.reshape(-1, 4)).abs()
                return (rows.exp() + 1).sum(-1)

        bundle = edge_trt.compile(Flat().eval(), (batch(8),), target=("cpu", "rtx"))
        (after,) = [p for p in bundle.parts if p.network and p.inputs != ["x"]]
        assert after.tensors[0].shape == ["2*b", 3]
        assert {plan.segment for plan in bundle.plans} == {n.name for n in bundle.networks}


def test_control_flow_falls_back_with_its_bodies(tmp_path):
    class Switch(torch.nn.Module):
        def forward(self, x):
            def true(y):
                there = torch.fft.fft(y)  # no layer of TensorRT, so the whole choice falls back
                return torch.fft.ifft(there).real.contiguous() + 1

            return torch.cond(x.sum() > 0, true, lambda y: y - 1, (x,)) * 2

    bundle = edge_trt.compile(Switch().eval(), (torch.ones(3),))
    assert [b["kind"] for b in bundle.coverage["blocks"]].count("fallback") == 1
    with load(bundle.save(tmp_path / "m.edge")) as session:
        for sign in (1, -1):
            x = np.full(3, sign, np.float32)
            assert session.run({"x": x})["output"].tolist() == (4 * x).tolist()
