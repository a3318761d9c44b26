# SPDX-License-Identifier: Apache-2.0
"""Models of torchvision other than detectors, at sizes that keep a run short."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import torch
from torch import nn

from edge_trt.capture.torchvision_ops import declared_on_import
from tests.support.zoo.entry import Arguments, Entry, Feed, image

CORE = (
    "resnet18", "resnet50", "resnext50_32x4d", "mobilenet_v2", "mobilenet_v3_large",
    "efficientnet_b0", "efficientnet_v2_s", "vgg16_bn", "densenet121", "squeezenet1_1",
    "shufflenet_v2_x1_0", "mnasnet1_0", "regnet_y_400mf", "convnext_tiny", "vit_b_16", "swin_t",
)  # fmt: skip
"""Classifiers that are tested at their usual size and at ranges too."""

CONVOLUTIONAL = (
    "convnext_small", "convnext_base", "convnext_large",
    "densenet161", "densenet169", "densenet201",
    "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_m",
    "efficientnet_v2_l", "mnasnet0_5", "mnasnet0_75", "mnasnet1_3", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_8gf",
    "regnet_x_16gf", "regnet_x_32gf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_3_2gf",
    "regnet_y_8gf", "regnet_y_16gf", "regnet_y_32gf", "regnet_y_128gf",
    "resnet34", "resnet101", "resnet152", "resnext101_32x8d", "resnext101_64x4d",
    "wide_resnet50_2", "wide_resnet101_2",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0",
)  # fmt: skip
"""Classifiers that take any size: seen at 96."""

FIXED = {
    "alexnet": 224, "maxvit_t": 224, "swin_s": 224, "swin_b": 224, "swin_v2_t": 256,
    "swin_v2_s": 256, "swin_v2_b": 256, "vgg11": 224, "vgg11_bn": 224, "vgg13": 224,
    "vgg13_bn": 224, "vgg16": 224, "vgg19": 224, "vgg19_bn": 224, "vit_b_32": 224,
    "vit_l_16": 224, "vit_l_32": 224, "vit_h_14": 224,
}  # fmt: skip
"""Classifiers made for one size."""

INCEPTIONS = {"googlenet": 224, "inception_v3": 299}

SEGMENTATION = {
    "fcn_resnet50": 224, "deeplabv3_mobilenet_v3_large": 224, "lraspp_mobilenet_v3_large": 96,
    "deeplabv3_resnet50": 96, "deeplabv3_resnet101": 96, "fcn_resnet101": 96,
}  # fmt: skip

VIDEO = {
    "r3d_18": (8, 64), "mc3_18": (8, 64), "r2plus1d_18": (8, 64), "s3d": (16, 224),
    "mvit_v1_b": (16, 224), "mvit_v2_s": (16, 224), "swin3d_t": (8, 112), "swin3d_s": (8, 112),
    "swin3d_b": (8, 112),
}  # fmt: skip
"""Frames and size of the clips."""

OPTICAL_FLOW = ("raft_small", "raft_large")


def make(source: str, name: str, **arguments: Any) -> nn.Module:
    """The model `name` of a module of torchvision, without its trained weights."""
    with declared_on_import():
        module = importlib.import_module(source)
    return getattr(module, name)(weights=None, **arguments)


def clip(frames: int) -> Feed:
    """Random clips [batch, 3, frames, size, size]."""
    return lambda generator, batch, size: (
        torch.randn(batch, 3, frames, size, size, generator=generator),
    )


def two_images(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """A pair of images, as optical flow takes it."""
    pair = torch.rand(2, batch, 3, size, size, generator=generator) * 2 - 1
    return (pair[0], pair[1])


def _entry(
    group: str, source: str, name: str, size: int, feed: Feed = image, **arguments: Any
) -> Entry:
    factory = functools.partial(make, f"torchvision.models{source}", name, **arguments)
    return Entry(name, f"torchvision {group}", factory, size, feed)


def entries() -> list[Entry]:
    """Every model, in the order of the tables."""
    classes = dict.fromkeys(CORE, 224) | dict.fromkeys(CONVOLUTIONAL, 96) | FIXED
    no_backbone = {"weights_backbone": None}
    return [
        *(_entry("classification", "", name, size) for name, size in classes.items()),
        *(
            _entry("classification", "", name, size, init_weights=False)
            for name, size in INCEPTIONS.items()
        ),
        *(
            _entry("segmentation", ".segmentation", name, size, **no_backbone)
            for name, size in SEGMENTATION.items()
        ),
        *(
            _entry("video", ".video", name, size, clip(frames))
            for name, (frames, size) in VIDEO.items()
        ),
        *(_entry("optical flow", ".optical_flow", name, 128, two_images) for name in OPTICAL_FLOW),
    ]
