# SPDX-License-Identifier: Apache-2.0
"""timm and torchvision by name."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from edge_trt.capture import Input, capture
from edge_trt.capture.sources import load_source
from edge_trt_runtime.manifest import Range

# Not importorskip: torchvision's import fails where its operators are missing, which is a case.
if find_spec("timm") is None or find_spec("torchvision") is None:
    pytest.skip("needs edge-trt[models]", allow_module_level=True)

IMAGENET = [0.485, 0.456, 0.406]

CLASSIFICATION = [
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "vgg16_bn",
    "densenet121",
    "googlenet",
    "squeezenet1_1",
    "shufflenet_v2_x1_0",
    "mnasnet1_0",
    "regnet_y_400mf",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
]

SIZES = {
    **dict.fromkeys(f"torchvision:{name}" for name in CLASSIFICATION),
    "torchvision:efficientnet_v2_s": 384,
    "torchvision:inception_v3": 299,
    "torchvision:vit_h_14": None,  # 224 without its weights, whose own size is 518
    "torchvision:fcn_resnet50": 520,
    "torchvision:deeplabv3_mobilenet_v3_large": 520,
    "timm:resnet50": None,
    "timm:mobilenetv3_large_100": None,
    "timm:efficientnet_b0": None,
    "timm:vit_tiny_patch16_224": None,
    "timm:deit_tiny_patch16_224": None,
}


@pytest.mark.parametrize("name", SIZES)
def test_models_come_with_their_input(name):
    # Without weights: only names and inputs matter. regnet computes with them while it is made.
    with torch.device("cpu" if "regnet" in name else "meta"):
        source = load_source(name)
    size = SIZES[name] or 224
    assert [described.shape for described in source.inputs] == [(1, 3, size, size)]
    assert source.ours
    centred = name == "timm:vit_tiny_patch16_224"
    assert source.image.mean == ([0.5] * 3 if centred else pytest.approx(IMAGENET))
    parameters = sum(parameter.numel() for parameter in source.model.parameters())
    assert parameters > 1e6


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("r3d_18", [(1, 3, 16, 112, 112)]),
        ("mvit_v2_s", [(1, 3, 16, 224, 224)]),
        ("raft_small", [(1, 3, 520, 960)] * 2),
    ],
)
def test_other_families_of_torchvision(name, shapes):
    with torch.device("meta"):
        source = load_source(f"torchvision:{name}")
    assert [described.shape for described in source.inputs] == shapes


def test_detection_takes_a_list_of_images():
    with torch.device("meta"):
        source = load_source("torchvision:ssdlite320_mobilenet_v3_large")
    ((image,),) = source.inputs
    assert image.shape == (3, 640, 640)
    assert source.image.mean == [0.0, 0.0, 0.0]


def test_torchvision_model_without_any_input_given():
    captured = capture("torchvision:squeezenet1_1")  # no warning either: training mode is ours
    (spec,) = captured.signature.inputs
    assert (spec.name, spec.shape) == ("x", [1, 3, 224, 224])
    assert spec.image is not None
    assert spec.image.std == [0.229, 0.224, 0.225]
    assert captured.output_names == ["output"]
    assert captured.name == "squeezenet1_1"


def test_timm_model_with_a_range_and_a_name():
    captured = capture("timm:mobilenetv3_small_050", [Input.parse("image=1..2..8x3x224x224")])
    (spec,) = captured.signature.inputs
    assert (spec.name, spec.shape) == ("image", ["batch", 3, 224, 224])
    assert captured.signature.dims == {"batch": Range(1, 2, 8)}
    assert spec.image is not None
    assert spec.image.mean == pytest.approx(IMAGENET)
    assert captured.signature.outputs[0].shape == ["batch", 1000]


def test_weights_by_name(monkeypatch):
    from torchvision.models import _api

    asked = []
    reference = torch.nn.Module.state_dict(load_source("torchvision:squeezenet1_1").model)

    def download(url, **_):
        asked.append(url)
        return reference

    monkeypatch.setattr(_api, "load_state_dict_from_url", download)
    loaded = load_source("torchvision:squeezenet1_1@IMAGENET1K_V1").model.state_dict()
    assert len(asked) == 1
    assert all(torch.equal(loaded[key], reference[key]) for key in reference)
