# SPDX-License-Identifier: Apache-2.0
"""Gathering, scattering and one-hot.

TensorRT counts negative indices from the end, but only along dimensions known at build time, and
reads zero outside the data; no network should rely on the latter, so it is an error here.
"""

from __future__ import annotations

import torch

from tests.support.trt_interpreter.call import Call, Function


def gather(call: Call) -> torch.Tensor:
    data, indices = call.input, call.tensor(1).long()
    mode, batch = call.enum("mode"), call.layer.num_elementwise_dims
    if mode == "ND":
        return _gather_nd(call, data, indices, batch)
    axis = call.layer.axis
    indices = _places(call, indices, axis)
    if mode == "ELEMENT":
        return data.gather(axis, indices)
    if mode == "DEFAULT":
        return _gather_slices(data, indices, axis, batch)
    raise call.unsupported(f"mode {mode}")


def _gather_slices(
    data: torch.Tensor, indices: torch.Tensor, axis: int, batch: int
) -> torch.Tensor:
    if batch:
        pairs = zip(data, indices, strict=True)
        return torch.stack([_gather_slices(d, i, axis - 1, batch - 1) for d, i in pairs])
    picked = data.index_select(axis, indices.reshape(-1))
    return picked.reshape([*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]])


def _gather_nd(call: Call, data: torch.Tensor, indices: torch.Tensor, batch: int) -> torch.Tensor:
    coordinates = _coordinates(call, indices, batch)
    leading = []
    for axis in range(batch):
        places = torch.arange(data.shape[axis])
        leading.append(places.reshape([-1 if i == axis else 1 for i in range(indices.ndim - 1)]))
    return data[(*leading, *coordinates)]


def scatter(call: Call) -> torch.Tensor:
    """A copy of the data with updates written; for equal indices the last one wins here."""
    data, indices, updates = call.input.clone(), call.tensor(1).long(), call.tensor(2)
    mode = call.enum("mode")
    if mode == "ELEMENT":
        axis = call.layer.axis
        return data.scatter_(axis, _places(call, indices, axis), updates)
    if mode == "ND":
        return data.index_put_(_coordinates(call, indices, 0), updates)
    raise call.unsupported(f"mode {mode}")


def _coordinates(call: Call, indices: torch.Tensor, first: int) -> tuple[torch.Tensor, ...]:
    """The last dimension of the indices, taken apart; it addresses axes from `first` on."""
    parts = enumerate(indices.unbind(-1), start=first)
    return tuple(_places(call, places, axis) for axis, places in parts)


def one_hot(call: Call) -> torch.Tensor:
    """`values` are [off, on]; the new dimension of size depth comes at `axis`."""
    indices, values, depth = call.input.long(), call.tensor(1), call.sizes(2)[0]
    _check_range(call, indices, 0, depth)
    axis = call.layer.axis % (indices.ndim + 1)
    hot = torch.nn.functional.one_hot(indices, depth).movedim(-1, axis).bool()
    return torch.where(hot, values[1], values[0])


def _places(call: Call, indices: torch.Tensor, axis: int) -> torch.Tensor:
    """Indices along an axis of the data as places counted from its start."""
    size = call.input.shape[axis]
    known = call.layer.get_input(0).shape[axis] != -1
    _check_range(call, indices, -size if known else 0, size)
    return torch.where(indices < 0, indices + size, indices)


def _check_range(call: Call, indices: torch.Tensor, low: int, high: int) -> None:
    if indices.numel() and not low <= int(indices.min()) <= int(indices.max()) < high:
        found = f"{int(indices.min())} to {int(indices.max())}"
        raise call.unsupported(f"indices from {found} where {low} to {high - 1} are known to work")


FUNCTIONS: dict[str, Function] = {"GATHER": gather, "ONE_HOT": one_hot, "SCATTER": scatter}
