# SPDX-License-Identifier: Apache-2.0
"""Who runs a fallback, and the reasons that are given."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from typing import Any

import onnx
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.capture import Input
from edge_trt.fallback.translations import TRANSLATIONS
from tests.fallback.blocks import Of, alone
from tests.pipeline.models import assert_as_eager

X = torch.randn(3, 8)


def spectrum(x):
    return torch.fft.rfft(x).abs()


@torch.library.custom_op("edge_trt_test::scaled", mutates_args=())
def scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x * factor


@scaled.register_fake
def _(x: torch.Tensor, factor: float) -> torch.Tensor:
    return torch.empty_like(x)


SCALED = torch.ops.edge_trt_test.scaled.default


@pytest.fixture
def registry() -> Iterator[dict[Any, Any]]:
    before = dict(TRANSLATIONS)
    yield TRANSLATIONS
    TRANSLATIONS.clear()
    TRANSLATIONS.update(before)


def test_a_custom_operator_without_a_form_stays_with_torch() -> None:
    saved = alone(lambda x: SCALED(x, 2.0), X).saved()
    assert saved.runner == "torch"
    assert "edge_trt_test.scaled" in saved.why


def test_torch_logs_nothing_about_sizes_that_it_can_not_solve(caplog: Any) -> None:
    """As many distances as pairs of rows: from them torch tries to find the rows, by a root."""
    rows = Input(("n", 4), min=2, opt=8, max=10)
    shapes = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    shapes.addHandler(caplog.handler)
    saved = alone(lambda x: torch.pdist(x) * 2, rows).saved()
    assert "aten._pdist_forward" in saved.why
    shapes.removeHandler(caplog.handler)
    assert caplog.messages == []


def test_a_custom_operator_with_a_form(registry: dict[Any, Any]) -> None:
    from onnxscript import opset20 as op

    @edge_trt.onnx_converter(SCALED)
    def form(x, factor):
        return op.Mul(x, factor)

    saved = alone(lambda x: SCALED(x, 2.5), Input(("b", 8), min=1, opt=3, max=9)).saved()
    assert saved.runner == "onnxruntime"
    assert registry[SCALED] is form


def test_a_wrong_form_is_noticed_and_not_used(registry: dict[Any, Any]) -> None:
    from onnxscript import opset20 as op

    edge_trt.onnx_converter(SCALED)(lambda x, factor: op.Add(x, factor))
    saved = alone(lambda x: SCALED(x, 2.5), X).saved()
    assert saved.runner == "torch"
    assert "gives other values of fallback0.0 than PyTorch" in saved.why


def test_a_form_is_held_to_the_schema(registry: dict[Any, Any]) -> None:
    with pytest.raises(TypeError, match=r"\['scale'\] not in edge_trt_test::scaled"):
        edge_trt.onnx_converter(SCALED)(lambda x, scale: x)
    with pytest.raises(TypeError, match="is no overload"):
        edge_trt.onnx_converter(torch.ops.edge_trt_test.scaled)(lambda x: x)
    edge_trt.onnx_converter(SCALED)(lambda x, factor: x)
    with pytest.raises(TypeError, match="has an ONNX form already"):
        edge_trt.onnx_converter(SCALED)(lambda x, factor: x)


def test_torch_on_request() -> None:
    saved = alone(spectrum, X).saved("torch")
    assert (saved.runner, saved.onnx, saved.why) == ("torch", None, "fallback='torch' asks for it")


def test_onnxruntime_lists_all_that_it_can_not_run() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.between, self.other = Of(torch.special.i0), Of(torch.relu), Of(scaled_up)

        def forward(self, x):
            return self.other(self.between(self.one(x)))

    def scaled_up(x):
        return SCALED(x, 2.0)

    with pytest.raises(edge_trt.UnsupportedError, match="2 fallback blocks can't run in ONNX") as e:
        edge_trt.compile(Two().eval(), (X,), fallback="onnxruntime")
    first, second = e.value.refusals
    assert "special_i0" in first
    assert "one" in first
    assert "edge_trt_test.scaled" in second
    assert "tests/fallback/blocks.py" in second
    assert "edge_trt.onnx_converter" in str(e.value)


@pytest.mark.parametrize("missing", ["onnxscript", "onnxruntime"])
def test_a_missing_library_is_the_reason(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == missing else find(n, *a)
    )
    monkeypatch.setitem(sys.modules, missing, None)
    saved = alone(spectrum, X).saved()
    assert saved.runner == "torch"
    assert f"{missing} is not installed" in saved.why
    assert "pip install 'edge-trt[cpu]'" in saved.why


def test_what_pytorch_can_not_run_here_is_not_trusted(registry: dict[Any, Any]) -> None:
    library = torch.library.Library("edge_trt_test2", "DEF")
    library.define("absent(Tensor x) -> Tensor")
    library.impl("absent", lambda x: torch.empty_like(x), "Meta")
    absent = torch.ops.edge_trt_test2.absent.default
    edge_trt.onnx_converter(absent)(lambda x: x)
    saved = alone(absent, X).saved()
    assert saved.runner == "torch"
    assert "PyTorch can't run it here" in saved.why


def test_no_path_of_this_machine_is_written() -> None:
    model = alone(lambda x: spectrum(x).relu(), X).saved().onnx
    assert model is not None
    proto = onnx.ModelProto.FromString(model.data)
    assert proto.graph.node
    assert b".py" not in model.data


def test_report_names_runner_share_and_copies() -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(5, 4)

        def forward(self, x):
            return self.last(spectrum(self.first(x)))

    model = Head().eval()
    bundle = edge_trt.compile(model, (X,), dryrun=True)
    first, fallback, last = bundle.coverage["blocks"]
    assert [b["runner"] for b in (first, fallback, last)] == ["tensorrt", "onnxruntime", "tensorrt"]
    assert (fallback["to_host"], fallback["to_device"]) == (3 * 8 * 4, 3 * 5 * 4)
    assert (first["to_host"], last["to_device"]) == (0, 0)
    assert sum(b["share"] for b in bundle.coverage["blocks"]) == pytest.approx(1)
    assert_as_eager(model, saved_module(model), X)


def saved_module(model: nn.Module) -> edge_trt.Bundle:
    bundle = edge_trt.compile(model, (X,))
    bundle.module()
    return bundle


def test_slow_models_are_checked_on_fewer_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Input(("b", 8), min=1, opt=3, max=9)
    assert " on 10 random inputs" in alone(spectrum, rows).saved().why
    for module in ("cases", "check"):
        monkeypatch.setattr(f"edge_trt.fallback.{module}.PATIENCE", 0.0)
    assert " on one random input (" in alone(spectrum, rows).saved().why
