# SPDX-License-Identifier: Apache-2.0
"""Small networks, one for every layer kind and variant, that engines are tested on.

A case names its inputs as `float32[N, 4]`; N is 2 in the static form of the network and the
symbolic size `batch` (1 to 4) in the dynamic one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_trt.network.graph import Network, Origin, Tensor
from edge_trt.network.types import DType, TensorType

Make = Callable[..., Tensor | tuple[Tensor, ...]]


@dataclass(frozen=True)
class Case:
    """A network of one layer, or of the few that it needs around it."""

    name: str
    inputs: tuple[str, ...]
    make: Make
    construct_only: str = ""
    """Why tensorrt_rtx can't build it although it accepts the network; empty when it can."""

    @property
    def has_batch(self) -> bool:
        return any(re.search(r"\bN\b", text) for text in self.inputs)

    def network(self, *, dynamic: bool) -> Network:
        """The case as a network whose inputs are x0, x1, ... and outputs y0, y1, ..."""
        net = Network(self.name)
        net.origin = Origin(module=f"model.{self.name}", source="model.py:7", op="aten.test")
        tensors = [
            net.input(f"x{i}", parse_type(text, dynamic=dynamic))
            for i, text in enumerate(self.inputs)
        ]
        outputs = self.make(net, *tensors)
        for i, output in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
            net.mark_output(output, f"y{i}")
        net.verify()
        return net


def parse_type(text: str, *, dynamic: bool) -> TensorType:
    """`float32[N, 4]` as a tensor type."""
    dtype, sizes = text.rstrip("]").split("[")
    names: dict[str, Any] = {"N": "batch" if dynamic else 2}
    parts = [part.strip() for part in sizes.split(",") if part.strip()]
    return TensorType(DType(dtype), tuple(names.get(p) or int(p) for p in parts))


def layer(kind: Any) -> Make:
    """A network of this one layer on all inputs: `layer(Activation("RELU"))`."""
    return lambda net, *xs: net.add(kind, *xs)


def values(shape: Sequence[int] | int, dtype: Any = np.float32) -> np.ndarray:
    """Small numbers that differ, for weights."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    count = int(np.prod(shape))
    return ((np.arange(count) % 7 - 3) / 4).astype(dtype).reshape(shape)


def ints(*numbers: int, dtype: Any = np.int64) -> np.ndarray:
    return np.array(numbers, dtype)


def number(value: float, dtype: Any = np.float32) -> np.ndarray:
    return np.array(value, dtype)
