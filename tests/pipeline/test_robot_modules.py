# SPDX-License-Identifier: Apache-2.0
"""Small modules as camera and robot teams write them: one TensorRT block, for every batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import edge_trt


def _kalman_step(x, covariance, z):
    move, see = torch.eye(4), torch.eye(4)[:2]
    move[0, 2] = move[1, 3] = 0.1
    x, p = x @ move.T, move @ covariance @ move.T + 0.01 * torch.eye(4)
    s = see @ p @ see.T + 0.1 * torch.eye(2)
    inverse = torch.stack([s[:, 1, 1], -s[:, 0, 1], -s[:, 1, 0], s[:, 0, 0]], -1).view(-1, 2, 2)
    inverse = inverse / (s[:, 0, 0] * s[:, 1, 1] - s[:, 0, 1] * s[:, 1, 0])[:, None, None]
    gain = p @ see.T @ inverse
    x = x + (gain @ (z - x @ see.T)[..., None])[..., 0]
    return x, (torch.eye(4) - gain @ see) @ p


def _pillars(features, cells):
    canvas = torch.zeros(features.shape[0], 4, 64)
    places = (cells[..., 0] * 8 + cells[..., 1])[:, None].expand(-1, 4, -1)
    return canvas.scatter(2, places, features.amax(2).mT).view(-1, 4, 8, 8)


def _correlation_lookup(a, b, where):
    """As RAFT looks into a volume of all pairs."""
    n, c, h, w = a.shape
    volume = torch.einsum("bchw,bcij->bhwij", a, b).reshape(n * h * w, 1, h, w) / math.sqrt(c)
    steps = torch.linspace(-2, 2, 5)
    dy, dx = torch.meshgrid(steps, steps, indexing="ij")
    centres = where.permute(0, 2, 3, 1).reshape(n * h * w, 1, 1, 2)
    grid = 2 * (centres + torch.stack([dx, dy], -1)) / torch.tensor([w - 1, h - 1]) - 1
    found = F.grid_sample(volume, grid, align_corners=True)
    return found.view(n, h, w, -1).permute(0, 3, 1, 2)


def _pose(twist):
    """The exponential of SE(3), written into a tensor of zeros."""
    v, w = twist[:, :3], twist[:, 3:]
    zero = torch.zeros_like(w[:, 0])
    rows = (zero, -w[:, 2], w[:, 1], w[:, 2], zero, -w[:, 0], -w[:, 1], w[:, 0], zero)
    hat = torch.stack(rows, -1).unflatten(-1, (3, 3))
    angle = torch.linalg.norm(w, dim=-1)[:, None, None].clamp(min=1e-6)
    a, b = angle.sin() / angle, (1 - angle.cos()) / angle**2
    pose = torch.zeros(twist.shape[0], 4, 4)
    pose[:, :3, :3] = torch.eye(3) + a * hat + b * hat @ hat
    shift = torch.eye(3) + b * hat + (1 - a) / angle**2 * hat @ hat
    pose[:, :3, 3] = (shift @ v[..., None])[..., 0]
    pose[:, 3, 3] = 1
    return pose


def _voxels(points, features):
    cell = ((points.clamp(-0.999, 0.999) + 1) * 2).floor().long()
    place = (cell[..., 0] * 16 + cell[..., 1] * 4 + cell[..., 2])[..., None].expand(-1, -1, 3)
    grid = torch.zeros(points.shape[0], 64, 3)
    mean = grid.scatter_reduce(1, place, features, "mean", include_self=False)
    return mean.view(-1, 4, 4, 4, 3), grid.scatter_reduce(1, place, features, "amax")


def _viterbi(emissions):
    change = torch.sin(torch.arange(25.0)).view(5, 5)
    score, back = emissions[:, 0], []
    for t in range(1, emissions.shape[1]):
        best, came = (score[:, :, None] + change).max(1)
        score = best + emissions[:, t]
        back.append(came)
    path = [score.argmax(-1)]
    for came in reversed(back):
        path.append(came.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], 1), score.amax(-1)


def _cells(count):
    chosen = torch.stack([torch.randperm(64)[:9] for _ in range(count)])
    return torch.stack([chosen // 8, chosen % 8], -1)


CASES = {
    "kalman": (_kalman_step, lambda n: (_r(n, 4), torch.eye(4).repeat(n, 1, 1), _r(n, 2))),
    "pillars": (_pillars, lambda n: (_r(n, 9, 6, 4), _cells(n))),
    "correlation": (_correlation_lookup, lambda n: (_r(n, 4, 6, 7), _r(n, 4, 6, 7), _at(n))),
    "pose": (_pose, lambda n: (_r(n, 6),)),
    "voxels": (_voxels, lambda n: (_r(n, 30, 3), _r(n, 30, 3))),
    "viterbi": (_viterbi, lambda n: (_r(n, 6, 5),)),
}


def _r(*sizes):
    return torch.randn(*sizes)


def _at(count):
    return torch.rand(count, 2, 6, 7) * 6


class _Module(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *given):
        return self.function(*given)


@pytest.mark.parametrize("name", CASES)
def test_a_module_is_one_block_for_every_batch(name):
    function, given = CASES[name]
    sizes = {"min": 1, "opt": 2, "max": 5}
    example = tuple(
        edge_trt.Input(("batch", *t.shape[1:]), **sizes, dtype=t.dtype) for t in given(2)
    )
    bundle = edge_trt.compile(_Module(function).eval(), example, fallback="forbid", self_test=0)
    assert len(bundle.parts) == 1
    module = bundle.module()
    for batch in (1, 2, 5):
        inputs = given(batch)
        torch.testing.assert_close(module(*inputs), function(*inputs), rtol=1e-4, atol=1e-4)
