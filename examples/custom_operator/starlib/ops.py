# SPDX-License-Identifier: Apache-2.0
"""Two operators of our own. In a real library they would be written in C++ or CUDA."""

from __future__ import annotations

import torch
from torch.nn import functional as F


@torch.library.custom_op("starlib::bilateral", mutates_args=())
def bilateral(image: torch.Tensor, radius: int, space: float, value: float) -> torch.Tensor:
    """A mean of the pixels around, which counts those that are near in place and in value.

    It takes noise away and keeps edges. `space` and `value` are the standard deviations of the
    two Gaussians, in pixels and in units of the image [N, C, H, W].
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, [radius] * 4, mode="replicate")
    total, weights = torch.zeros_like(image), torch.zeros_like(image)
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            near = padded[..., dy : dy + height, dx : dx + width]
            distance = (dy - radius) ** 2 + (dx - radius) ** 2
            exponent = distance / (2 * space**2) + (near - image) ** 2 / (2 * value**2)
            weight = torch.exp(-exponent)
            total, weights = total + weight * near, weights + weight
    return total / weights


@bilateral.register_fake
def _(image: torch.Tensor, radius: int, space: float, value: float) -> torch.Tensor:
    return torch.empty_like(image)


@torch.library.custom_op("starlib::peaks", mutates_args=())
def peaks(image: torch.Tensor, threshold: float, radius: int) -> torch.Tensor:
    """Where pixels [N, C, H, W] pass a threshold and everything around: places [found, 4]."""
    highest = F.max_pool2d(image, 2 * radius + 1, stride=1, padding=radius)
    return ((image == highest) & (image > threshold)).nonzero()


@peaks.register_fake
def _(image: torch.Tensor, threshold: float, radius: int) -> torch.Tensor:
    found = torch.library.get_ctx().new_dynamic_size()  # only the pixels tell how many
    return image.new_empty(found, 4, dtype=torch.int64)
