# SPDX-License-Identifier: Apache-2.0
"""Loading ``.pt2`` programs, and the operators of other libraries that they call, seen before.

torch only says that deserializing failed when one is not registered.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import warnings
import zipfile
from typing import Any

_CALL = re.compile(rb'"torch\.ops\.(\w+)\.(\w+)\.\w+"')

_BRINGS_OPERATORS = ("torchvision",)
"""Libraries that may be imported for their operators, which carry the library's name."""


def load_program(torch: Any, file: str) -> Any:
    """Load what ``torch.export.save`` wrote."""
    with warnings.catch_warnings():
        # PyTorch 2.11 maps weights without the right to write, which nobody does.
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        return torch.export.load(file)


def missing_operators(torch: Any, file: str) -> list[str]:
    """Return the operators of a program that no library has registered, as ``library::name``.

    A library that is known to bring operators is imported for them.
    """
    called = _called_operators(file)
    missing = [(library, name) for library, name in called if not _known(torch, library, name)]
    for library in {library for library, _ in missing} & set(_BRINGS_OPERATORS):
        with contextlib.suppress(Exception):  # one built for another torch raises RuntimeError
            importlib.import_module(library)
    return [f"{library}::{name}" for library, name in missing if not _known(torch, library, name)]


def _called_operators(file: str) -> list[tuple[str, str]]:
    """Return library and name of what a program calls; nothing if the file is no program."""
    try:
        with zipfile.ZipFile(file) as archive:
            models = [n for n in archive.namelist() if n.endswith("/models/model.json")]
            found = {call for name in models for call in _CALL.findall(archive.read(name))}
    except (OSError, zipfile.BadZipFile):
        return []  # torch says what is wrong with it
    return sorted((library.decode(), name.decode()) for library, name in found)


def _known(torch: Any, library: str, name: str) -> bool:
    return hasattr(getattr(torch.ops, library), name)
