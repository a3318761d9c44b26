# SPDX-License-Identifier: Apache-2.0
"""Where a model comes from: an object, a file of torch.export, a factory, or a name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.export import ExportedProgram

from edge_trt.capture.module_state import unwrapped
from edge_trt.capture.operators import undeclared
from edge_trt.capture.quiet import quiet
from edge_trt.errors import CaptureError
from edge_trt.user_code import attribute, import_from, import_named, located

if TYPE_CHECKING:
    from torch import nn

    from edge_trt_runtime.manifest import ImageSpec

_FORMS = "give a .pt2 file, file.py:factory, package.module:factory, timm:NAME or torchvision:NAME"


@dataclass(frozen=True)
class Source:
    """A model with what is known of it besides.

    Attributes:
        model: The module or program.
        name: A short name for reports.
        inputs: Example inputs that came with it, or None.
        image: Preprocessing of its image input, or None.
        ours: Whether nobody else holds the model, so that its training mode means nothing.
    """

    model: nn.Module | ExportedProgram
    name: str
    inputs: Any = None
    image: ImageSpec | None = None
    ours: bool = False


def load_source(model: object) -> Source:
    """Find the model that ``model`` stands for.

    Args:
        model: A module, an exported program, or text or path in one of the forms of the module's
            documentation.

    Raises:
        CaptureError: When there is none, or it could not be loaded.
    """
    if isinstance(model, ExportedProgram):
        return Source(model, "program")
    if not isinstance(model, str | Path):
        module = unwrapped(model)
        return Source(module, type(module).__name__)
    text = str(model)
    if text.startswith(("timm:", "torchvision:")):
        return _named(text)
    if text.endswith(".pt2"):
        return Source(_load_program(Path(text)), Path(text).stem)
    where, colon, factory = text.rpartition(":")
    if not colon or not factory.isidentifier():
        raise CaptureError(f"{text!r} does not name a model", hint=_hint_for(text))
    return _from_factory(where, factory)


def import_plugin(name: str) -> None:
    """Import a module or a Python file for what it registers.

    Raises:
        CaptureError: When it is not there, or can't be imported.
    """
    with import_from(name):
        import_named(name)


def _hint_for(text: str) -> str:
    """Return what to write instead of a text that names no model."""
    if Path(text, "manifest.json").is_file():
        return "it is a bundle: in Python give edge_trt.load of it to calibrate and tune"
    if text.endswith((".pt", ".pth", ".safetensors", ".ckpt")):
        return "weights alone are no model: write a file.py:factory that builds it and loads them"
    if text.endswith(".py"):
        return f"add the function that makes the model, as in {text}:create"
    module, dot, function = text.rpartition(".")
    if dot and all(part.isidentifier() for part in text.split(".")):
        return f"a function in a package has a colon before it: {module}:{function}"
    return _FORMS


def _named(text: str) -> Source:
    """Load a model of timm or torchvision."""
    from edge_trt.capture import named_models

    library, _, name = text.partition(":")
    load = named_models.load_timm if library == "timm" else named_models.load_torchvision
    named = load(name)
    return Source(named.model, re.sub(r"\W+", "_", name), named.inputs, named.image, ours=True)


def _load_program(path: Path) -> ExportedProgram:
    """Load a file of ``torch.export.save``."""
    if not path.is_file():
        raise CaptureError(f"there is no file {path}")
    try:
        with quiet():
            return torch.export.load(path)
    except Exception as error:
        if missing := undeclared(path):
            raise CaptureError(
                f"{path} calls operators that are not declared here: {', '.join(missing)}",
                hint="import what declares them before, or name it: --plugin FILE.py",
            ) from error
        raise CaptureError(
            f"{path} is not a program of torch.export.save that this torch can read: "
            f"{str(error).partition(chr(10))[0]}",
            hint=f"export it again with torch {torch.__version__}",
        ) from error


def _from_factory(where: str, factory: str) -> Source:
    """Import a file or module and call its factory."""
    from edge_trt.capture.torchvision_ops import declared_on_import

    with import_from(where), declared_on_import():
        made = attribute(import_named(where), where, factory)
        if not isinstance(made, torch.nn.Module | ExportedProgram):
            made = _called(cast("Callable[[], Any]", made), f"{where}:{factory}")
    model, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(model, ExportedProgram):
        return Source(model, factory, inputs)
    return Source(unwrapped(model), type(model).__name__, inputs)


def _called(factory: Callable[[], Any], name: str) -> Any:
    """Call a factory; what goes wrong inside is told with the line of the user's file."""
    if not callable(factory):
        raise CaptureError(f"{name} is no function", hint="name a function that returns the model")
    try:
        return factory()
    except CaptureError:
        raise
    except Exception as error:
        raise located(error, f"{name} failed") from error
