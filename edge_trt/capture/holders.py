# SPDX-License-Identifier: Apache-2.0
"""What may hold state beside modules: lists, dicts, sets, deques, objects of users' classes.

They are followed from the attributes of modules on, a few levels deep, and never into libraries.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any, cast

import torch
from torch import nn

DEEPEST = 5
"""Levels below a module: ``self.tracker.tracks[0].past`` has four."""

_LIBRARIES = {"torch", "numpy", *sys.stdlib_module_names}
_OTHERS = (type, FunctionType, MethodType, ModuleType, nn.Module, torch.Tensor)


def is_object(value: Any) -> bool:
    """Whether a value is an object of a class that neither Python, PyTorch nor numpy has."""
    if isinstance(value, _OTHERS) or _library_of(value) in _LIBRARIES:
        return False
    return hasattr(value, "__dict__") or bool(slots_of(value))


def _library_of(value: Any) -> str:
    return str(type(value).__module__).partition(".")[0]


def attributes_of(value: Any) -> dict[str, Any]:
    """The attributes of an object: those in its dict, and those in slots."""
    found = {name: getattr(value, name) for name in slots_of(value) if hasattr(value, name)}
    return found | dict(getattr(value, "__dict__", {}))


def slots_of(value: Any) -> list[str]:
    """The names of an object's slots."""
    slots = [getattr(cls, "__slots__", ()) for cls in type(value).__mro__]
    names = [name for some in slots for name in ((some,) if isinstance(some, str) else some)]
    return [name for name in names if not name.startswith("__")]


def is_holder(value: Any) -> bool:
    """Whether state may be kept in a value."""
    return isinstance(value, list | dict | set | deque) or is_object(value)


def content(value: Any) -> list[Any]:
    """What is in a holder, as a list of objects that can be told apart by identity."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list | set | deque):
        return list(value)
    held = attributes_of(value)
    return [*held, *held.values()]


def holders(
    value: Any, path: str, seen: set[int], depth: int = DEEPEST
) -> Iterator[tuple[str, Any]]:
    """Every holder in a value and the value itself, with its path in Python.

    Args:
        value: Anything.
        path: Its own path: ``layers.0.past``.
        seen: Identities that are not followed again; it grows.
        depth: How many levels are left.
    """
    if depth == 0 or id(value) in seen:
        return
    if is_holder(value):
        seen.add(id(value))
        yield path, value
    elif not isinstance(value, tuple):
        return
    for place, part in _parts(value):
        yield from holders(part, path + place, seen, depth - 1)


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple | deque):
        numbered = enumerate(cast("list[Any]", value))
        return [(f"[{place}]", part) for place, part in numbered]
    if isinstance(value, set):
        return []
    return [(f".{name}", part) for name, part in attributes_of(value).items()]
