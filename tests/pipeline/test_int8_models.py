# SPDX-License-Identifier: Apache-2.0
"""int8 of models that are not plain float32: in half, or quantized by another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.network.layers import Dequantize, MatrixMultiply, Quantize
from edge_trt.network.types import DType
from edge_trt_calibration import CalibrationError
from tests.pipeline.models import batch, net

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((128, 3, 8, 8)).astype(np.float32)

pytestmark = pytest.mark.filterwarnings("ignore:.*samples? set the ranges.*")


DYNAMIC = (batch(3, 8, 8),)


def _compile(model: nn.Module, inputs: Any = DYNAMIC, **options: Any) -> Any:
    given = {"precision": "int8", "calibration": IMAGES} | options
    return edge_trt.compile(model, inputs, **given)


class Half(nn.Module):
    """Computes in another type than float32 between float32 inputs and outputs."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.net = net().to(dtype)

    def forward(self, image):
        return self.net(image.to(self.net.conv.weight.dtype)).float()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_model_in_half_is_told_why_nothing_is_in_int8(dtype: str) -> None:
    reason = f"computes in {dtype}: give the model in float32"
    model = Half(getattr(torch, dtype)).eval()
    told = rf"no layer of this model is in int8: conv2d \({reason}\) and 1 more"
    with pytest.warns(edge_trt.EdgeTrtWarning, match=told):
        edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)
    with pytest.warns(edge_trt.EdgeTrtWarning, match=told):
        bundle = _compile(model)
    assert [row["reason"] for row in bundle.kept] == [reason] * 2
    assert (bundle.quantization["layers_int8"], bundle.quantization["layers_higher"]) == (0, 2)


def test_a_model_without_weights_is_told_that_nothing_is_in_int8() -> None:
    with pytest.warns(edge_trt.EdgeTrtWarning, match="no layer .* TensorRT runs none with weights"):
        _compile(nn.ReLU().eval())


class QuantizedElsewhere(nn.Module):
    """One linear layer with the Q/DQ of PyTorch's `convert_pt2e`, and one as it was."""

    def __init__(self) -> None:
        super().__init__()
        levels = torch.randint(-127, 128, (6, 8), dtype=torch.int8)
        self.register_buffer("levels", levels)
        self.register_buffer("scales", torch.linspace(0.001, 0.01, 6))
        self.register_buffer("zeros", torch.zeros(6, dtype=torch.int64))
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        q = torch.ops.quantized_decomposed
        x = q.quantize_per_tensor(x, 0.03, 0, -128, 127, torch.int8)
        x = q.dequantize_per_tensor(x, 0.03, 0, -128, 127, torch.int8)
        weight = q.dequantize_per_channel(
            self.levels, self.scales, self.zeros, 0, -127, 127, torch.int8
        )
        return self.last(nn.functional.linear(x, weight).relu())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_is_quantized_elsewhere_keeps_its_scales(precision: str) -> None:
    from torch.ao.quantization.fx import _decomposed  # noqa: F401  # registers the operators

    rows = RNG.standard_normal((64, 8)).astype(np.float32)
    model = QuantizedElsewhere().eval()
    program = torch.export.export(model, (torch.zeros(4, 8),))
    options: dict[str, Any] = {"calibration": rows} if precision == "int8" else {}
    bundle = edge_trt.compile(program, (torch.zeros(4, 8),), precision=precision, **options)
    (network,) = bundle.networks
    scales = [n.inputs[1].data for n in network.nodes if isinstance(n.layer, Quantize)]
    # The layer that came in fp32 gets a scale of its own; that of the program stays first.
    assert len(scales) == (2 if precision == "int8" else 1)
    assert scales[0] == np.float32(0.03)
    if precision == "int8":
        assert bundle.kept == []
        counts = bundle.quantization["layers_int8"], bundle.quantization["layers_higher"]
        assert counts == (2, 0)
    with torch.inference_mode():
        wanted = model(torch.from_numpy(rows[:4])).numpy()
    found = bundle.module()(torch.from_numpy(rows[:4])).numpy()
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert error < (0.03 if precision == "int8" else 1e-6)


def test_a_model_of_a_library_needs_data_before_it_is_captured() -> None:
    stages: list[str] = []
    with pytest.raises(edge_trt.OptionError, match="needs sample data: add --calibration DATA"):
        edge_trt.compile(
            "torchvision:no_such_model",
            (torch.zeros(1, 3, 8, 8),),
            precision="int8",
            progress=lambda stage, *_: stages.append(stage),
        )
    assert stages == []


def test_what_is_quantized_as_a_whole_needs_no_data() -> None:
    from torch.ao.quantization.fx import _decomposed  # noqa: F401  # registers the operators

    model = QuantizedElsewhere().eval()
    with pytest.raises(edge_trt.OptionError, match="needs sample data: add --calibration DATA"):
        _compile(model, (torch.zeros(4, 8),), calibration=None)
    model.last = nn.Identity().eval()
    with pytest.warns(edge_trt.EdgeTrtWarning, match="there is no self-test"):
        bundle = _compile(model, (torch.zeros(4, 8),), calibration=None)
    assert (bundle.quantization["layers_int8"], bundle.quantization["layers_higher"]) == (1, 0)
    assert bundle.quantization["tensors"] == 0


class InputQuantizedElsewhere(nn.Module):
    """A linear layer whose input has a scale, and whose weights are left to the builder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        return self.last(torch.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127))


def test_float_weights_beside_an_input_that_the_model_quantizes_are_quantized() -> None:
    rows = torch.from_numpy(RNG.standard_normal((4, 8)).astype(np.float32))
    model = InputQuantizedElsewhere().eval()
    with pytest.warns(edge_trt.EdgeTrtWarning, match="there is no self-test"):
        bundle = _compile(model, (rows,), calibration=None)
    assert (bundle.kept, bundle.quantization["layers_int8"]) == ([], 1)
    (network,) = bundle.networks
    (product,) = (n for n in network.nodes if isinstance(n.layer, MatrixMultiply))
    data, weight = (t.producer for t in product.inputs)
    assert data.inputs[1].data == np.float32(0.02)
    assert weight.inputs[0].dtype is DType.INT8
    with torch.inference_mode():
        wanted = model(rows).numpy()
    np.testing.assert_allclose(bundle.module()(rows).numpy(), wanted, atol=0.02)


class FakeQuantized(nn.Module):
    """A convolution with the quantizers of quantization-aware training around its operands."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3)
        self.register_buffer("scales", self.conv.weight.detach().abs().amax((1, 2, 3)) / 127)
        self.register_buffer("zeros", torch.zeros(8, dtype=torch.int32))

    def forward(self, x):
        x = torch.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127)
        weight = torch.fake_quantize_per_channel_affine(
            self.conv.weight, self.scales, self.zeros, 0, -128, 127
        )
        return nn.functional.conv2d(x, weight, self.conv.bias)


@pytest.mark.filterwarnings("ignore:there is no self-test")
def test_an_exception_for_what_the_model_quantizes_is_said_to_have_no_effect() -> None:
    with pytest.warns(edge_trt.EdgeTrtWarning, match="no effect on block0/conv2d: the model itse"):
        bundle = _compile(FakeQuantized().eval(), calibration=None, int8_except=["Convolution"])
    assert bundle.quantization["layers_int8"] == 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Half(torch.float16), "can be in int8: conv2d .computes in float16: .*: use fp16"),
        (FakeQuantized(), "itself quantizes every layer .*build --precision int8 compiles it"),
    ],
)
def test_there_is_nothing_to_tune(model: nn.Module, message: str, tmp_path: Path) -> None:
    output = tmp_path / "m.edge"
    with pytest.raises(CalibrationError, match=message):
        edge_trt.tune(
            model.eval(), DYNAMIC, output, drop=1, calibration=IMAGES, metric=lambda run: 1.0
        )


@pytest.mark.filterwarnings("ignore:there is no self-test")
@pytest.mark.parametrize("options", [{"precision": "fp32"}, {}, {"calibration": IMAGES}])
def test_a_model_of_fake_quantizers_is_int8_without_data(options: dict[str, Any]) -> None:
    model = FakeQuantized().eval()
    bundle = _compile(model, **({"calibration": None} | options))
    (network,) = bundle.networks
    stored = [n.inputs[0] for n in network.nodes if isinstance(n.layer, Dequantize)]
    assert [t.dtype for t in stored if t.is_constant] == [DType.INT8]
    assert sum(isinstance(n.layer, Quantize) for n in network.nodes) == 1
    if "precision" not in options:
        assert (bundle.quantization["layers_int8"], bundle.quantization["tensors"]) == (1, 0)
    with torch.inference_mode():
        wanted = model(torch.from_numpy(IMAGES[:6])).numpy()
    found = bundle.module()(torch.from_numpy(IMAGES[:6])).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-5)
