# SPDX-License-Identifier: Apache-2.0
"""Random tensors that a model can take, and the sizes of a dynamic range worth trying."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

Range = tuple[int, int, int]
"""Least, usual and largest size."""

Ranges = Mapping[int, Range] | Sequence[Mapping[int, "Range | tuple[str, int, int, int]"]]
"""Dynamic axes: of all inputs, or per input; a name in front ties sizes of several inputs."""


def random_tensor(
    *shape: int, dtype: torch.dtype = torch.float32, low: int = -8, high: int = 8
) -> torch.Tensor:
    """Normal floats, integers from low to below high (from 0 if unsigned), fair bools."""
    if dtype is torch.bool:
        return torch.rand(shape) < 0.5
    if dtype.is_floating_point:
        return torch.randn(shape).to(dtype)
    return torch.randint(max(low, torch.iinfo(dtype).min), high, shape, dtype=dtype)


def random_like(example: torch.Tensor, shape: Sequence[int] | None = None) -> torch.Tensor:
    """Fresh values in the range of an example: indices stay valid, positive stays positive."""
    sizes = list(example.shape if shape is None else shape)
    if not example.numel() or example.dtype is torch.bool:
        return random_tensor(*sizes, dtype=example.dtype)
    low, high = example.min().item(), example.max().item()
    if not example.dtype.is_floating_point:
        return torch.randint(int(low), int(high) + 1, sizes, dtype=example.dtype)
    if low >= 0:
        return (low + (high - low) * torch.rand(sizes)).to(example.dtype)
    scale = float(example.float().std()) if example.numel() > 1 else 1.0
    return (torch.randn(sizes) * scale).to(example.dtype)


@dataclass(frozen=True)
class Inputs:
    """Example arguments of a module, taken apart into tensors, with their dynamic axes."""

    module: nn.Module
    spec: pytree.TreeSpec
    leaves: list[Any]
    axes: list[dict[int, tuple[str, int, int, int]]]
    """Per tensor: name, least, usual and largest size of each dynamic axis."""

    @classmethod
    def of(cls, module: nn.Module, inputs: Any, ranges: Ranges | None) -> Inputs:
        """Takes a tuple of positional arguments, a mapping of keyword arguments, or a tensor."""
        if isinstance(inputs, Mapping):
            order = list(inspect.signature(module.forward).parameters)
            kwargs = {name: inputs[name] for name in sorted(inputs, key=order.index)}
            arguments: tuple[Any, Any] = ((), kwargs)
        else:
            positional = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
            arguments = (positional, {})
        leaves, spec = pytree.tree_flatten(arguments)
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        return cls(module, spec, leaves, _axes(tensors, ranges))

    @property
    def tensors(self) -> list[torch.Tensor]:
        return [leaf for leaf in self.leaves if isinstance(leaf, torch.Tensor)]

    def described(self) -> Any:
        """The arguments as `edge_trt.compile` takes them: `Input`s where sizes may change."""
        from edge_trt.capture import Input

        described = []
        for tensor, axes in zip(self.tensors, self.axes, strict=True):
            shape = [axes[i][0] if i in axes else n for i, n in enumerate(tensor.shape)]
            least, usual, most = ({a[0]: a[k] for a in axes.values()} for k in (1, 2, 3))
            described.append(
                Input(shape, min=least, opt=usual, max=most, dtype=tensor.dtype) if axes else tensor
            )
        args, kwargs = self._packed(described)
        return kwargs or args

    def shapes(self, choice: str) -> list[list[int]]:
        """Every tensor's shape at the "min", "opt", "max" or "odd" sizes."""
        place = {"min": 0, "opt": 1, "max": 2}
        shapes: list[list[int]] = []
        for tensor, axes in zip(self.tensors, self.axes, strict=True):
            sizes = list(tensor.shape)
            for axis, (_, *limits) in axes.items():
                sizes[axis] = limits[place[choice]] if choice in place else odd_size(*limits)
            shapes.append(sizes)
        return shapes

    def choices(self) -> list[str]:
        """Which sizes are worth running: only those that differ."""
        seen: list[list[list[int]]] = []
        kept: list[str] = []
        for choice in ("opt", "min", "max", "odd"):
            if (shapes := self.shapes(choice)) not in seen:
                seen.append(shapes)
                kept.append(choice)
        return kept

    def eager(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The module's own outputs, as a flat list of tensors."""
        args, kwargs = self._packed(tensors)
        with torch.no_grad():
            outputs = self.module(*args, **kwargs)
        return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]

    def _packed(self, tensors: Sequence[Any]) -> tuple[Any, Any]:
        fresh = iter(tensors)
        leaves = [next(fresh) if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]
        return pytree.tree_unflatten(leaves, self.spec)


def odd_size(least: int, usual: int, most: int) -> int:
    """An odd size inside the range, and none of the three where there is another."""
    middle = [n for n in range(least + 1, most) if n % 2 and n != usual]
    return middle[len(middle) // 2] if middle else usual


def _axes(
    tensors: Sequence[torch.Tensor], ranges: Ranges | None
) -> list[dict[int, tuple[str, int, int, int]]]:
    if ranges is None:
        return [{} for _ in tensors]
    rows = [ranges] * len(tensors) if isinstance(ranges, Mapping) else list(ranges)
    if len(rows) != len(tensors):
        raise ValueError(f"{len(rows)} ranges for {len(tensors)} input tensors")
    result: list[dict[int, tuple[str, int, int, int]]] = []
    for tensor, row in zip(tensors, rows, strict=True):
        named: dict[int, tuple[str, int, int, int]] = {}
        for axis, limits in row.items():
            if axis < tensor.ndim:
                named[axis] = limits if len(limits) == 4 else (f"dim{axis}", *limits)
        result.append(named)
    return result
