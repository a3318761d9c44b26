# SPDX-License-Identifier: Apache-2.0
"""Models that no library has: speech, time series, points, rays, graphs, detection."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn

from tests.support.models import Detector, assorted, images, sequences
from tests.support.zoo.entry import Arguments, Entry, Feed, image


def floats(*shapes: tuple[int, ...]) -> Feed:
    """Normal numbers of these shapes, each behind the batch."""

    def feed(generator: torch.Generator, batch: int, size: int) -> Arguments:
        return tuple(torch.randn(batch, *shape, generator=generator) for shape in shapes)

    return feed


def integers(most: int, *shapes: tuple[int, ...]) -> Feed:
    """Whole numbers from 0 to below `most`."""

    def feed(generator: torch.Generator, batch: int, size: int) -> Arguments:
        return tuple(torch.randint(most, (batch, *shape), generator=generator) for shape in shapes)

    return feed


def padded_tokens(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Tokens of two rows, and where the second has none."""
    rows = max(batch, 2)
    padding = torch.arange(20) >= torch.arange(20, 20 - 4 * rows, -4).clamp(min=4)[:, None]
    return (torch.randint(100, (rows, 20), generator=generator), padding)


def frames_and_state(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Ten frames, and the state from before them."""
    state = torch.randn(1, batch, 32, generator=generator)
    return (torch.randn(10, batch, 20, generator=generator), state)


def image_and_step(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """A noisy image, and the number of the step."""
    return (*image(generator, batch, size), torch.randint(1000, (batch,), generator=generator))


def rays(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Origins, directions, and rising depths of 16 samples."""
    depths = torch.rand(64, 16, generator=generator).cumsum(-1) + 0.5
    origins, directions = torch.randn(2, 64, 3, generator=generator)
    return (origins, directions, depths)


def graph(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Features of nodes and a symmetric adjacency."""
    edges = (torch.rand(20, 20, generator=generator) < 0.2).float()
    return (torch.randn(20, 8, generator=generator), torch.maximum(edges, edges.T))


def graph_mask(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Features of nodes and their edges, each node with one to itself."""
    edges = (torch.rand(20, 20, generator=generator) < 0.2) | torch.eye(20, dtype=torch.bool)
    return (torch.randn(20, 8, generator=generator), edges)


def numbers_and_categories(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """What a recommender knows of three visits."""
    categories = torch.randint(50, (3, 4), generator=generator)
    return (torch.randn(3, 13, generator=generator), categories)


def pillars(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Points of 30 pillars, and 30 different cells."""
    cells = torch.randperm(256, generator=generator)[:30]
    return (torch.randn(30, 12, 9, generator=generator), cells[None])


Row = tuple[Callable[[], nn.Module], Feed, int]

ROWS: dict[str, Row] = {
    "yolo": (functools.partial(Detector, classes=8), image, 128),
    "unet": (images.UNet, image, 72),
    "unet_bilinear": (functools.partial(images.UNet, transposed=False), image, 72),
    "diffusion_unet": (images.Denoiser, image_and_step, 32),
    "super_resolution": (images.SuperResolution, image, 40),
    "style_transfer": (images.StyleTransfer, image, 48),
    "dcgan_generator": (images.Generator, floats((32,)), 0),
    "autoencoder": (images.Autoencoder, image, 32),
    "spatial_transformer": (images.SpatialTransformer, image, 48),
    "crnn": (images.TextReader, image, 32),
    "superpoint": (images.InterestPoints, image, 64),
    "speech_lstm": (sequences.SpeechRecognizer, floats((60, 40)), 0),
    "speech_gru": (
        functools.partial(sequences.SpeechRecognizer, nn.GRU), floats((60, 40)), 0
    ),
    "keyword_spotting": (sequences.KeywordSpotter, floats((1, 49, 10)), 0),
    "forecast_lstm": (sequences.Forecaster, floats((48, 6)), 0),
    "streaming_gru": (sequences.Streaming, frames_and_state, 0),
    "recurrent_cells": (sequences.Cells, floats((8, 10)), 0),
    "elman": (sequences.Elman, integers(100, (16,)), 0),
    "transformer_encoder": (sequences.Attention, padded_tokens, 0),
    "transformer": (sequences.Translator, integers(100, (14,), (9,)), 0),
    "temporal_convolutions": (sequences.TemporalConvolutions, floats((6, 64)), 0),
    "nbeats": (sequences.BasisExpansion, floats((48,)), 0),
    "patchtst": (sequences.PatchedSeries, floats((5, 64)), 0),
    "pointnet": (assorted.PointNet, floats((3, 200)), 0),
    "pointpillars": (assorted.Pillars, pillars, 0),
    "nerf": (assorted.RadianceField, rays, 0),
    "gcn": (assorted.GraphConvolutions, graph, 0),
    "graph_attention": (assorted.GraphAttention, graph_mask, 0),
    "dlrm": (assorted.Recommender, numbers_and_categories, 0),
    "fasttext": (assorted.TextBags, integers(200, (12,)), 0),
    "policy": (assorted.Policy, floats((24,)), 0),
    "mixture_of_experts": (assorted.Experts, floats((7, 32)), 0),
}  # fmt: skip


def entries() -> list[Entry]:
    """Every row as a model of the zoo."""
    return [
        Entry(f"others:{name}", "others", make, size, feed)
        for name, (make, feed, size) in ROWS.items()
    ]
