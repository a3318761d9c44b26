# SPDX-License-Identifier: Apache-2.0
"""Every option of `compile` does something, or says that it can't yet."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.options import CompileOptions
from tests.pipeline.models import IMAGE, X, assert_as_eager, hybrid, net


def kinds(bundle: edge_trt.Bundle) -> list[str]:
    return ["tensorrt" if part.network else "fallback" for part in bundle.parts]


def test_unknown_options_and_targets_name_close_ones() -> None:
    with pytest.raises(edge_trt.OptionError, match=r"'precison'.*'precision'"):
        edge_trt.compile(net(), (IMAGE,), precison="fp16")
    with pytest.raises(edge_trt.OptionError, match=r"'agx-orin-64g'.*'agx-orin-64gb'"):
        edge_trt.compile(net(), (IMAGE,), target="agx-orin-64g")


def test_inputs_is_a_keyword_too() -> None:
    assert edge_trt.compile(net(), inputs=(IMAGE,), dryrun=True).coverage["by_calls"] == 1.0


def test_options_are_recorded(tmp_path: Path) -> None:
    chosen = {"precision": "fp16", "min_block_size": 2, "self_test": 1}
    bundle = edge_trt.compile(net(), (IMAGE,), **chosen)
    assert bundle.options == CompileOptions(**chosen)
    assert edge_trt.load(bundle.save(tmp_path / "m.edge")).options == bundle.options


@pytest.mark.parametrize("choice", ["auto", "onnxruntime", "torch"])
def test_fallback_says_who_runs_it(choice: str) -> None:
    bundle = edge_trt.compile(hybrid(), (X,), fallback=choice)
    assert kinds(bundle) == ["tensorrt", "fallback", "tensorrt"]
    _, part, _ = bundle.parts
    _, block, _ = bundle.coverage["blocks"]
    runner = "torch" if choice == "torch" else "onnxruntime"
    assert block["runner"] == runner
    assert (part.program is not None, part.onnx is not None) == (
        runner == "torch",
        runner != "torch",
    )


def test_fallback_forbid() -> None:
    with pytest.raises(edge_trt.UnsupportedError, match="fallback is forbidden") as caught:
        edge_trt.compile(hybrid(), (X,), fallback="forbid")
    assert len(caught.value.refusals) == 2
    assert kinds(edge_trt.compile(net(), (IMAGE,), fallback="forbid")) == ["tensorrt"]


def test_fallback_forbid_counts_what_was_asked_for() -> None:
    with pytest.raises(edge_trt.UnsupportedError, match="one operator"):
        edge_trt.compile(net(), (IMAGE,), fallback="forbid", fallback_ops="aten.softmax")


@pytest.mark.parametrize("option", [{"fallback_ops": "aten.softmax"}, {"fallback_modules": "head"}])
def test_kept_out_on_request(option: dict[str, str], tmp_path: Path) -> None:
    model = net()
    bundle = edge_trt.compile(model, (IMAGE,), **option)
    bundle.save(tmp_path / "m.edge")
    assert "fallback" in kinds(bundle)
    assert [r["reason"] for r in bundle.coverage["refusals"] if next(iter(option)) in r["reason"]]
    assert_as_eager(model, bundle, IMAGE)


def test_small_blocks_fall_back(tmp_path: Path) -> None:
    model = hybrid()
    bundle = edge_trt.compile(model, (X,), min_block_size=2)
    bundle.save(tmp_path / "m.edge")
    assert kinds(bundle) == ["tensorrt", "fallback"]
    assert_as_eager(model, bundle, X)


def test_a_block_size_larger_than_the_model(tmp_path: Path) -> None:
    model = net()
    with pytest.warns(edge_trt.EdgeTrtWarning, match="TensorRT runs nothing") as caught:
        bundle = edge_trt.compile(model, (IMAGE,), min_block_size=100)
    assert caught[0].filename == __file__
    assert "min_block_size 100" in str(caught[0].message)
    bundle.save(tmp_path / "m.edge")
    assert kinds(bundle) == ["fallback"]
    assert bundle.coverage["by_calls"] == 0.0
    assert_as_eager(model, bundle, IMAGE)


def test_a_dry_run_reports_and_has_nothing_to_save(tmp_path: Path) -> None:
    bundle = edge_trt.compile(hybrid(), (X,), dryrun=True, target=("cpu", "rtx"))
    assert bundle.parts == []
    assert bundle.plans == []
    assert len(bundle.coverage["refusals"]) == 2
    assert set(bundle.seconds) == {"capture", "lowering", "partitioning", "fallback"}
    with pytest.raises(edge_trt.EdgeTrtError, match="dry run has nothing to save"):
        bundle.save(tmp_path / "m.edge")
    with pytest.raises(edge_trt.EdgeTrtError, match="dry run has nothing to save"):
        bundle.module()
    assert list(tmp_path.iterdir()) == []


def test_builder_settings_without_a_builder_are_noted() -> None:
    with pytest.warns(edge_trt.EdgeTrtWarning, match="is not used") as told:
        bundle = edge_trt.compile(
            net(),
            (IMAGE,),
            workspace="1MiB",
            optimization_level=1,
            timing_cache="cache.bin",
            weight_streaming=True,
        )
    assert [str(w.message) for w in told] == bundle.notes
    assert bundle.notes == [
        "workspace is not used: target cpu has no TensorRT",
        "optimization_level is not used: target cpu has no TensorRT",
        "weight_streaming is not used: target cpu has no TensorRT",
        "cache.bin is not used: no target here measures kernels",
    ]


@pytest.mark.rtx
def test_builder_settings_reach_the_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_trt.engines import plans

    seen = []
    build = plans.build_plan

    def recorded(*args, settings, **keywords):
        seen.append(settings)
        return build(*args, settings=settings, **keywords)

    monkeypatch.setattr(plans, "build_plan", recorded)
    bundle = edge_trt.compile(
        net(),
        (IMAGE,),
        target="rtx",
        workspace=1 << 24,
        optimization_level=0,
        weight_streaming=True,
    )
    (settings,) = seen
    assert (settings.workspace, settings.optimization_level) == (1 << 24, 0)
    assert settings.weight_streaming
    assert bundle.notes == []
    other = edge_trt.compile(net(), (IMAGE,), target="rtx", optimization_level=1)
    assert other.plans[0].fingerprint != bundle.plans[0].fingerprint


class TestWarnings:
    """They point at the line that called `compile`, and are all `EdgeTrtWarning`s."""

    def test_training_mode(self) -> None:
        model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.9), nn.BatchNorm1d(8))
        model[0].eval()
        with pytest.warns(edge_trt.EdgeTrtWarning, match="in training mode") as caught:
            bundle = edge_trt.compile(model, (X,))
        assert caught[0].filename == __file__
        assert [m.training for m in model.modules()] == [True, False, True, True]
        model.eval()
        with torch.no_grad():
            torch.testing.assert_close(bundle.module()(X), model(X))

    def test_bad_weights(self) -> None:
        model = net()
        with torch.no_grad():
            model.conv.weight[0, 0, 0, 0] = torch.nan
        with pytest.warns(edge_trt.EdgeTrtWarning, match=r"NaN.*conv\.weight") as caught:
            bundle = edge_trt.compile(model, (IMAGE,))
        assert caught[0].filename == __file__
        torch.testing.assert_close(bundle.module()(IMAGE), model(IMAGE).detach(), equal_nan=True)

    def test_an_operator_that_is_not_there(self) -> None:
        with pytest.warns(edge_trt.EdgeTrtWarning, match="no such operator") as caught:
            edge_trt.compile(net(), (IMAGE,), fallback_ops="aten.gelu", dryrun=True)
        assert caught[0].filename == __file__

    def test_none_for_a_good_model(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            edge_trt.compile(net(), (IMAGE,))
