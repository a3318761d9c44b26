# SPDX-License-Identifier: Apache-2.0
"""State that a model keeps in Python attributes, which no bundle has.

torch.export traces one call, the first one: whatever that leaves in an attribute is a constant of
the program. A grid that is made once may be such a constant, a list of past frames may not. So a
model that writes attributes is called again and again, and has to answer the same.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch import nn
from torch.utils import _pytree as pytree

from edge_trt.capture.agreement import alike, answers
from edge_trt.capture.conditions import draws_random_numbers
from edge_trt.capture.holders import content, holders
from edge_trt.capture.kept_state import left_as_found
from edge_trt.capture.module_state import CaptureWarning
from edge_trt.warning import warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from torch.export import ExportedProgram

    from edge_trt.capture.call import Call


@contextmanager
def recorded_attributes(model: nn.Module) -> Generator[list[str]]:
    """Record which attributes are set inside, and which lists and objects in them change.

    Args:
        model: The module, with its parts.
    """
    written: list[str] = []
    paths = {id(module): f"{path}." if path else "" for path, module in model.named_modules()}
    holding = list(_holders(model, paths))
    before = [content(value) for _, value in holding]
    original = nn.Module.__setattr__

    def record(self: nn.Module, name: str, value: Any) -> None:
        path = paths.get(id(self))
        if path is not None and not _is_part(self, name):
            written.append(path + name)
        original(self, name, value)

    with patch.object(nn.Module, "__setattr__", record):
        yield written
    now = [content(value) for _, value in holding]
    pairs = zip(holding, before, now, strict=True)
    written += [name for (name, _), old, new in pairs if list(map(id, old)) != list(map(id, new))]


def kept_attributes(
    model: nn.Module, program: ExportedProgram, call: Call, written: list[str]
) -> list[str]:
    """Return the attributes that were written, if a second call answers otherwise for them.

    Args:
        model: The module, in evaluation mode.
        program: What was exported of it.
        call: The call that was exported.
        written: The attributes that the export saw written.
    """
    if not written or draws_random_numbers(program) or _answers_the_same(model, call):
        return []
    return list(dict.fromkeys(written))


def warn_about(kept: list[str]) -> None:
    """Warn about attributes that change what later calls answer."""
    if kept:
        warn(
            f"the model keeps {', '.join(map(repr, kept))} from one call to the next, which a "
            "bundle does not: each run answers as the first call does; keep it in a buffer of "
            "fixed size (register_buffer) and compile with states='io'",
            CaptureWarning,
        )


def _answers_the_same(model: nn.Module, call: Call) -> bool:
    """Whether the model answers as at first, after the same call and after one of other values.

    A running mean of equal inputs is that input.
    """
    with left_as_found(model):
        try:
            first, second = (answers(model, call.args, call.kwargs, keep=True) for _ in range(2))
        except Exception:  # a model that can't be called now is no news
            return True
        if not _alike(first, second):
            return False
        others = pytree.tree_map_only(torch.Tensor, _other, (call.args, call.kwargs))
        try:
            answers(model, *others, keep=True)
            third = answers(model, call.args, call.kwargs, keep=True)
        except Exception:  # which values it takes is for the model to say
            return True
        return _alike(first, third)


def _alike(first: Any, later: Any) -> bool:
    return alike(pytree.tree_leaves(later), pytree.tree_leaves(first))


def _other(x: torch.Tensor) -> torch.Tensor:
    """Other numbers in the same range, if that begins at 0; what counts or chooses stays."""
    return x * 0.5 + 0.3 if x.is_floating_point() else x


def _is_part(module: nn.Module, name: str) -> bool:
    """Whether an attribute is a weight, a buffer, a module, or weights once more."""
    if isinstance(module, nn.RNNBase) and name.startswith("_flat_weight"):
        return True  # set with each of the weights, which an export replaces
    return name in module._parameters or name in module._buffers or name in module._modules


def _holders(model: nn.Module, paths: Mapping[int, str]) -> Iterator[tuple[str, Any]]:
    """What the model's modules may keep state in, with its path."""
    standard, seen = vars(nn.Module()), set[int]()
    for module in model.modules():
        for key, value in vars(module).items():
            if key not in standard:
                yield from holders(value, paths[id(module)] + key, seen)
