# SPDX-License-Identifier: Apache-2.0
"""Layers that move elements or speak of shapes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tests.support.trt_interpreter.call import Call, Function


def shuffle(call: Call) -> torch.Tensor:
    """Transpose, reshape, transpose; a placeholder zero copies a size of the transposed input."""
    layer, x = call.layer, call.input
    x = x.permute(tuple(layer.first_transpose)[: x.ndim])
    sizes = call.sizes(1) if call.has(1) else call.dims("reshape_dims")
    if sizes is not None:
        if layer.zero_is_placeholder:
            sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
        x = x.reshape(sizes)
    return x.permute(tuple(layer.second_transpose)[: x.ndim])


def slice_(call: Call) -> torch.Tensor:
    """Elements start + i * stride along each axis; `mode` says what lies outside."""
    x, axes = call.input, _part(call, "axes", 5)
    start, size, stride = (
        _part(call, a, i) for a, i in (("start", 1), ("shape", 2), ("stride", 3))
    )
    if start is None or size is None or stride is None:
        raise call.unsupported("start, size and stride are not all given")
    if axes is None:
        axes = list(range(x.ndim))
    axes = [axis % x.ndim for axis in axes]
    if not len(axes) == len(start) == len(size) == len(stride) or min(size, default=0) < 0:
        raise call.unsupported(f"start {start}, size {size}, stride {stride} on axes {axes}")
    outside = _OUTSIDE.get(call.enum("mode"))
    if outside is None and call.enum("mode") != "FILL":
        raise call.unsupported(f"mode {call.enum('mode')}")
    wanted = {
        axis: first + step * torch.arange(count)
        for axis, first, count, step in zip(axes, start, size, stride, strict=True)
    }
    return _filled(call, wanted) if outside is None else _picked(call, wanted, outside)


def _part(call: Call, attribute: str, index: int) -> list[int] | None:
    return call.sizes(index) if call.has(index) else call.dims(attribute)


def _strict(places: torch.Tensor, size: int) -> torch.Tensor:
    if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < size:
        raise IndexError(f"{int(places.min())} to {int(places.max())} of {size} elements")
    return places


def _reflect(places: torch.Tensor, size: int) -> torch.Tensor:
    if size == 1:
        return torch.zeros_like(places)
    folded = places.abs() % (2 * size - 2)
    return torch.where(folded >= size, 2 * size - 2 - folded, folded)


_OUTSIDE: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "STRICT_BOUNDS": _strict,
    "WRAP": lambda places, size: places % size,
    "CLAMP": lambda places, size: places.clamp(0, size - 1),
    "REFLECT": _reflect,
}


def _picked(
    call: Call,
    wanted: dict[int, torch.Tensor],
    outside: Callable[[torch.Tensor, int], torch.Tensor],
) -> torch.Tensor:
    x = call.input
    for axis, places in wanted.items():
        try:
            x = x.index_select(axis, outside(places, x.shape[axis]))
        except IndexError as error:
            raise call.unsupported(f"axis {axis}: {error}") from error
    return x


def _filled(call: Call, wanted: dict[int, torch.Tensor]) -> torch.Tensor:
    x = call.input
    fill = call.tensor(4).to(x.dtype) if call.has(4) else torch.zeros((), dtype=x.dtype)
    shape = [len(wanted[axis]) if axis in wanted else n for axis, n in enumerate(x.shape)]
    if x.numel() == 0:
        return fill.reshape(()).expand(shape).clone()
    inside = torch.ones((), dtype=torch.bool)
    for axis, places in wanted.items():
        size = x.shape[axis]
        x = x.index_select(axis, places.clamp(0, size - 1))
        mask = (places >= 0) & (places < size)
        inside = inside & mask.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return torch.where(inside, x, fill.reshape(()))


def concatenation(call: Call) -> torch.Tensor:
    return torch.cat([call.tensor(i) for i in range(len(call.inputs))], call.layer.axis)


def shape_of(call: Call) -> torch.Tensor:
    return torch.tensor(call.input.shape, dtype=torch.int64)


def squeeze(call: Call) -> torch.Tensor:
    """Without axes, every dimension goes that is 1 at build time."""
    x = call.input
    units = [i for i, size in enumerate(call.layer.get_input(0).shape) if size == 1]
    axes = {axis % x.ndim for axis in call.sizes(1)} if call.has(1) else set(units)
    if any(x.shape[axis] != 1 for axis in axes):
        raise call.unsupported(f"axes {sorted(axes)} of {list(x.shape)} are not all 1")
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in axes])


def unsqueeze(call: Call) -> torch.Tensor:
    x, places = call.input, call.sizes(1)
    rank = x.ndim + len(places)
    sizes = iter(x.shape)
    added = {axis % rank for axis in places}
    return x.reshape([1 if axis in added else next(sizes) for axis in range(rank)])


def fill(call: Call) -> torch.Tensor:
    """LINSPACE: alpha + the sum over dimensions of beta * place."""
    if call.enum("operation") != "LINSPACE":
        raise call.unsupported(f"operation {call.enum('operation')}, which is random")
    sizes = call.sizes(0) if call.has(0) else call.dims("shape")
    if sizes is None:
        raise call.unsupported("neither a shape nor an input for it")
    dtype = call.output_dtype()
    alpha = call.tensor(1) if call.has(1) else torch.tensor(call.layer.alpha)
    beta = call.tensor(2) if call.has(2) else torch.tensor([call.layer.beta])
    if beta.numel() != len(sizes):
        raise call.unsupported(f"beta has {beta.numel()} values for {len(sizes)} dimensions")
    result = alpha.to(dtype).expand(sizes)
    for axis, (count, step) in enumerate(zip(sizes, beta.reshape(-1).to(dtype), strict=True)):
        places = torch.arange(count, dtype=dtype) * step
        result = result + places.reshape([-1 if i == axis else 1 for i in range(len(sizes))])
    return result


def reverse_sequence(call: Call) -> torch.Tensor:
    """For each place on the batch axis, reverses that many elements of the sequence axis."""
    x, lengths, layer = call.input.clone(), call.sizes(1), call.layer
    for place, length in enumerate(lengths):
        part = x.select(layer.batch_axis, place)
        axis = layer.sequence_axis - (layer.sequence_axis > layer.batch_axis)
        part.narrow(axis, 0, length).copy_(part.narrow(axis, 0, length).flip(axis))
    return x


FUNCTIONS: dict[str, Function] = {
    "CONCATENATION": concatenation,
    "FILL": fill,
    "REVERSE_SEQUENCE": reverse_sequence,
    "SHAPE": shape_of,
    "SHUFFLE": shuffle,
    "SLICE": slice_,
    "SQUEEZE": squeeze,
    "UNSQUEEZE": unsqueeze,
}
