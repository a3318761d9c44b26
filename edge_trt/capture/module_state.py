# SPDX-License-Identifier: Apache-2.0
"""Bringing a module into the state in which it is exported, and back."""

from __future__ import annotations

import copy
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch._functorch._aot_autograd.subclass_parametrization import (
    unwrap_tensor_subclass_parameters,
)
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from edge_trt.errors import CaptureError
from edge_trt.warning import EdgeTrtWarning, warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


class CaptureWarning(EdgeTrtWarning):
    """Something about a model that is probably not meant, and does not stop its capture."""


def unwrapped(model: object) -> nn.Module:
    """Return the module inside wrappers that only matter for training or speed.

    Raises:
        CaptureError: When the model can't be exported by its kind.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise CaptureError(
            "the model is a TorchScript module, whose Python source is gone",
            hint="give the nn.Module that it was scripted from",
        )
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(model.module)
    compiled = getattr(model, "_orig_mod", None)  # torch.compile keeps the original under it
    if isinstance(compiled, nn.Module):
        return unwrapped(compiled)
    if isinstance(model, nn.Module):
        return model
    kind = "a function" if callable(model) else f"of type {type(model).__name__}"
    raise CaptureError(f"the model is {kind}", hint="give an nn.Module or an ExportedProgram")


def on_cpu(model: nn.Module) -> nn.Module:
    """Return the module if its weights are in CPU memory, or else a copy of it there.

    Raises:
        CaptureError: When weights have no values at all.
    """
    devices = {tensor.device.type for _, tensor in _tensors(model)}
    if "meta" in devices:
        name = next(name for name, tensor in _tensors(model) if tensor.device.type == "meta")
        raise CaptureError(
            f"the weight {name!r} has no values (it is on the meta device)",
            hint="load the weights before compiling",
        )
    if devices <= {"cpu"}:
        return model
    return copy.deepcopy(model).to("cpu")


def with_plain_weights(model: nn.Module) -> nn.Module:
    """Return the module, or a copy of it whose weights are the tensors inside of wrappers.

    Weights that torchao's `quantize_` has replaced are such wrappers: levels and scales in one.
    """
    if not any(is_traceable_wrapper_subclass(tensor) for _, tensor in _tensors(model)):
        return model
    copied = copy.deepcopy(model)
    before = set(copied.modules())
    unwrap_tensor_subclass_parameters(copied)
    for module in set(copied.modules()) - before:
        module.training = False  # what puts the weights together again is no part of the model
    return copied


@contextmanager
def evaluation_mode(model: nn.Module, *, tell: bool = True) -> Generator[None]:
    """Put a module into evaluation mode inside, and leave it as it was found.

    Flags are set and restored, so that not even for a moment the weights exist twice.

    Args:
        model: The module.
        tell: Warn when something in it was in training mode.
    """
    training = [module for module in model.modules() if module.training]
    if not training:
        yield
        return
    if tell:
        path = next(name for name, module in model.named_modules() if module.training)
        what = f"its module {path!r} is" if path else "the model is"
        warn(
            f"{what} in training mode: captured in evaluation mode (call model.eval() to say so)",
            CaptureWarning,
        )
    try:
        model.eval()
        yield
    finally:
        for module in training:
            module.training = True


def warn_about_bad_weights(model: nn.Module) -> None:
    """Warn, naming them, when weights hold NaN or infinity."""
    plain = ((n, t) for n, t in _tensors(model) if not is_traceable_wrapper_subclass(t))
    floating = [(n, t.detach()) for n, t in plain if t.is_floating_point()]
    # A sum reads each weight once and allocates nothing; a closer look only where it overflows.
    suspects = [(name, tensor) for name, tensor in floating if not _finite(tensor.sum())]
    bad = [name for name, tensor in suspects if not _finite(tensor)]
    if bad:
        names = ", ".join(map(repr, bad[:3])) + (f" and {len(bad) - 3} more" * (len(bad) > 3))
        warn(f"NaN or infinity in the weights {names}", CaptureWarning)


def _finite(tensor: torch.Tensor) -> bool:
    """Whether every element is finite."""
    return bool(torch.isfinite(tensor).all())


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield parameters and buffers with their names."""
    return itertools.chain(model.named_parameters(), model.named_buffers())
