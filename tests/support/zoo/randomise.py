# SPDX-License-Identifier: Apache-2.0
"""Random weights that hide nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

TINY = 1e-2
"""A parameter of one value below this is a layer scale that switches its branch off."""


def has_batch_norm(model: nn.Module) -> bool:
    """True when some normalization keeps running statistics."""
    return any(isinstance(m, _BatchNorm) for m in model.modules())


def randomise(model: nn.Module, sample: Any = None) -> nn.Module:
    """Gives values to what initialisation leaves without effect.

    All-zero parameters (torchvision's ViT heads, every bias) make outputs independent of inputs or
    layers invisible, and ConvNeXt's layer scales of 1e-6 switch its blocks off. Fresh running
    statistics make a batch normalization an identity, which lets signals of deep networks fade
    until the output is its last bias: with a sample (a tensor, or the model's arguments) they are
    measured.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.is_floating_point():
                continue
            if not bool(parameter.any()):
                nn.init.normal_(parameter, std=0.02)
            elif name.rpartition(".")[2] == "layer_scale" or _is_tiny_scale(parameter):
                nn.init.uniform_(parameter, 0.1, 1.0)
        norms = []
        for name, norm in model.named_modules():
            if isinstance(norm, _BatchNorm):
                norms.append(norm)
                # small steps along a residual stream: large ones amplify rounding block by block
                low, high = (0.1, 0.3) if name.endswith("bn3") else (0.4, 0.8)
                if norm.affine:
                    nn.init.uniform_(norm.weight, low, high)
        if sample is not None and norms:
            measure_statistics(model, norms, sample)
    return model


def _is_tiny_scale(parameter: torch.Tensor) -> bool:
    first = parameter.flatten()[0]
    return bool(first.abs() < TINY) and parameter.numel() > 1 and bool((parameter == first).all())


def measure_statistics(model: nn.Module, norms: list[_BatchNorm], sample: Any) -> None:
    """Sets running statistics to those of a sample, everything else in eval mode."""
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = None
        norm.reset_running_stats()
    if isinstance(sample, Mapping):
        model(**sample)
    else:
        model(*sample) if isinstance(sample, tuple) else model(sample)
    model.eval()
    for norm in norms:
        bound_statistics(norm)


def bound_statistics(norm: _BatchNorm) -> None:
    """Keeps variances from being so small that they amplify rounding.

    A variance far below the squared mean would amplify float32's rounding of the mean, one far
    below that of the other channels the little that a nearly dead channel carries.
    """
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_var.clamp_(min=0.2 * float(norm.running_var.mean()))
        norm.running_var.copy_(torch.maximum(norm.running_var, 0.4 * norm.running_mean**2))
