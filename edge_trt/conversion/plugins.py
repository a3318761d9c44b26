# SPDX-License-Identifier: Apache-2.0
"""Converters from outside: of the user's code, and of installed packages.

    @edge_trt.converter(torch.ops.mylib.scale.default)
    def scale(ctx, x, factor):
        return ctx.elementwise("PROD", x, factor)

A package offers its own under the entry point group `edge_trt.converters`:

    [project.entry-points."edge_trt.converters"]
    mylib = "mylib.edge_trt_converters"
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import torch

from edge_trt.conversion import registry
from edge_trt.conversion.registry import Overload, Predicate
from edge_trt.errors import OptionError
from edge_trt.warning import warn

GROUP = "edge_trt.converters"
"""The entry point group. An entry is a module, which registers when imported, or a function."""


def converter(
    *overloads: Overload, when: Predicate | None = None, note: str = "", override: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the decorated function as the converter of operators.

    Its first parameter is the context, which adds layers; its other parameters are names from the
    operator's schema, as many as it uses. Tensors come as the network's tensors, everything else as
    its value. The result is compared with what PyTorch says of the call when a model is compiled.

    Args:
        *overloads: as in `torch.ops.mylib.scale.default`.
        when: takes some of the same parameters, tensors as `torch.fx.Node`s, and returns None or
            the sentence that says why a call can't be converted; such a call falls back.
        note: the condition in words.
        override: takes the place of a converter that is there. Without it that is an error, except
            that a function registers again what it registered before.

    Raises:
        OptionError: an overload is none, has a converter already, or lacks a parameter.
    """
    return lambda function: _add(overloads, function, when, note, override, evaluates=False)


def evaluator(
    *functions: Overload, override: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the decorated function for what is computed on sizes while converting.

    Its parameters after the context take the arguments in their order. A size is a number, or a
    tensor of the network where it is dynamic; `ctx.calculate` takes both.

    Args:
        *functions: functions on sizes, such as `operator.add`, or overloads that give sizes.
        override: as for `converter`.

    Raises:
        OptionError: a function has an evaluator already.
    """
    return lambda function: _add(functions, function, None, "", override, evaluates=True)


def load_installed() -> None:
    """Loads what installed packages offer; one that fails is named in a warning and left out."""
    for entry in entry_points(group=GROUP):
        before = dict(registry.CONVERTERS)
        try:
            loaded = entry.load()
            if not isinstance(loaded, ModuleType):
                loaded()
        except Exception as error:
            registry.CONVERTERS.clear()
            registry.CONVERTERS.update(before)
            warn(
                f"the converters {entry.name!r} of {_package(entry)} are left out: "
                f"{type(error).__name__}: {error}"
            )


def _package(entry: EntryPoint) -> str:
    return f"the package {entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _add(
    targets: tuple[Overload, ...],
    function: Callable[..., Any],
    when: Predicate | None,
    note: str,
    override: bool,
    *,
    evaluates: bool,
) -> Callable[..., Any]:
    registry.load_library()  # or it would come later, and find its place taken
    for target in targets:
        if isinstance(target, torch._ops.OpOverloadPacket):
            names = ", ".join(f"{target}.{name}" for name in target.overloads())
            raise OptionError(f"{target} is several overloads", hint=f"name them: {names}")
        if not callable(target):
            raise OptionError(
                f"{target!r} is no operator", hint="give one as torch.ops.mylib.scale.default"
            )
        present = registry.CONVERTERS.get(target)
        if present is not None and not override and not _same(present.function, function):
            raise OptionError(
                f"{target} has a converter already, {present.function.__qualname__} in "
                f"{present.function.__module__}",
                hint="pass override=True to take its place",
            )
        try:
            registry._register(target, function, when, note, evaluates=evaluates, override=True)
        except TypeError as error:
            raise OptionError(str(error), hint="use the names of the schema") from error
    return function


def _same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether a cell or a file was run again."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)
