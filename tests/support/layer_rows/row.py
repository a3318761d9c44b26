# SPDX-License-Identifier: Apache-2.0
"""A layer with inputs and the results that TensorRT's semantics demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.types import Dim, DType, TensorType

bfloat16 = ml_dtypes.bfloat16


@dataclass(frozen=True)
class Row:
    """One layer, what goes in, and what must come out, computed without ONNX Runtime."""

    layer: Layer
    inputs: tuple[np.ndarray, ...]
    expected: tuple[np.ndarray, ...]
    constants: frozenset[int]
    tolerance: float
    symbolic: bool
    """Whether the layer accepts inputs with unknown sizes."""
    known: int
    """How many leading sizes it has to know."""

    @property
    def name(self) -> str:
        shapes = ",".join(f"{a.dtype}{list(a.shape)}" for a in self.inputs)
        fixed = f" constants={sorted(self.constants)}" if self.constants else ""
        return f"{self.layer}({shapes}{fixed})".replace(" ", "")

    def network(self, *, symbolic: bool) -> Network:
        """The layer alone, inputs `x0`, `x1`, ... and outputs `y0`, ...

        With `symbolic`, no size above 1 of an input is known, beyond what the layer needs.
        """
        net = Network("row")
        tensors = [self._tensor(net, i, symbolic) for i in range(len(self.inputs))]
        for i, output in enumerate(net.add_multi(self.layer, *tensors)):
            net.mark_output(output, f"y{i}")
        return net

    def _tensor(self, net: Network, i: int, symbolic: bool) -> Tensor:
        array = self.inputs[i]
        if i in self.constants:
            return net.constant(array, f"c{i}")
        shape: list[Dim] = list(array.shape)
        if symbolic:
            # Equal sizes get equal names; 1 stays, since it may broadcast.
            shape = [d if d == 1 or i < self.known else f"n{d}" for i, d in enumerate(array.shape)]
        return net.input(f"x{i}", TensorType(DType.of(array), tuple(shape)))

    def feeds(self) -> dict[str, np.ndarray]:
        return {f"x{i}": a for i, a in enumerate(self.inputs) if i not in self.constants}


def row(
    layer: Layer,
    inputs: Sequence[Any],
    reference: Callable[..., Any],
    *,
    constants: Sequence[int] = (),
    tolerance: float = 1e-5,
    symbolic: bool = True,
    known: int = 0,
) -> Row:
    """A row whose expected results are `reference(*inputs)` in the type that it returns."""
    arrays = tuple(np.asarray(a) for a in inputs)
    expected = reference(*arrays)
    results = expected if isinstance(expected, tuple) else (expected,)
    return Row(
        layer, arrays, tuple(np.asarray(r) for r in results), frozenset(constants), tolerance,
        symbolic, known,
    )  # fmt: skip


def normal(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Reproducible numbers around 0."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def whole(
    *shape: int, low: int = -9, high: int = 9, dtype: Any = np.int64, seed: int = 0
) -> np.ndarray:
    """Reproducible integers from low to high, both included."""
    rng = np.random.default_rng((seed, *shape))
    return rng.integers(low, high + 1, shape).astype(dtype)
