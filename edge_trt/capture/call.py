# SPDX-License-Identifier: Apache-2.0
"""The call that is captured: inputs bound to the parameters of ``forward``, as example tensors."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.utils import _pytree as pytree

from edge_trt.capture.axes import Axis
from edge_trt.capture.images import ImageInput
from edge_trt.capture.inputs import Input
from edge_trt.errors import CaptureError, OptionError
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

_SEED = 20_240_607  # any constant: the same build gives the same example inputs


@dataclass(frozen=True)
class TensorArgument:
    """One tensor among the flattened arguments.

    Attributes:
        label: How people write it: ``x``, ``batch['ids']``.
        position: Its place among all flattened arguments, constants included.
        traced: What torch.export sees: a dynamic size is at least 2 there, because export takes
            0 and 1 for constants.
        example: The same argument at its ``opt`` sizes.
        described: The ``Input`` it comes from, if it comes from one.
    """

    label: str
    position: int
    traced: torch.Tensor
    example: torch.Tensor
    described: Input | None

    @property
    def axes(self) -> dict[int, Axis]:
        """Dimensions that may change, by index."""
        shape = self.described.shape if self.described else ()
        return {index: size for index, size in enumerate(shape) if isinstance(size, Axis)}

    def with_axes(self, axes: Mapping[int, Axis]) -> TensorArgument:
        """Return the argument with other ranges, and tensors that fit them."""
        assert self.described is not None
        shape = [axes.get(index, size) for index, size in enumerate(self.described.shape)]
        changed = _described_argument(self.label, self.position, self.described.with_shape(shape))
        return dataclasses.replace(changed, label=self.label)


@dataclass(frozen=True)
class Call:
    """Arguments for one call of ``forward``, with everything the signature needs of them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: tuple[TensorArgument, ...]


def prepare_call(forward: Callable[..., Any], inputs: Any) -> Call:
    """Turn what a user gives as inputs into a call of ``forward``.

    Args:
        forward: The bound method that is called.
        inputs: A tuple or list of positional arguments, a mapping of keyword arguments, or one
            argument alone; ``Input`` objects and numpy arrays may stand for tensors anywhere.
            When all entries are ``Input`` objects, one whose name is a parameter goes there.

    Raises:
        CaptureError: When the arguments do not fit ``forward``.
        OptionError: When two inputs contradict each other.
    """
    parameters = inspect.signature(forward).parameters
    args, kwargs = _bind(forward, parameters, inputs)
    flat, spec = pytree.tree_flatten_with_path((args, kwargs))
    leaves: list[Any] = []
    tensors: list[TensorArgument] = []
    for position, (path, leaf) in enumerate(flat):
        argument = _tensor_argument(_label(path, parameters), position, leaf)
        if argument is not None:
            tensors.append(argument)
        leaves.append(leaf if argument is None else argument.traced)
    _check_agreement(tensors)
    traced_args, traced_kwargs = pytree.tree_unflatten(leaves, spec)
    return Call(tuple(traced_args), traced_kwargs, tuple(tensors))


def _bind(
    forward: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], inputs: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Split inputs into positional and keyword arguments that ``forward`` accepts."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if isinstance(inputs, Mapping):
        kwargs = _in_order(parameters, cast("Mapping[str, Any]", inputs))
    elif isinstance(inputs, Sequence) and not isinstance(inputs, str):
        args = tuple(inputs)
        if args and all(isinstance(entry, Input) for entry in args):
            args = _by_name(parameters, args)
    else:
        args = (inputs,)
    try:
        bound = inspect.signature(forward).bind(*args, **kwargs)
    except TypeError as error:
        raise CaptureError(
            f"the inputs don't fit {_written(parameters)}: {error}",
            hint="give one example tensor or Input per parameter that has no default",
        ) from None
    # As far as they can be positional, so that the compiled module takes both kinds of calls.
    return bound.args, bound.kwargs


def _in_order(
    parameters: Mapping[str, inspect.Parameter], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return keyword inputs in the order of the parameters, which is the order of placeholders."""
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for name in inputs:
        if name not in parameters and not takes_any:
            raise CaptureError(
                f"{_written(parameters)} has no parameter {name!r}",
                hint=did_you_mean(name, parameters),
            )
    known = [name for name in parameters if name in inputs]
    return {name: inputs[name] for name in [*known, *(n for n in inputs if n not in known)]}


def _by_name(
    parameters: Mapping[str, inspect.Parameter], inputs: Sequence[Input]
) -> tuple[Input, ...]:
    """Put each input whose name is a parameter there, and the others into the free places."""
    names = [
        name
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ][: len(inputs)]
    placed = {str(entry.name): entry for entry in inputs if entry.name in names}
    rest = iter([entry for entry in inputs if all(entry is not put for put in placed.values())])
    ordered = [placed[name] if name in placed else next(rest) for name in names]
    return (*ordered, *rest)


def _tensor_argument(label: str, position: int, leaf: Any) -> TensorArgument | None:
    """Return the tensor a leaf stands for, or None when it is a constant of the call."""
    if isinstance(leaf, Input):
        return _described_argument(label, position, leaf)
    if isinstance(leaf, np.ndarray):
        leaf = torch.from_numpy(np.ascontiguousarray(leaf))
    if not isinstance(leaf, torch.Tensor):
        return None
    _check_plain(label, leaf)
    tensor = leaf.detach().cpu()
    return TensorArgument(label, position, tensor, tensor, None)


def _check_plain(label: str, tensor: torch.Tensor) -> None:
    """Refuse tensors whose values are not in one dense block of memory."""
    kinds = {
        "nested": (tensor.is_nested, "pad it, and give the lengths or a mask"),
        "sparse": (tensor.layout != torch.strided, "give its .to_dense(), or its parts"),
        "quantized": (tensor.is_quantized, "give its .int_repr() or its .dequantize()"),
        "on the meta device": (tensor.is_meta, "give one with values, or an edge_trt.Input"),
    }
    for kind, (found, hint) in kinds.items():
        if found:
            raise CaptureError(f"the example input {label!r} is {kind}", hint=hint)


def _described_argument(label: str, position: int, described: Input) -> TensorArgument:
    """Make example tensors for an ``Input``."""
    sizes = [size.opt if isinstance(size, Axis) else size for size in described.shape]
    traced_sizes = [_traced_size(size) for size in described.shape]
    if described.example is not None and list(described.example.shape) == sizes:
        example = described.example.detach().cpu()
    else:
        example = _example(described, sizes, position)
    traced = example if traced_sizes == sizes else _example(described, traced_sizes, position)
    return TensorArgument(described.name or label, position, traced, example, described)


def _example(described: Input, sizes: Sequence[int], position: int) -> torch.Tensor:
    if isinstance(described, ImageInput):
        generator = torch.Generator().manual_seed(_SEED + position)
        pixels = torch.randint(0, 256, sizes, generator=generator)
        return pixels.to(getattr(torch, described.dtype))
    return example_values(sizes, described.dtype, position)


def _traced_size(size: int | Axis) -> int:
    """Return the size for export: the optimum, but never 0 or 1 where the size may change."""
    return max(size.opt, 2) if isinstance(size, Axis) else size


def example_values(sizes: Sequence[int], dtype: str, position: int) -> torch.Tensor:
    """Return values that every model can take: index 0 exists, and a mask hides nothing.

    Args:
        sizes: The shape.
        dtype: Name of the data type.
        position: Place of the argument: equal places get equal values in every build.
    """
    kind: torch.dtype = getattr(torch, dtype)
    if kind.is_floating_point:
        generator = torch.Generator().manual_seed(_SEED + position)
        return torch.randn(sizes, generator=generator).to(kind)
    return torch.full(sizes, kind is torch.bool, dtype=kind)


def _check_agreement(tensors: Sequence[TensorArgument]) -> None:
    """Refuse one name for two inputs, and one name for two different ranges."""
    named: set[str] = set()
    ranges: dict[str, tuple[Axis, str]] = {}
    for tensor in tensors:
        name = tensor.described.name if tensor.described else None
        if name in named:
            raise OptionError(f"two inputs are named {name!r}", hint="give each its own name")
        named.update([name] if name else [])
        for axis in tensor.axes.values():
            if axis.name is None:
                continue
            first, where = ranges.setdefault(axis.name, (axis, tensor.label))
            if first != axis:
                raise OptionError(
                    f"{axis.name!r} is {first} in {where!r} and {axis} in {tensor.label!r}",
                    hint="equal names are one size: give them one range, or two names",
                )


def _label(path: Sequence[Any], parameters: Mapping[str, inspect.Parameter]) -> str:
    """Write a path into ``(args, kwargs)`` as the parameter with its keys."""
    where, key, *rest = path
    names = list(parameters)
    if where.idx == 1:
        name = str(key.key)
    else:
        name = names[key.idx] if key.idx < len(names) else f"argument {key.idx}"
    return name + pytree.keystr(tuple(rest))


def _written(parameters: Mapping[str, inspect.Parameter]) -> str:
    """Write ``forward(x, mask=...)`` for a message."""
    plain = [_without_annotation(parameter) for parameter in parameters.values()]
    return f"forward{inspect.Signature(plain)}"


def _without_annotation(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the parameter without its annotation, which only lengthens a message."""
    return parameter.replace(annotation=inspect.Parameter.empty)
