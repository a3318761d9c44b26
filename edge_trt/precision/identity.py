# SPDX-License-Identifier: Apache-2.0
"""Tells whether a user's function is still the one that it was, in another process too.

Measurements of `tune` are kept from run to run and belong to one metric. What a function does is in
its code, in the names that it calls, in what it closes over, and in the functions of its own file
that it calls. Addresses and the order of sets differ from process to process and are left out.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any, cast

import numpy as np

_USED = ("__call__", "__iter__")
"""What an object of the user's is used by."""


def identity(function: object) -> str:
    """A digest of a function, a bound method, a partial, data, or an object that is used so."""
    return _Identity().of(function)


class _Identity:
    """Digests of values; an object inside of itself, as a recursive function is, counts once."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def of(self, value: object) -> str:
        """The digest of what a value consists of."""
        if id(value) in self._open:
            return "itself"
        self._open.add(id(value))
        try:
            state = hashlib.blake2b(type(value).__qualname__.encode(), digest_size=16)
            for part in self._parts(value):
                state.update(b"|" + part)
            return state.hexdigest()
        finally:
            self._open.discard(id(value))

    def _parts(self, value: Any) -> Iterator[bytes]:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            yield repr(value).encode()
        elif isinstance(value, np.ndarray | np.generic):
            array: np.ndarray[Any, np.dtype[Any]] = np.ascontiguousarray(cast("Any", value))
            yield f"{array.dtype}{array.shape}".encode()
            yield repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
        elif isinstance(value, tuple | list):
            yield from self._all(*cast("list[object]", value))
        elif isinstance(value, set | frozenset):
            yield from sorted(self._all(*cast("set[object]", value)))
        elif isinstance(value, Mapping):
            entries = cast("Mapping[object, object]", value).items()
            yield from sorted(self.of(k).encode() + self.of(v).encode() for k, v in entries)
        elif isinstance(value, CodeType):
            names = (value.co_names, value.co_varnames, value.co_freevars, value.co_flags)
            yield from self._all(value.co_code, names, value.co_consts)
        elif isinstance(value, FunctionType):
            yield from self._function(value)
        elif isinstance(value, MethodType):
            yield from self._all(value.__func__, *self._state(value.__self__))
        elif isinstance(value, functools.partial):
            found = cast("functools.partial[Any]", value)
            yield from self._all(found.func, found.args, found.keywords)
        elif any(isinstance(type(value).__dict__.get(name), FunctionType) for name in _USED):
            yield from self._all(*self._state(value))

    def _all(self, *values: object) -> Iterator[bytes]:
        return (self.of(value).encode() for value in values)

    def _function(self, function: FunctionType) -> Iterator[bytes]:
        yield from self._all(function.__code__, function.__defaults__, function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                yield self.of(cell.cell_contents).encode()
            except ValueError:  # not assigned yet
                yield b"empty"
        for name in sorted(_names(function.__code__)):
            found = function.__globals__.get(name)
            if isinstance(found, FunctionType) and found.__module__ != function.__module__:
                continue  # of a library, which a new version of it may change without harm
            yield name.encode() + self.of(found).encode()

    def _state(self, value: object) -> Iterator[object]:
        """What an object is made of: the functions of its class, and its attributes."""
        for name, member in sorted(vars(type(value)).items()):
            if isinstance(member, FunctionType):
                yield name
                yield member
        yield dict(getattr(value, "__dict__", {}))


def _names(code: CodeType) -> set[str]:
    """The names that a function looks up, those of the functions inside of it too."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found
