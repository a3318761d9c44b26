# SPDX-License-Identifier: Apache-2.0
"""What a layer is: a kind with attributes, and the types of its results.

A layer kind is a frozen dataclass named after TensorRT's layer without the leading I and the
trailing Layer, with attributes named as TensorRT's Python API names them and enum members as
strings. Tensors are not attributes: a `Node` holds them, in the order given in the class docstring.
"""

from __future__ import annotations

import abc
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from edge_trt.network.types import ShapeError, TensorType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_trt.network.graph import Network


class Layer(abc.ABC):
    """A kind of layer with its attributes. Subclasses register themselves by class name."""

    __slots__ = ()
    kinds: ClassVar[dict[str, type[Layer]]] = {}

    def __init_subclass__(cls) -> None:
        Layer.kinds[cls.__name__] = cls

    @property
    def kind(self) -> str:
        """The layer's kind, as written in a serialized network: `Convolution`."""
        return type(self).__name__

    @property
    def bodies(self) -> dict[str, Network]:
        """The networks that the layer runs, by attribute; most layers have none."""
        return {}

    def narrowed(self, wanted: Sequence[bool]) -> tuple[Layer, list[bool]]:
        """The layer without results that nobody reads, and which of its results that leaves."""
        return self, [True] * len(wanted)

    @abc.abstractmethod
    def infer(self, *inputs: Any, **_: Any) -> TensorType | tuple[TensorType, ...]:
        """The types of the results for these input types.

        Raises:
            ShapeError: the layer does not accept these inputs.
        """

    def check_members(self) -> None:
        """Hold attributes that are enum members against those of TensorRT's enum.

        Raises:
            ShapeError: one is not.
        """
        for name, members in _members(type(self)).items():
            value = getattr(self, name)
            if value not in members:
                raise ShapeError(f"{self.kind} has no {name} {value!r}: {', '.join(members)}")

    def attributes(self) -> dict[str, Any]:
        """Attributes by name, only those that differ from their default."""
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, (value, default) in values.items() if value != default}

    def __str__(self) -> str:
        names = {attribute: body.name for attribute, body in self.bodies.items()}
        values = {**self.attributes(), **names}
        return f"{self.kind}[{' '.join(f'{k}={_text(v)}' for k, v in values.items())}]"


@cache
def _members(kind: type[Layer]) -> dict[str, tuple[str, ...]]:
    """Attribute -> the members of its enum, for attributes that are one."""
    types = get_type_hints(kind)
    return {n: get_args(t) for n, t in types.items() if get_origin(t) is Literal}


def require(condition: bool, message: str) -> None:
    """Raises `ShapeError(message)` unless the condition holds."""
    if not condition:
        raise ShapeError(message)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ",".join(map(_text, value)) + ")"  # pyright: ignore[reportUnknownArgumentType]
    return str(value)
