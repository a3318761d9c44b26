# SPDX-License-Identifier: Apache-2.0
"""Images to images, and other networks of pictures."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


def twice(before: int, after: int) -> nn.Sequential:
    """Two convolutions with normalization."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    """Contracting and expanding paths; the halves are padded to the size of what they join."""

    def __init__(self, width: int = 16, classes: int = 3, transposed: bool = True) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(4)]
        self.down = nn.ModuleList(twice(a, b) for a, b in zip([3, *widths], widths, strict=False))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 2, 2)
            if transposed
            else nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
                nn.Conv2d(a, b, 1),
            )
            for a, b in pairs
        )
        self.up = nn.ModuleList(twice(2 * b, b) for _, b in pairs)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for index, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if index else x)
            kept.append(x)
        kept.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            x, skip = grow(x), kept.pop()
            height, width = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
            x = block(torch.cat((skip, x), 1))
        return self.head(x)


class Denoiser(nn.Module):
    """A diffusion model's U-Net step: time embedding, group norm, attention."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 3, 2, 1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(3))
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.last = nn.Conv2d(2 * width, 3, 3, padding=1)

    def forward(self, image: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        half = self.width // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = step[:, None].float() * rates
        time = self.time(torch.cat((angles.sin(), angles.cos()), -1))
        first = self.first(image)
        x = self.down(F.silu(self.norms[0](first)))
        x = x + self.inner(F.silu(self.norms[1](x + time[:, :, None, None])))
        tokens = self.norms[2](x).flatten(2).transpose(1, 2)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        x = x + mixed.transpose(1, 2).reshape(x.shape)
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.last(torch.cat((x, first), 1))


class SuperResolution(nn.Module):
    """ESPCN: convolutions, then the channels become pixels."""

    def __init__(self, scale: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2), nn.Tanh(), nn.Conv2d(32, 16, 3, padding=1), nn.Tanh(),
            nn.Conv2d(16, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.features(image).clamp(0, 1)


class StyleTransfer(nn.Module):
    """Reflection padding, instance normalization, and upsampling convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(4), nn.Conv2d(3, 16, 9), nn.InstanceNorm2d(16, affine=True),
            nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(16, 32, 3, 2), nn.InstanceNorm2d(32),
            nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.ReflectionPad2d(4),
            nn.Conv2d(32, 3, 9),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image)


class Generator(nn.Module):
    """DCGAN's generator: transposed convolutions from a vector."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ConvTranspose2d(32, 64, 4), nn.BatchNorm2d(64), nn.ReLU()]
        for before, after in ((64, 32), (32, 16)):
            layers += [
                nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()
            ]  # fmt: skip
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh())

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return self.layers(noise[:, :, None, None])


class Autoencoder(nn.Module):
    """A variational autoencoder at its mean: what it makes of an image, mean and deviation."""

    def __init__(self, latent: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ELU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ELU(),
            nn.Flatten(), nn.Linear(32 * 8 * 8, 2 * latent),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent, 32 * 8 * 8), nn.Unflatten(1, (32, 8, 8)), nn.Softplus(),
            nn.ConvTranspose2d(32, 16, 3, 2, 1, output_padding=1), nn.Mish(),
            nn.ConvTranspose2d(16, 3, 3, 2, 1, output_padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, deviation = self.encoder(image).chunk(2, 1)
        return self.decoder(mean), mean, (0.5 * deviation).exp()


class SpatialTransformer(nn.Module):
    """Classifies an image after turning it as a small network says."""

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Sequential(
            nn.Conv2d(3, 8, 7, 4), nn.PReLU(8), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
            nn.Linear(72, 6),
        )  # fmt: skip
        self.what = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2), nn.Hardswish(), nn.AdaptiveMaxPool2d(4), nn.Flatten(),
            nn.Linear(256, 10),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        turn = self.where(image).view(-1, 2, 3)
        grid = F.affine_grid(turn, list(image.shape), align_corners=False)
        return self.what(F.grid_sample(image, grid, align_corners=False))


class TextReader(nn.Module):
    """CRNN: columns of an image's features are a sequence of letters."""

    def __init__(self, letters: int = 37) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.MaxPool2d((2, 2), (2, 1), (0, 1)), nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.recurrent = nn.LSTM(48, 32, bidirectional=True)
        self.head = nn.Linear(64, letters)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        columns = self.features(image).amax(2).permute(2, 0, 1)
        return self.head(self.recurrent(columns)[0]).log_softmax(2)


class InterestPoints(nn.Module):
    """SuperPoint: a heat map thinned by pooling, and descriptors of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(twice(3, 16), nn.MaxPool2d(8), twice(16, 32))
        self.points, self.descriptors = nn.Conv2d(32, 65, 1), nn.Conv2d(32, 64, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.features(image)
        heat = F.pixel_shuffle(self.points(x).softmax(1)[:, :-1], 8)
        peak = heat == F.max_pool2d(heat, 5, 1, 2)
        heat = torch.where(peak, heat, torch.zeros_like(heat))
        return heat, F.normalize(self.descriptors(x), dim=1)
