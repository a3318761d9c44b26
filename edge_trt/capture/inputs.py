# SPDX-License-Identifier: Apache-2.0
"""``Input``: shape, range, type and name of an input, given in place of an example tensor."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from edge_trt.capture.axes import Axis, Shape, parse_shape, shape_text
from edge_trt.errors import OptionError
from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    import torch

    from edge_trt_runtime.manifest import ImageSpec

Bound = int | Sequence[int] | Mapping[str, int] | None
"""One end of the ranges: a size for the one named dimension, a whole shape, or sizes by name."""

_NO_PORTABLE_FORM = ("complex64", "complex128")
CAST_INSIDE = (
    "take and give float32 and cast inside forward, as in self.model(x.bfloat16()).float(): "
    "weights and all between may be bfloat16"
)
"""The way out where an input or output would be bfloat16."""


@dataclass(frozen=True, init=False)
class Input:
    """Describes an input, so that no example tensor is needed, or so that its sizes may change.

    ``Input((1, 3, 224, 224))`` is fixed. Ranges are given in any of three ways, with the same
    meaning but for the names, which tie equal sizes of several inputs together::

        Input(min=(1, 3, 224, 224), opt=(4, 3, 224, 224), max=(8, 3, 224, 224))
        Input(("batch", 3, 224, 224), min=1, opt=4, max=8)
        Input(("batch", "seq"), min={"batch": 1, "seq": 1}, max={"batch": 8, "seq": 512})

    An example tensor may stand in place of ``shape``: its values are used where values matter
    (indices, masks) and its sizes are the default of ``opt``. Otherwise ``opt`` defaults to
    ``max``, and generated examples are normal random numbers, ``0`` (integers) or ``True``.

    Args:
        shape: Sizes, with names (or ``None``) for those that may change, or an example tensor.
        min: Least sizes.
        opt: Sizes that engines are tuned for.
        max: Greatest sizes.
        dtype: ``torch.float32``, ``"float32"``, ...; an example tensor decides it itself.
        name: Name in the bundle's signature, and the parameter of ``forward`` it belongs to when
            there is one of that name.
        image: How an image file becomes this input, for the command line.

    Attributes:
        shape: One size or :class:`~edge_trt.capture.axes.Axis` per dimension.
        dtype: Name of the data type.
        name: See above.
        image: See above.
        example: The example tensor, when one was given.

    Raises:
        OptionError: When shape, range, type or name is none.
    """

    shape: Shape
    dtype: str
    name: str | None
    image: ImageSpec | None
    example: torch.Tensor | None = field(compare=False, repr=False)

    def __init__(
        self,
        shape: Sequence[int | str | None] | torch.Tensor | None = None,
        *,
        min: Bound = None,  # noqa: A002 - the words that TensorRT uses for a profile
        opt: Bound = None,
        max: Bound = None,  # noqa: A002
        dtype: str | torch.dtype = "float32",
        name: str | None = None,
        image: ImageSpec | None = None,
    ) -> None:
        """Read the sizes in whichever way they were given."""
        example = cast("torch.Tensor", shape) if hasattr(shape, "untyped_storage") else None
        if example is not None:
            sizes = tuple(example.shape)
            dtype, opt = example.dtype, sizes if opt is None else opt
            shape = sizes if min is None and max is None else tuple(None for _ in sizes)
        dims = _shape(cast("Sequence[int | str | None] | None", shape), min, opt, max)
        if name is not None and not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise OptionError(f"{name!r} can't name an input", hint="use letters, digits and '_'")
        values = {"shape": dims, "dtype": dtype_name(dtype), "name": name, "image": image}
        for attribute, value in {**values, "example": example}.items():
            object.__setattr__(self, attribute, value)

    @classmethod
    def parse(cls, text: str) -> Input:
        """Read an input from the command line; :mod:`edge_trt.capture.axes` has the grammar.

        Raises:
            OptionError: When the text does not follow it.
        """
        name, equals, rest = text.strip().rpartition("=")
        shape, rest = parse_shape(rest, text)
        if rest and not rest.startswith(":"):
            raise OptionError(
                f"can't read {rest!r} at the end of the input {text!r}",
                hint="separate sizes by 'x', and the type by ':'",
            )
        dtype = rest[1:] if rest else "float32"
        return cls((), dtype=dtype, name=name if equals else None).with_shape(shape)

    def with_shape(self, shape: Sequence[int | Axis]) -> Input:
        """Return the same input with another shape."""
        changed = copy.copy(self)
        object.__setattr__(changed, "shape", tuple(shape))
        return changed

    def __str__(self) -> str:
        """Return the input in the grammar of the command line."""
        name = f"{self.name}=" if self.name else ""
        return f"{name}{shape_text(self.shape)}:{self.dtype}"


def dtype_name(dtype: str | torch.dtype) -> str:
    """Return the name of a data type that a bundle's inputs and outputs can have.

    Raises:
        OptionError: When there is none of that name (with close matches), or numpy lacks it.
    """
    name = str(dtype).removeprefix("torch.")
    known = [known for known in NUMPY_DTYPES if known not in _NO_PORTABLE_FORM]
    if name == "bfloat16":
        what = "an input can't be bfloat16, which numpy lacks"
        raise OptionError(what, hint=CAST_INSIDE)
    if name not in known:
        raise OptionError(f"{name!r} can't be an input's data type", hint=did_you_mean(name, known))
    return name


def _shape(shape: Sequence[int | str | None] | None, low: Bound, opt: Bound, high: Bound) -> Shape:
    """Combine sizes, names and ranges into one shape."""
    given = [bound for bound in (low, opt, high) if bound is not None]
    if shape is None:
        lengths = {len(b) if isinstance(b, Sequence) else -1 for b in given}
        if len(lengths) != 1 or -1 in lengths:
            raise OptionError(
                "an Input without a shape has no sizes",
                hint="give shape, or min and max as whole shapes of equal length",
            )
        shape = (None,) * lengths.pop()
    names = [entry for entry in shape if isinstance(entry, str)]
    dims: list[int | Axis] = []
    for index, entry in enumerate(shape):
        if isinstance(entry, int) and not isinstance(entry, bool):
            dims.append(_fixed(entry, index, given, len(shape)))
            continue
        if entry is not None and not isinstance(entry, str):
            raise OptionError(f"{entry!r} is not a size", hint="give numbers, names or None")
        ends = [_end(bound, entry, index, len(shape), names) for bound in (low, opt, high)]
        dims.append(_range(entry, index, ends))
    return tuple(dims)


def _fixed(size: int, index: int, bounds: Sequence[Bound], rank: int) -> int:
    """Return a fixed size, which no bound may contradict."""
    if size < 0:
        raise OptionError(f"{size} is not a size", hint="name the dimension, or write None")
    for bound in bounds:
        if isinstance(bound, Sequence) and len(bound) == rank and bound[index] != size:
            raise OptionError(
                f"dimension {index} is {size} in the shape and {bound[index]} in a bound",
                hint="put a name or None in the shape where the size may change",
            )
    return size


def _range(name: str | None, index: int, ends: Sequence[int | None]) -> int | Axis:
    """Return one dimension from its least, best and greatest size."""
    low, opt, high = ends
    label = repr(name) if name else f"dimension {index}"
    if low is None or high is None:
        raise OptionError(f"{label} has no range", hint="give min and max (and opt)")
    axis = Axis(low, high if opt is None else opt, high, name)
    return low if low == high else axis


def _end(bound: Bound, name: str | None, index: int, rank: int, names: Sequence[str]) -> int | None:
    """Return what ``bound`` says of one dimension."""
    if bound is None:
        return None
    if isinstance(bound, Mapping):
        for key in bound:
            if key not in names:
                raise OptionError(f"no dimension is named {key!r}", hint=did_you_mean(key, names))
        return bound.get(name) if name else None
    if isinstance(bound, Sequence):
        if len(bound) != rank:
            raise OptionError(f"{tuple(bound)} has {len(bound)} sizes, the shape has {rank}")
        return int(bound[index])
    if len(set(names)) != 1:
        raise OptionError(
            f"one number ({bound}) can't be the range of {len(set(names))} named dimensions",
            hint="give whole shapes, or sizes by name",
        )
    return int(bound) if name else None
