# SPDX-License-Identifier: Apache-2.0
"""Leaving a module as it was found, although its ``forward`` runs and may keep what it likes.

What torch.export traces stays in the module: a list that grows, a counter, a tensor that is an
attribute and no buffer, which even a trace really writes to.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from torch import nn


@contextmanager
def left_as_found(model: nn.Module) -> Generator[None]:
    """Put back all attributes of a module and of its parts, with what lists and dicts hold.

    Parameters stay the same tensors; that nobody writes to them is for `copies_of_state` to see
    to. It can't for buffers: an object may hold one too, and a trace writes to what it holds.
    """
    state = {id(parameter) for parameter in model.parameters()}
    found: dict[int, tuple[Any, Any]] = {}
    for module in model.modules():
        _keep(vars(module), found, state)
    try:
        yield
    finally:
        for now, before in found.values():
            _put_back(now, before)


def _keep(value: Any, found: dict[int, tuple[Any, Any]], state: set[int]) -> None:
    """Remember what a container or a tensor holds, and what is inside."""
    if id(value) in found or id(value) in state:
        return
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided and value.device.type != "meta":
            found[id(value)] = (value, _copy(value))
    elif isinstance(value, dict):
        found[id(value)] = (value, dict(value))
        _keep_all(value.values(), found, state)
    elif isinstance(value, list):
        found[id(value)] = (value, list(value))
        _keep_all(value, found, state)
    elif isinstance(value, set):
        found[id(value)] = (value, set(value))
    elif isinstance(value, tuple):
        _keep_all(value, found, state)


def _keep_all(values: Iterable[Any], found: dict[int, tuple[Any, Any]], state: set[int]) -> None:
    for value in values:
        if isinstance(value, torch.Tensor | dict | list | set | tuple):
            _keep(value, found, state)


def _put_back(now: Any, before: Any) -> None:
    """Give a container or a tensor what it held, where it holds something else."""
    if isinstance(now, torch.Tensor):
        if now.shape == before.shape and not torch.equal(now, before):
            with torch.inference_mode():
                now.detach().copy_(before)
    elif isinstance(now, dict):
        if list(map(id, now)) != list(map(id, before)) or any(now[k] is not before[k] for k in now):
            now.clear()
            now.update(before)
    elif isinstance(now, list):
        if list(map(id, now)) != list(map(id, before)):
            now[:] = before
    elif now != before:
        now.clear()
        now.update(before)


def copies_of_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and buffers for one run, which may write to them.

    What nobody writes to takes no memory: both are one storage until then.
    """
    state = itertools.chain(model.named_parameters(), model.named_buffers())
    return {name: _copy(tensor) for name, tensor in state}


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    try:
        return torch.ops.aten._lazy_clone.default(tensor.detach())
    except (AttributeError, RuntimeError):  # mapped or borrowed memory, which can't be shared so
        return tensor.detach().clone()
