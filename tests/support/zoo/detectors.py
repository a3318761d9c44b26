# SPDX-License-Identifier: Apache-2.0
"""torchvision's detectors with random weights that tell one place from another."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from edge_trt.capture.torchvision_ops import provide_kernels
from tests.support.detections import in_any_order
from tests.support.last_steps import with_keypoints_at, with_masks_at
from tests.support.zoo.entry import Arguments, Entry, Expectation, whatever_was_found
from tests.support.zoo.torchvision import make

SIZES = {
    "ssdlite320_mobilenet_v3_large": 320, "ssd300_vgg16": 300, "retinanet_resnet50_fpn": 128,
    "retinanet_resnet50_fpn_v2": 128, "fcos_resnet50_fpn": 128,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 128, "fasterrcnn_mobilenet_v3_large_fpn": 128,
    "fasterrcnn_resnet50_fpn": 128, "fasterrcnn_resnet50_fpn_v2": 128,
    "maskrcnn_resnet50_fpn": 128, "maskrcnn_resnet50_fpn_v2": 128,
    "keypointrcnn_resnet50_fpn": 128,
}  # fmt: skip
"""Detectors with the sides of their images."""

RESIZED = 256
"""Shorter side to which those that take any size bring an image: 800 would take minutes.

Twice the side of the images, where float32 knows the places between pixels exactly: noise has other
values a hundred-thousandth of a pixel away, which is how far those of 224 are rounded.
"""

SHIFT = 0.2
"""Deviation of the regression: boxes that move by more than their size multiply its rounding."""

EXPECTED: dict[str, Expectation] = {
    "maskrcnn_resnet50_fpn": with_masks_at,
    "maskrcnn_resnet50_fpn_v2": with_masks_at,
    "keypointrcnn_resnet50_fpn": with_keypoints_at,
}

HEADS = ("head", "rpn.head", "roi_heads")


def make_detector(name: str) -> nn.Module:
    """A detector, with kernels for torchvision's own operators where its extension has none."""
    provide_kernels()
    threshold = "box_score_thresh" if "rcnn" in name else "score_thresh"
    options: dict[str, Any] = {threshold: 0.0}  # random weights are sure of nothing
    if "ssd" not in name:
        options["min_size"] = RESIZED
    return make("torchvision.models.detection", name, weights_backbone=None, **options)


def spread(model: nn.Module, sample: Arguments) -> None:
    """Scales the layers of the heads so that what each gives varies by one, and boxes by less.

    Initialised for training, the heads score every place alike, to the last digits of float32, or
    so high that a sigmoid of it is one. Which boxes are the best is then a matter of rounding.
    """

    def scale(layer: Any, _: Any, output: torch.Tensor) -> torch.Tensor:
        if layer in scaled or output.numel() < 2:
            return output
        scaled.add(layer)
        bias = 0.0 if layer.bias is None else layer.bias.reshape(-1, *[1] * (output.dim() - 2))
        factor = (SHIFT if layer in boxes else 1.0) / (output - bias).std()
        layer.weight.mul_(factor)
        return (output - bias) * factor + bias

    scaled: set[nn.Module] = set()
    boxes = {layer for name, layer in model.named_modules() if "bbox" in name}
    hooks = [
        layer.register_forward_hook(scale)
        for name, layer in model.named_modules()
        if name.startswith(HEADS) and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    with torch.no_grad():
        model(*sample)
    for hook in hooks:
        hook.remove()


def list_of_images(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Images in [0, 1], in the list that torchvision's detectors take."""
    return ([torch.rand(3, size, size, generator=generator) for _ in range(batch)],)


def entries() -> list[Entry]:
    """Every detector, in the order of the table."""
    return [
        Entry(
            name,
            "torchvision detection",
            functools.partial(make_detector, name),
            size,
            list_of_images,
            spread,
            EXPECTED.get(name, whatever_was_found),
            in_any_order,
        )
        for name, size in SIZES.items()
    ]
