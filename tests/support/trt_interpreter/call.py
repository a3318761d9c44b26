# SPDX-License-Identifier: Apache-2.0
"""One layer about to be executed: its attributes, its weights, and the values of its inputs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

DTYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "BOOL": torch.bool,
    "FP8": torch.float8_e4m3fn,
}
"""TensorRT's name of an element type -> torch's."""

NARROW_FLOATS = (torch.float16, torch.bfloat16)
"""Types that are computed in float32 and rounded back."""


class UnsupportedLayerError(NotImplementedError):
    """A layer kind, attribute or value whose meaning the interpreter does not know."""


@dataclass(frozen=True)
class Call:
    """A layer with the values of its inputs; float16 and bfloat16 arrive widened to float32."""

    layer: Any
    kind: str
    inputs: tuple[torch.Tensor | None, ...]

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def input(self) -> torch.Tensor:
        """The first input."""
        return self.tensor(0)

    def has(self, index: int) -> bool:
        """True when the layer has an input at this place."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def tensor(self, index: int) -> torch.Tensor:
        """The input at this place.

        Raises:
            UnsupportedLayerError: there is none.
        """
        if not self.has(index):
            raise self.unsupported(f"input {index} is missing")
        return self.inputs[index]  # pyright: ignore[reportReturnType]

    def sizes(self, index: int) -> list[int]:
        """An integer input as a list."""
        value = self.tensor(index)
        if value.is_floating_point() or value.dtype is torch.bool:
            raise self.unsupported(f"input {index} should hold integers, not {value.dtype}")
        return [int(v) for v in value.reshape(-1).tolist()]

    def enum(self, attribute: str) -> str:
        """The name of an enumeration's member: `SUM`."""
        return getattr(self.layer, attribute).name

    def dims(self, attribute: str) -> list[int] | None:
        """A `Dims` attribute as a list, None when it is not set."""
        try:
            value = getattr(self.layer, attribute)
        except RuntimeError:  # "Could not get block_shape.": how the bindings say unset
            return None
        return None if value is None else [int(v) for v in value]

    def axes(self) -> list[int]:
        """The `axes` bit mask as a list."""
        return [axis for axis in range(self.input.ndim) if self.layer.axes >> axis & 1]

    def axis(self) -> int:
        """The `axes` bit mask of a layer that works along one axis."""
        axes = self.axes()
        if len(axes) != 1:
            raise self.unsupported(f"axes are {axes} where one is expected")
        return axes[0]

    def weights(self, attribute: str) -> torch.Tensor | None:
        """Weights as a tensor of their own type, None when they are empty."""
        value = getattr(self.layer, attribute)
        if value is None or value.size == 0:
            return None
        if isinstance(value, np.ndarray):
            return from_numpy(value)
        found = read_bfloat16(value)
        if found is None:
            raise self.unsupported(f"weights of type {value.dtype.name} can't be read back")
        return found

    def output_dtype(self, index: int = 0) -> torch.dtype:
        """The type that TensorRT infers for an output."""
        return torch_dtype(self.layer.get_output(index).dtype, self)

    def unsupported(self, what: str) -> UnsupportedLayerError:
        """The error to raise for a layer that can't be interpreted."""
        return UnsupportedLayerError(f"{self.kind} layer {self.name!r}: {what}")


Result = torch.Tensor | Sequence[torch.Tensor]
Function = Callable[[Call], Result]


def torch_dtype(dtype: Any, call: Call | None = None) -> torch.dtype:
    """The torch type of a TensorRT one.

    Raises:
        UnsupportedLayerError: torch has no such type.
    """
    if dtype.name in DTYPES:
        return DTYPES[dtype.name]
    if call is not None:
        raise call.unsupported(f"type {dtype.name}")
    raise UnsupportedLayerError(f"type {dtype.name}")


def from_numpy(array: np.ndarray) -> torch.Tensor:
    """A tensor with an array's elements, shared when the array may be written."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


class _Weights(ctypes.Structure):
    """`nvinfer1::Weights`."""

    _fields_ = (
        ("type", ctypes.c_int32),
        ("values", ctypes.c_void_p),
        ("count", ctypes.c_int64),
    )


def read_bfloat16(weights: Any) -> torch.Tensor | None:
    """Elements of bfloat16 weights, for which the bindings have no numpy array.

    A bindings object holds a pointer to its C++ value behind the Python object's header. None when
    what lies there does not agree with what the bindings say of type and size.
    """
    if weights.dtype.name != "BF16":
        return None
    pointer = ctypes.c_void_p.from_address(id(weights) + object.__basicsize__).value
    if pointer is None:
        return None
    found = _Weights.from_address(pointer)
    if found.type != int(weights.dtype) or found.count != weights.size or not found.values:
        return None
    bits = ctypes.string_at(found.values, 2 * found.count)
    return torch.frombuffer(bytearray(bits), dtype=torch.bfloat16)


def widen(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """The same values in float32 when the type is a narrow float."""
    if tensor is not None and tensor.dtype in NARROW_FLOATS:
        return tensor.float()
    return tensor
