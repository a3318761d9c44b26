# SPDX-License-Identifier: Apache-2.0
"""Leaving a module as it was found, although its ``forward`` runs and may keep what it likes.

What torch.export traces stays in the module: a list that grows, a counter, a tensor that is an
attribute and no buffer, which even a trace really writes to.
"""

from __future__ import annotations

import itertools
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.capture.holders import DEEPEST, attributes_of, is_holder, is_object

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from torch import nn


@contextmanager
def left_as_found(model: nn.Module) -> Generator[None]:
    """Put back all attributes of a module and of its parts, with what lists and objects hold.

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


def _keep(
    value: Any, found: dict[int, tuple[Any, Any]], state: set[int], depth: int = DEEPEST + 1
) -> None:
    """Remember what a container, an object or a tensor holds, and what is inside."""
    if id(value) in found or id(value) in state or depth == 0:
        return
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided and value.device.type != "meta":
            found[id(value)] = (value, _copy(value))
    elif isinstance(value, dict):
        found[id(value)] = (value, dict(value))
        _keep_all(value.values(), found, state, depth - 1)
    elif isinstance(value, list | deque):
        found[id(value)] = (value, list(value))
        _keep_all(value, found, state, depth - 1)
    elif isinstance(value, set):
        found[id(value)] = (value, set(value))
    elif isinstance(value, tuple):
        _keep_all(value, found, state, depth - 1)
    elif is_object(value):
        held = attributes_of(value)
        found[id(value)] = (value, held)
        _keep_all(held.values(), found, state, depth - 1)


def _keep_all(
    values: Iterable[Any], found: dict[int, tuple[Any, Any]], state: set[int], depth: int
) -> None:
    for value in values:
        if isinstance(value, torch.Tensor | tuple) or is_holder(value):
            _keep(value, found, state, depth)


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
    elif isinstance(now, list | deque):
        if list(map(id, now)) != list(map(id, before)):
            now.clear()
            now.extend(before)
    elif isinstance(now, set):
        if now != before:
            now.clear()
            now.update(before)
    else:
        _put_back_attributes(now, before)


def _put_back_attributes(value: Any, before: dict[str, Any]) -> None:
    """Not by its own ``__setattr__``: a frozen dataclass has none."""
    now = attributes_of(value)
    for name in now.keys() - before.keys():
        object.__delattr__(value, name)
    for name, held in before.items():
        if name not in now or now[name] is not held:
            object.__setattr__(value, name, held)


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
