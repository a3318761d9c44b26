# SPDX-License-Identifier: Apache-2.0
"""Short-time Fourier transforms, as convolutions with windowed cosines and sines."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from edge_trt.lowering.complex_operands import Pairs, Rule
from edge_trt.lowering.complex_transforms import LONGEST
from edge_trt.lowering.edit import add_constant, arguments, aten, module_path, tensor
from edge_trt.lowering.shapes import size_arguments


def _stft(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    """A signal ``[b, t]`` or ``[t]`` gives frequencies ``[b, f, frames]``."""
    bound = arguments(node)
    signal, found, size = bound["self"], tensor(bound["self"]), bound["n_fft"]
    if found is None or found.dtype is not torch.float32 or size > LONGEST:
        return None
    if not bound["return_complex"] or bound["align_to_window"]:
        return None
    count = size if bound["onesided"] is False else size // 2 + 1
    scale = size**-0.5 if bound["normalized"] else 1.0
    kernels = _windowed(pairs, node, _waves(size, count) * scale, bound)
    batched = pairs.call(node, aten.unsqueeze.default, signal, found.dim() - 1)
    if found.dim() == 1:
        batched = pairs.call(node, aten.unsqueeze.default, batched, 0)
    hop = bound["hop_length"] or size // 4
    spectrum = pairs.call(node, aten.conv1d.default, batched, kernels, None, [hop])
    parts = [
        pairs.call(node, aten.slice.Tensor, spectrum, 1, start, start + count)
        for start in (0, count)
    ]
    if found.dim() == 1:
        parts = [pairs.call(node, aten.squeeze.dim, part, 0) for part in parts]
    return pairs.call(node, aten.stack.default, parts, found.dim() + 1)


def _istft(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    """Frequencies ``[b, f, frames]`` give the signal of which overlapping windows are these."""
    bound = arguments(node)
    spectrum, found, size = bound["self"], tensor(bound["self"]), bound["n_fft"]
    if found is None or spectrum not in pairs.of or size > LONGEST or bound["return_complex"]:
        return None
    hop, count = bound["hop_length"] or size // 4, size // 2 + 1
    scale = size**-0.5 if bound["normalized"] else 1 / size
    waves = _waves(size, count) * (_times_seen(size).repeat(2)[:, None, None] * scale)
    kernels = _windowed(pairs, node, waves, bound)
    parts = [pairs.part(spectrum, index, node) for index in (0, 1)]
    if found.shape[-2] != count:
        parts = [pairs.call(node, aten.slice.Tensor, p, found.dim() - 2, 0, count) for p in parts]
    frames = pairs.call(node, aten.cat.default, parts, found.dim() - 2)
    if found.dim() == 2:
        frames = pairs.call(node, aten.unsqueeze.default, frames, 0)
    added = pairs.call(node, aten.conv_transpose1d.default, frames, kernels, None, [hop])
    window = _windowed(pairs, node, torch.ones(1, 1, size), bound)
    sizes = size_arguments(pairs.gm, (1, 1, found.shape[-1]), parts, node)
    ones = pairs.call(node, aten.full.default, sizes, 1.0, dtype=torch.float32)
    square = pairs.call(node, aten.mul.Tensor, window, window)
    weight = pairs.call(node, aten.conv_transpose1d.default, ones, square, None, [hop])
    first, last = _bounds(bound, size)
    added, weight = (
        pairs.call(node, aten.slice.Tensor, x, 2, first, last) for x in (added, weight)
    )
    signal = pairs.call(node, aten.squeeze.dim, pairs.call(node, aten.div.Tensor, added, weight), 1)
    return pairs.call(node, aten.squeeze.dim, signal, 0) if found.dim() == 2 else signal


def _bounds(bound: dict[str, Any], size: int) -> tuple[int, int]:
    """From where to where the result is, of all that the windows reach."""
    first = size // 2 if bound["center"] else 0
    if bound["length"] is not None:
        return first, first + bound["length"]
    return first, -first if first else torch.iinfo(torch.int64).max


def _waves(size: int, count: int) -> torch.Tensor:
    """Cosines and negative sines [2 * count, 1, size]; whole turns drop before the rounding."""
    turns = torch.outer(torch.arange(count), torch.arange(size)) % size
    angles = turns.double() * (2 * math.pi / size)
    return torch.cat([angles.cos(), -angles.sin()]).float().unsqueeze(1)


def _times_seen(size: int) -> torch.Tensor:
    """How many of all frequencies each of the first half stands for: the others mirror these."""
    times = torch.ones(size // 2 + 1)
    times[1 : (size + 1) // 2] = 2
    return times


def _windowed(pairs: Pairs, node: fx.Node, waves: torch.Tensor, bound: dict[str, Any]) -> fx.Node:
    """Waves times the window, which is padded on both sides to the size of a frame."""
    size, window = bound["n_fft"], bound["window"]
    name = f"{module_path(node)}.{node.name}".lstrip(".")
    length = bound["win_length"] or size
    before = (size - length) // 2
    padding = [before, size - length - before]
    if window is None:
        ones = torch.nn.functional.pad(torch.ones(length), padding)
        return add_constant(pairs.gm, node, waves * ones, f"{name}.waves")
    constant = add_constant(pairs.gm, node, waves, f"{name}.waves")
    if length < size:
        window = pairs.call(node, aten.constant_pad_nd.default, window, padding)
    return pairs.call(node, aten.mul.Tensor, constant, window)


RULES: dict[object, Rule] = {aten.stft.default: _stft, aten.istft.default: _istft}
