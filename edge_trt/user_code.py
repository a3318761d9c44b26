# SPDX-License-Identifier: Apache-2.0
"""Code that the user wrote: imported by name, and blamed by line when it fails."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import re
import sys
import sysconfig
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_trt.errors import CaptureError
from edge_trt_runtime.names import did_you_mean

_HERE = str(Path(__file__).parent)
_STDLIB = sysconfig.get_paths()["stdlib"]
_LONGEST = 300


def load_object(text: str) -> Any:
    """What `file.py:name` or `package.module:name` stands for.

    Raises:
        CaptureError: there is none, or the file can't be imported.
    """
    where, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier():
        raise CaptureError(f"{text!r} names nothing", hint="give file.py:name")
    with import_from(where):
        return attribute(import_named(where), where, name)


def attribute(module: ModuleType, where: str, name: str) -> Any:
    """An attribute of a module of the user.

    Raises:
        CaptureError: it has none of that name; the text names the closest.
    """
    found = getattr(module, name, None)
    if found is None:
        names = [n for n, value in vars(module).items() if callable(value)]
        hint = did_you_mean(name, [n for n in names if not n.startswith("_")])
        raise CaptureError(f"{where} has no {name!r}", hint=hint)
    return found


def import_named(where: str) -> ModuleType:
    """A module, by the path of its file or by its dotted name.

    Raises:
        CaptureError: there is none, or it fails.
    """
    path = Path(where)
    return _import_file(path) if path.suffix == ".py" else _import_module(where)


@contextmanager
def import_from(where: str) -> Generator[None]:
    """Lets a file import its neighbours, as it could if it were run as a script.

    For a module's dotted name the current folder counts as on the path.
    """
    path = Path(where)
    entry = str((path.parent if path.suffix == ".py" else Path()).resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _import_file(path: Path) -> ModuleType:
    """Runs a Python file as a module of its own."""
    if not path.is_file():
        raise CaptureError(f"there is no file {path}")
    # A name of its own, so that no file shadows a module that is called as it is.
    name = "edge_trt_model_" + re.sub(r"\W", "_", path.stem)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look a class's module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise located(error, f"{path} could not be imported") from error
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise CaptureError(
                f"there is no module {name!r}", hint="give file.py:name or package.module:name"
            ) from error
        raise located(error, f"{name} could not be imported") from error
    except Exception as error:
        raise located(error, f"{name} could not be imported") from error


def located(error: BaseException, what: str) -> CaptureError:
    """An error that says what failed, why, and in which line of the user's code."""
    line, source = user_line(error)
    return CaptureError(f"{what}: {reason(error)}{line}", source=source)


def user_line(error: BaseException) -> tuple[str, str]:
    """`` at file:line in f: code`` and ``file:line`` of the innermost frame of the user."""
    found: traceback.FrameSummary | None = None
    for chained in chain(error):
        frames = traceback.extract_tb(chained.__traceback__)
        mine = [frame for frame in frames if is_user_code(frame.filename)]
        # Frames below our own call: its caller is in no traceback that starts there.
        found = mine[-1] if mine else found
        if isinstance(chained, SyntaxError) and chained.filename:
            source = f"{chained.filename}:{chained.lineno}"
            return f" at {source}: {(chained.text or '').strip()}", source
    if found is None:
        return "", ""
    source = f"{found.filename}:{found.lineno}"
    return f" at {source} in {found.name}: {found.line}", source


def current_line() -> tuple[str, str]:
    """The same of the innermost frame of the user that is running now."""
    for frame, number in traceback.walk_stack(None):
        code = frame.f_code
        if is_user_code(code.co_filename):
            source = f"{code.co_filename}:{number}"
            text = linecache.getline(code.co_filename, number).strip(" \n:")
            return f" at {source} in {code.co_name}: {text}", source
    return "", ""


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it came from, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def reason(error: BaseException) -> str:
    """The first sentence of what an exception says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = (lines[0] if lines else type(error).__name__).rstrip(".")
    first = first if len(first) <= _LONGEST else f"{first[:_LONGEST]}..."
    plain = isinstance(error, RuntimeError | ValueError) or not lines
    return first if plain else f"{type(error).__name__}: {first}"


def is_user_code(filename: str) -> bool:
    """Whether a file is neither torch's, nor Python's, nor ours."""
    torch = sys.modules.get("torch")
    theirs = str(Path(torch.__file__).parent) if torch and torch.__file__ else _HERE
    if filename.startswith(("<", theirs, _HERE)):
        return False
    return not filename.startswith(_STDLIB) or "site-packages" in filename
