# SPDX-License-Identifier: Apache-2.0
"""The models that the compiler has to take whole, with random weights that hide nothing.

entry = ZOO["vit_b_16"]
model, image = entry.build(), entry.example()
"""

from __future__ import annotations

import importlib
import zlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from edge_trt.capture.torchvision_ops import declared_on_import


@dataclass(frozen=True)
class Entry:
    """One model: `source` is the module that builds it, `size` the side of its square input."""

    name: str
    source: str
    size: int = 224
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The model in eval mode, the same one every time."""
        with declared_on_import(), torch.random.fork_rng():
            torch.manual_seed(zlib.crc32(self.name.encode()))
            module = importlib.import_module(self.source)
            name = self.name.partition(":")[2] or self.name
            make = module.create_model if self.source == "timm" else getattr(module, name)
            model = make(name) if self.source == "timm" else make(**self.arguments)
            randomise(
                model, torch.randn(4, 3, self.size, self.size) if has_batch_norm(model) else None
            )
        return model.eval()

    def example(self, batch: int = 1, seed: int = 0) -> torch.Tensor:
        """A random image batch [batch, 3, size, size] of unit variance."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, 3, self.size, self.size, generator=generator)


def has_batch_norm(model: nn.Module) -> bool:
    """True when some normalization keeps running statistics."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


def randomise(model: nn.Module, sample: torch.Tensor | None = None) -> nn.Module:
    """Gives values to what initialisation leaves without effect.

    All-zero parameters (torchvision's ViT heads, every bias) make outputs independent of inputs or
    layers invisible, and ConvNeXt's layer scales of 1e-6 switch its blocks off. Fresh running
    statistics make a batch normalization an identity, which lets signals of deep networks fade
    until the output is its last bias: with a sample they are measured.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.is_floating_point():
                continue
            if not bool(parameter.any()):
                nn.init.normal_(parameter, std=0.02)
            elif name.rpartition(".")[2] == "layer_scale":
                nn.init.uniform_(parameter, 0.1, 1.0)
        norms = []
        for name, norm in model.named_modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norms.append(norm)
                # small steps along a residual stream: large ones amplify rounding block by block
                low, high = (0.1, 0.3) if name.endswith("bn3") else (0.4, 0.8)
                if norm.affine:
                    nn.init.uniform_(norm.weight, low, high)
        if sample is not None and norms:
            measure_statistics(model, norms, sample)
    return model


def measure_statistics(
    model: nn.Module, norms: list[nn.modules.batchnorm._BatchNorm], sample: torch.Tensor
) -> None:
    """Sets running statistics to those of a sample, everything else in eval mode."""
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = None
        norm.reset_running_stats()
    model(sample)
    model.eval()
    for norm in norms:
        bound_statistics(norm)


def bound_statistics(norm: nn.modules.batchnorm._BatchNorm) -> None:
    """Keeps variances from being so small that they amplify rounding.

    A variance far below the squared mean would amplify float32's rounding of the mean, one far
    below that of the other channels the little that a nearly dead channel carries.
    """
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_var.clamp_(min=0.2 * float(norm.running_var.mean()))
        norm.running_var.copy_(torch.maximum(norm.running_var, 0.4 * norm.running_mean**2))


CLASSIFIERS = (
    "resnet18", "resnet50", "resnext50_32x4d", "mobilenet_v2", "mobilenet_v3_large",
    "efficientnet_b0", "efficientnet_v2_s", "vgg16_bn", "densenet121", "squeezenet1_1",
    "shufflenet_v2_x1_0", "mnasnet1_0", "regnet_y_400mf", "convnext_tiny", "vit_b_16", "swin_t",
)  # fmt: skip
INCEPTIONS = {"googlenet": 224, "inception_v3": 299}
TIMM = (
    "resnet50", "mobilenetv3_large_100", "efficientnet_b0", "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
)  # fmt: skip
SEGMENTATION = ("fcn_resnet50", "deeplabv3_mobilenet_v3_large")

ZOO: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        *(Entry(name, "torchvision.models", arguments={"weights": None}) for name in CLASSIFIERS),
        *(
            Entry(name, "torchvision.models", size, {"weights": None, "init_weights": False})
            for name, size in INCEPTIONS.items()
        ),
        *(Entry(f"timm:{name}", "timm") for name in TIMM),
        *(
            Entry(
                name,
                "torchvision.models.segmentation",
                224,
                {"weights": None, "weights_backbone": None},
            )
            for name in SEGMENTATION
        ),
    )
}
"""Every model of the coverage list, by name."""
