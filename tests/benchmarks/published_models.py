# SPDX-License-Identifier: Apache-2.0
"""Layer lists of the models that NVIDIA published DLA throughput of.

python -m tests.benchmarks.published_models     writes tests/data/published/*.json

Only what computes on the accelerator: boxes are decoded and suppressed elsewhere. The shapes are
those of the published networks; weights are random and are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edge_trt.capture.torchvision_ops import provide_kernels
from edge_trt.options import CompileOptions
from edge_trt.pipeline import compile_networks
from edge_trt.placement.graph import describe
from edge_trt.placement.implicit import without_quantization
from edge_trt.stages import Stages

FOLDER = Path(__file__).parents[1] / "data" / "published"


class Retina(nn.Module):
    """RetinaNet with its pyramid and both heads; the results are those of each level."""

    def __init__(self, backbone: str, classes: int) -> None:
        super().__init__()
        from torchvision.models.detection import RetinaNet
        from torchvision.models.detection.backbone_utils import (
            _resnet_fpn_extractor,  # pyright: ignore[reportPrivateUsage]
        )
        from torchvision.models.resnet import __dict__ as resnets
        from torchvision.ops.feature_pyramid_network import LastLevelP6P7

        levels: Any = LastLevelP6P7(256, 256)
        body = _resnet_fpn_extractor(
            resnets[backbone](norm_layer=nn.BatchNorm2d), 5, returned_layers=[2, 3, 4],
            extra_blocks=levels,
        )  # fmt: skip
        whole = RetinaNet(body, num_classes=classes)
        self.body, head = whole.backbone, whole.head
        self.classes = nn.Sequential(
            head.classification_head.conv, head.classification_head.cls_logits
        )
        self.boxes = nn.Sequential(head.regression_head.conv, head.regression_head.bbox_reg)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Scores and boxes of five levels."""
        levels = list(self.body(x).values())
        return [head(level) for level in levels for head in (self.classes, self.boxes)]


class SsdResNet34(nn.Module):
    """MLPerf's SSD for 1200 x 1200: ResNet-34 without its last stage, heads with strides."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet34

        full = resnet34()
        full.layer3[0].conv1.stride = (1, 1)
        full.layer3[0].downsample[0].stride = (1, 1)
        self.body = nn.Sequential(*list(full.children())[:7])
        sizes = [(256, 256, 512, 1, 2), (512, 256, 512, 1, 2), (512, 128, 256, 1, 2),
                 (256, 128, 256, 0, 2), (256, 128, 256, 0, 1)]  # fmt: skip
        self.extras = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 1), nn.ReLU(), nn.Conv2d(b, c, 3, stride, padding), nn.ReLU()
            )
            for a, b, c, padding, stride in sizes
        )
        anchors = [4, 6, 6, 6, 4, 4]
        strides, maps = [3, 3, 2, 2, 2, 2], [256, 512, 512, 256, 256, 256]
        rows = list(zip(anchors, strides, maps, strict=True))
        self.boxes = nn.ModuleList(nn.Conv2d(m, 4 * a, 3, s, 1) for a, s, m in rows)
        self.scores = nn.ModuleList(nn.Conv2d(m, 81 * a, 3, s, 1) for a, s, m in rows)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Boxes and scores of six levels."""
        levels = [self.body(x)]
        for extra in self.extras:
            levels.append(extra(levels[-1]))
        return [
            head(y)
            for heads in (self.boxes, self.scores)
            for head, y in zip(heads, levels, strict=True)
        ]


class SsdMobileNet(nn.Module):
    """SSD with MobileNet v1 for 300 x 300, 91 classes."""

    def __init__(self) -> None:
        super().__init__()
        rows = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1),
                (256, 512, 2), *[(512, 512, 1)] * 5, (512, 1024, 2), (1024, 1024, 1)]  # fmt: skip
        blocks = [_separable(*row) for row in rows]
        self.first = nn.Sequential(_convolution(3, 32, 3, 2), *blocks[:11])
        self.second = nn.Sequential(*blocks[11:])
        extras = [(1024, 256, 512), (512, 128, 256), (256, 128, 256), (256, 64, 128)]
        self.extras = nn.ModuleList(
            nn.Sequential(_convolution(a, b, 1, 1), _convolution(b, c, 3, 2)) for a, b, c in extras
        )
        maps, anchors = [512, 1024, 512, 256, 256, 128], [3, 6, 6, 6, 6, 6]
        pairs = list(zip(maps, anchors, strict=True))
        self.boxes = nn.ModuleList(nn.Conv2d(m, 4 * a, 1) for m, a in pairs)
        self.scores = nn.ModuleList(nn.Conv2d(m, 91 * a, 1) for m, a in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Boxes and scores of six levels."""
        levels = [self.first(x)]
        levels.append(self.second(levels[0]))
        for extra in self.extras:
            levels.append(extra(levels[-1]))
        return [
            head(y)
            for heads in (self.boxes, self.scores)
            for head, y in zip(heads, levels, strict=True)
        ]


def _convolution(a: int, b: int, window: int, stride: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(a, b, window, stride, window // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(b), nn.ReLU6())


def _separable(a: int, b: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_convolution(a, a, 3, stride, a), _convolution(a, b, 1, 1))


def resnet34_backbone() -> nn.Module:
    """ResNet-34 up to its last stage."""
    from torchvision.models import resnet34

    return nn.Sequential(*list(resnet34().children())[:8])


def resnet50() -> nn.Module:
    """ResNet-50 (v1.5, as torchvision has it)."""
    from torchvision.models import resnet50

    return resnet50()


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "retinanet-resnext50": (lambda: Retina("resnext50_32x4d", 264), (800, 800)),
    "resnet34-backbone": (resnet34_backbone, (768, 1280)),
    "retinanet-resnet34": (lambda: Retina("resnet34", 80), (768, 1280)),
    "ssd-resnet34": (SsdResNet34, (1200, 1200)),
    "resnet50": (resnet50, (224, 224)),
    "ssd-mobilenet-v1": (SsdMobileNet, (300, 300)),
}
"""Factory and input size of each published model."""


def main() -> None:
    """Writes a file for each model."""
    provide_kernels()
    for name, (make, size) in MODELS.items():
        options = CompileOptions(self_test=0)
        example = (torch.zeros(1, 3, *size),)
        bundle = compile_networks(make().eval(), example, options, Stages())
        (network,) = bundle.networks
        graph = describe(without_quantization(network, values=False)[0])
        text = json.dumps(graph.as_dict(), separators=(",", ":")).replace('{"name"', '\n{"name"')
        FOLDER.joinpath(f"{name}.json").write_text(text + "\n")
        macs = sum(work.macs for work in graph.works)
        print(f"{name}: {len(graph.works)} layers, {macs / 1e9:.2f} GMAC")


if __name__ == "__main__":
    main()
