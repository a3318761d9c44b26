# SPDX-License-Identifier: Apache-2.0
"""Points, rays, graphs, recommendations and control."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn


def shared(*widths: int) -> nn.Sequential:
    """Linear layers over every point of [batch, channels, points]."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv1d(before, after, 1), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class Alignment(nn.Module):
    """PointNet's matrix that turns a cloud, as a network of the cloud."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.points, self.matrix = shared(width, 32, 64), nn.Linear(64, width * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turn = self.matrix(self.points(x).max(2).values).view(-1, self.width, self.width)
        return torch.bmm(turn + torch.eye(self.width), x)


class PointNet(nn.Module):
    """Classes of every point of a cloud [batch, 3, points]."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        self.turn, self.turn_features = Alignment(3), Alignment(32)
        self.near, self.far = shared(3, 32), shared(32, 64, 128)
        self.head = nn.Sequential(shared(160, 64), nn.Dropout(), nn.Conv1d(64, classes, 1))

    def forward(self, cloud: torch.Tensor) -> torch.Tensor:
        near = self.turn_features(self.near(self.turn(cloud)))
        whole = self.far(near).amax(2, keepdim=True)
        x = torch.cat((near, whole.expand(-1, -1, near.shape[2])), 1)
        return self.head(x).transpose(1, 2).log_softmax(-1)


class RadianceField(nn.Module):
    """NeRF: density and colour of the samples of rays, and the colour that a ray sees."""

    def __init__(self, frequencies: int = 6, width: int = 64) -> None:
        super().__init__()
        self.frequencies = frequencies
        coded = 3 + 6 * frequencies
        self.first = nn.ModuleList(
            nn.Linear(a, width) for a in (coded, width, width, width + coded)
        )
        self.density = nn.Linear(width, 1 + width)
        self.colour = nn.Sequential(nn.Linear(width + coded, 32), nn.ReLU(), nn.Linear(32, 3))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Sines and cosines at powers of two."""
        angles = x[..., None, :] * (2.0 ** torch.arange(self.frequencies))[:, None]
        return torch.cat((x, angles.sin().flatten(-2), angles.cos().flatten(-2)), -1)

    def forward(
        self, origins: torch.Tensor, directions: torch.Tensor, depths: torch.Tensor
    ) -> torch.Tensor:
        points = origins[:, None] + directions[:, None] * depths[..., None]
        coded = self.encode(points)
        x = coded
        for index, layer in enumerate(self.first):
            x = F.relu(layer(torch.cat((x, coded), -1) if index == 3 else x))
        density, features = self.density(x).split((1, x.shape[-1]), -1)
        view = self.encode(F.normalize(directions, dim=-1))[:, None].expand(*x.shape[:2], -1)
        colour = self.colour(torch.cat((features, view), -1)).sigmoid()
        steps = F.pad(depths[:, 1:] - depths[:, :-1], (0, 1), value=1e3)
        alpha = 1 - torch.exp(-F.relu(density[..., 0]) * steps)
        through = torch.cumprod(F.pad(1 - alpha + 1e-7, (1, 0), value=1.0), -1)[:, :-1]
        return ((alpha * through)[..., None] * colour).sum(1)


class GraphConvolutions(nn.Module):
    """Two graph convolutions over an adjacency matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, nodes: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        linked = adjacency + torch.eye(adjacency.shape[-1])
        degree = linked.sum(-1).rsqrt()
        linked = degree[..., :, None] * linked * degree[..., None, :]
        return linked @ self.second(F.relu(linked @ self.first(nodes)))


class GraphAttention(nn.Module):
    """Attention over the edges of a graph, given as a mask."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.project = heads, nn.Linear(8, width * heads, bias=False)
        self.source = nn.Parameter(torch.randn(heads, width))
        self.target = nn.Parameter(torch.randn(heads, width))

    def forward(self, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        x = self.project(nodes).unflatten(-1, (self.heads, -1))
        scores = torch.einsum("nhw,hw->hn", x, self.source)[:, :, None]
        scores = scores + torch.einsum("nhw,hw->hn", x, self.target)[:, None, :]
        scores = F.leaky_relu(scores, 0.2).masked_fill(~edges, float("-inf"))
        return torch.einsum("hnm,mhw->nhw", scores.softmax(-1), x).flatten(1)


class Recommender(nn.Module):
    """DLRM: embeddings of categories, all pairs of them multiplied."""

    def __init__(self, tables: int = 4, width: int = 16) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(50, width) for _ in range(tables))
        self.bottom = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, width), nn.ReLU())
        row, column = torch.tril_indices(tables + 1, tables + 1, -1)
        self.register_buffer("row", row)
        self.register_buffer("column", column)
        self.top = nn.Sequential(nn.Linear(width + len(row), 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        dense = self.bottom(numbers)
        parts = [table(categories[:, i]) for i, table in enumerate(self.tables)]
        x = torch.stack([dense, *parts], 1)
        pairs = torch.bmm(x, x.transpose(1, 2))[:, self.row, self.column]
        return self.top(torch.cat((dense, pairs), 1)).sigmoid()


class TextBags(nn.Module):
    """Means of embeddings, as fastText classifies."""

    def __init__(self) -> None:
        super().__init__()
        self.bags, self.head = nn.EmbeddingBag(200, 24, mode="mean"), nn.Linear(24, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.bags(tokens))


class Pillars(nn.Module):
    """PointPillars: features of points, the largest of every pillar, scattered onto a grid."""

    def __init__(self, side: int = 16) -> None:
        super().__init__()
        self.side = side
        self.points = nn.Linear(9, 32)
        self.grid = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 7, 1)
        )

    def forward(self, pillars: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.points(pillars)).amax(1)
        canvas = x.new_zeros(32, self.side * self.side)
        canvas = canvas.scatter(1, cells.expand(32, -1), x.T)
        return self.grid(canvas.view(1, 32, self.side, self.side))


class Policy(nn.Module):
    """A controller's network: normalized observation, mean action and its logarithmic deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(24))
        self.register_buffer("deviation", torch.rand(24) + 0.5)
        self.body = nn.Sequential(nn.Linear(24, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.action, self.value = nn.Linear(64, 16), nn.Linear(64, 1)

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = ((observation - self.mean) / self.deviation).clamp(-5, 5)
        mean, spread = self.action(self.body(x)).chunk(2, -1)
        return mean.tanh(), spread.clamp(-5, 2).exp(), self.value(self.body(x)).squeeze(-1)


class Experts(nn.Module):
    """A mixture of experts: the two that the gate prefers, weighted."""

    def __init__(self, experts: int = 4, width: int = 32) -> None:
        super().__init__()
        self.gate = nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))
            for _ in range(experts)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores, chosen = self.gate(x).topk(2, dim=-1)
        weights = torch.zeros_like(self.gate(x)).scatter(-1, chosen, scores.softmax(-1))
        results = torch.stack([expert(x) for expert in self.experts], -1)
        return (results * weights[..., None, :]).sum(-1)
