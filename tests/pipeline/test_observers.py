# SPDX-License-Identifier: Apache-2.0
"""Models prepared for quantization-aware training, in which one call observes and quantizes."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.ao.quantization import (
    DeQuantStub,
    FakeQuantize,
    MovingAverageMinMaxObserver,
    QConfig,
    QConfigMapping,
    QuantStub,
    convert,
    default_weight_fake_quant,
    disable_fake_quant,
    disable_observer,
    get_default_qat_qconfig,
    get_default_qconfig,
    prepare,
    prepare_qat,
)
from torch.ao.quantization.quantize_fx import prepare_qat_fx

import edge_trt
from edge_trt import CaptureError, Input

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
OPEN = Input((1, 3, "h", 8), min=(1, 3, 4, 8), opt=(1, 3, 8, 8), max=(1, 3, 12, 8))


def prepared(backend: str) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(2), nn.AdaptiveAvgPool1d(2))
    mapping = QConfigMapping().set_global(get_default_qat_qconfig(backend, 1))
    x = torch.randn(2, 3, 8, 8)
    ready = prepare_qat_fx(model.train(), mapping, (x,))
    ready(x)
    return ready.eval()


@pytest.mark.parametrize("given", [torch.randn(1, 3, 8, 8), OPEN])
@pytest.mark.parametrize(("backend", "states"), [("x86", "refuse"), ("qnnpack", "io")])
def test_observers_that_are_off(backend: str, states: str, given: object) -> None:
    model = prepared(backend).apply(disable_observer)
    before = copy.deepcopy(model)
    bundle = edge_trt.compile(model, given, states=states)
    assert bundle.signature.states == []
    assert [part.network is not None for part in bundle.parts] == [True]
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(bundle.module()(x), before(x))


def test_a_program_with_observers_that_are_off_keeps_its_graph() -> None:
    model, x = prepared("x86").apply(disable_observer), torch.randn(1, 3, 8, 8)
    program = torch.export.export(model, (x,))
    before = str(program)
    torch.testing.assert_close(edge_trt.compile(program).module()(x), model(x))
    assert str(program) == before


@pytest.mark.parametrize("states", ["refuse", "io"])
def test_observers_that_are_on_are_refused(states: str) -> None:
    with pytest.raises(CaptureError, match=r"still observes, .*disable_observer"):
        edge_trt.compile(prepared("x86"), torch.randn(1, 3, 8, 8), states=states)


class Eager(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = QuantStub(), DeQuantStub()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(self.before(x))).relu()
        return self.after(self.fc(x.mean((2, 3))))


def trained(backend: str, version: int) -> nn.Module:
    torch.manual_seed(0)
    model = Eager().train()
    model.qconfig = get_default_qat_qconfig(backend, version)
    ready = prepare_qat(model)
    ready(torch.randn(2, 3, 8, 8))
    return ready.eval()


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("backend", ["fbgemm", "qnnpack"])
@pytest.mark.parametrize("quantizes", [True, False])
def test_eager_fake_quantizers(backend: str, version: int, quantizes: bool) -> None:
    model = trained(backend, version)
    with pytest.raises(CaptureError, match=r"'\S+' .*still observes, .*disable_observer"):
        edge_trt.compile(model, torch.randn(1, 3, 8, 8))
    model.apply(disable_observer)
    if not quantizes:
        model.apply(disable_fake_quant)
    bundle = edge_trt.compile(model, OPEN)
    (network,) = [part.network for part in bundle.parts]
    assert network is not None
    kinds = {type(node.layer).__name__ for node in network.nodes}
    assert ("Dequantize" in kinds) == quantizes
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(bundle.module()(x), model(x))


def test_modules_that_only_observe_or_compute_in_integers_are_refused() -> None:
    model = Eager().eval()
    model.qconfig = get_default_qconfig("fbgemm")
    observing, x = prepare(model), torch.randn(1, 3, 8, 8)
    observing(x)
    with pytest.raises(CaptureError, match=r"'\S+' only observes.*precision='int8'"):
        edge_trt.compile(observing, x)
    with pytest.raises(CaptureError, match=r"in integers .*before torch.ao.quantization.convert"):
        edge_trt.compile(convert(observing), x)


def test_quantizers_in_floats_are_told(tmp_path: Path) -> None:
    """Default activations are uint8 with a zero point, which TensorRT's layers don't know."""
    model, x = trained("fbgemm", 0).apply(disable_observer), torch.randn(1, 3, 8, 8)
    bundle = edge_trt.compile(model, x, dryrun=True)
    (note,) = bundle.report["notes"]
    said = r"\d quantizers .* in floats, .*test_observers.py:\d+: .*; .*symmetric qint8 observers"
    assert re.search(said, note)
    edge_trt.compile(model, x).save(tmp_path / "m.edge")
    loaded = edge_trt.load(tmp_path / "m.edge")
    assert (loaded.notes, loaded.remarks) == ([note], [])
    symmetric = FakeQuantize.with_args(
        observer=MovingAverageMinMaxObserver,
        dtype=torch.qint8,
        qscheme=torch.per_tensor_symmetric,
        quant_min=-128,
        quant_max=127,
    )
    model = Eager().train()
    model.qconfig = QConfig(symmetric, default_weight_fake_quant)
    ready = prepare_qat(model)
    ready(torch.randn(2, 3, 8, 8))
    ready.eval().apply(disable_observer)
    assert edge_trt.compile(ready, x, dryrun=True).notes == []
