# SPDX-License-Identifier: Apache-2.0
"""fp16 from `compile` to the session, and what stays fp32 on request."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import edge_trt
from edge_trt.network.types import DType
from edge_trt_runtime import run_self_test
from tests.pipeline.models import IMAGE, assert_as_eager, batch, net


def computed_in(bundle: edge_trt.Bundle, module: str) -> set[DType]:
    """Types of the floating-point results of a module's layers."""
    nodes = [n for network in bundle.networks for n in network.nodes if n.origin.module == module]
    assert nodes
    return {t.dtype for n in nodes for t in n.outputs if t.dtype.value.startswith("float")}


def test_fp16_computes_in_fp16_and_keeps_its_borders(tmp_path: Path) -> None:
    model = net()
    bundle = edge_trt.compile(model, (batch(3, 8, 8),), precision="fp16")
    bundle.save(tmp_path / "m.edge")
    assert {s.dtype for s in bundle.signature.inputs + bundle.signature.outputs} == {"float32"}
    assert DType.FLOAT16 in computed_in(bundle, "conv")
    kept = bundle.report["kept_fp32"]
    assert any("soft" in str(entry).lower() for entry in kept)
    assert_as_eager(model, bundle, IMAGE, rtol=1e-2)
    results = run_self_test(bundle.path)
    assert all(result.passed for result in results)
    assert max(result.max_abs for result in results) > 0


def test_fp32_layers_stay_fp32() -> None:
    every = edge_trt.compile(net(), (IMAGE,), precision="fp16")
    assert computed_in(every, "head") & {DType.FLOAT16}
    kept = edge_trt.compile(net(), (IMAGE,), precision="fp16", fp32_layers="head")
    assert DType.FLOAT32 in computed_in(kept, "head")
    assert len(kept.report["kept_fp32"]) > len(every.report["kept_fp32"])
    assert any("'head'" in str(entry) for entry in kept.report["kept_fp32"])


class Dividing(torch.nn.Module):
    """Divisors for which the exact remainder, computed in float16, would overflow."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.remainder(x, y), torch.fmod(x, 0.3), x // y, x.div(y, rounding_mode="floor")


def test_rounded_quotients_keep_their_digits() -> None:
    x, y = torch.rand(4, 5) * 1000, torch.rand(5) * 50 + 20
    bundle = edge_trt.compile(Dividing().eval(), (x, y), precision="fp16")
    for found, expected in zip(bundle.module()(x, y), Dividing()(x, y), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-1)
    assert any("quotient" in str(entry) for entry in bundle.report["kept_fp32"])


def test_a_pattern_without_a_layer_names_close_ones() -> None:
    with pytest.raises(edge_trt.OptionError, match=r"'haed' matches no layer: close names: head"):
        edge_trt.compile(net(), (IMAGE,), precision="fp16", fp32_layers=["conv", "haed"])


def test_fp32_layers_mean_nothing_in_fp32() -> None:
    with pytest.raises(edge_trt.OptionError, match=r"everything does.*precision='fp16'"):
        edge_trt.compile(net(), (IMAGE,), fp32_layers="head")


def test_the_tolerance_follows_the_precision(tmp_path: Path) -> None:
    from edge_trt_runtime.bundle import open_bundle

    tolerances = {}
    for precision in ("fp32", "fp16"):
        bundle = edge_trt.compile(net(), (IMAGE,), precision=precision)
        test = open_bundle(bundle.save(tmp_path / f"{precision}.edge")).manifest.self_test
        assert test is not None
        tolerances[precision] = test.rtol
    assert tolerances["fp32"] < tolerances["fp16"] < 0.1
