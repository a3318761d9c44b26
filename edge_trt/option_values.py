# SPDX-License-Identifier: Apache-2.0
"""Values of compile options: from the command line's text, and from any Python caller."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from edge_trt.errors import OptionError
from edge_trt_runtime.names import close_matches, did_you_mean

if TYPE_CHECKING:
    import dataclasses

    from edge_trt.options import Option

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def parse_names(text: str) -> tuple[str, ...]:
    """Split a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def parse_whole_number(text: str) -> int:
    """Read a whole number.

    Raises:
        OptionError: When the text is none.
    """
    try:
        return int(text)
    except ValueError:
        raise OptionError(
            f"{text!r} is not a whole number", hint="write digits, such as 3"
        ) from None


def parse_size(text: str, option: str = "") -> int:
    """Read a number of bytes: ``1048576``, ``512MiB``, ``1.5G``; units are powers of 1024.

    Raises:
        OptionError: When the text is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise OptionError(
            f"{text!r} is not a size", option=option, hint="write bytes or a unit, such as 512MiB"
        )
    return int(float(match[1]) * _UNITS[match[2]])


def unknown(kind: str, given: str, known: Iterable[str], *, option: str) -> OptionError:
    """Return the error about a name that does not exist, with those that look like it."""
    known = list(known)
    return OptionError(
        f"unknown {kind} {given!r}",
        option=option,
        matches=close_matches(given, known),
        hint=did_you_mean(given, known),
    )


def parse_path(text: str) -> str:
    """Return the text: a path needs no reading."""
    return text


def parse_data(text: str) -> str:
    """Return the text: what it names is looked up when it is needed."""
    return text


def parse_profile(text: str) -> tuple[str, ...]:
    """Return the text alone: its commas separate the dimensions of one profile."""
    return (text,)


def read_profile(text: str) -> dict[str, tuple[int, int, int]]:
    """Read a profile: ``batch=1..4..8,height=224`` gives least, usual and largest size by name.

    Raises:
        OptionError: When the text is none.
    """
    sizes: dict[str, tuple[int, int, int]] = {}
    for part in parse_names(text):
        match = re.fullmatch(r"(\w+)=(\d+)(?:\.\.(\d+))?(?:\.\.(\d+))?", part)
        numbers = [int(number) for number in match.groups()[1:] if number] if match else []
        if match is None or numbers != sorted(numbers) or match[1] in sizes:
            raise OptionError(
                f"can't read {part!r} in the profile {text!r}",
                option="profiles",
                hint="write NAME=min..opt..max once for each dimension, as in batch=1..4..8",
            )
        sizes[match[1]] = (numbers[0], numbers[1 if len(numbers) == 3 else -1], numbers[-1])
    if not sizes:
        raise OptionError("a profile is empty", option="profiles", hint="write batch=1..4..8")
    return sizes


def _profiles(value: Any) -> list[str]:
    """Return profiles, each given as a text or by the names of its sizes, as texts."""
    given: list[Any] = [value] if isinstance(value, str | Mapping) else list(value)
    texts = [item if isinstance(item, str) else write_profile(item) for item in given]
    for text in texts:
        read_profile(text)
    return texts


def write_profile(sizes: Mapping[str, object]) -> str:
    """Write a profile that is given as sizes, or (min, opt, max), by name."""
    parts = {
        name: (size,) if isinstance(size, int) else cast("Iterable[int]", size)
        for name, size in sizes.items()
    }
    return ",".join(f"{name}={'..'.join(map(str, numbers))}" for name, numbers in parts.items())


def normalised(field: dataclasses.Field[Any], option: Option, value: Any) -> Any:
    """Return the stored form of a field's value.

    Raises:
        OptionError: When the value is of the wrong type, unknown, or out of range.
    """
    name = field.name
    if option.parse is parse_profile:
        value = _profiles(value)
    if option.repeated:
        return _names(name, value)
    if option.parse is None and not isinstance(value, bool):
        raise OptionError(f"{name} is {value!r}", option=name, hint="give True or False")
    if value is None and field.default is None:
        return None
    if option.parse is parse_data:
        return str(cast("Any", value)) if isinstance(value, os.PathLike) else value
    if option.parse is parse_path:
        return _path(name, value)
    if option.parse is parse_size and isinstance(value, str):
        value = parse_size(value, name)
    if option.low is not None:
        return _number(name, value, option.low, option.high)
    if option.choices and value not in option.choices:
        given = set(re.split(r"\W+", str(value)))
        if name == "precision" and "int8" in given and given <= {*option.choices}:
            raise OptionError(
                f"{name} is one word, and {value!r} is several",
                option=name,
                hint="say int8: what it leaves runs in fp16 in TensorRT's engines",
            )
        raise unknown(name, str(value), option.choices, option=name)
    return value


def _names(name: str, value: object) -> tuple[str, ...]:
    """Return names as a tuple without repetitions; one name alone may come as a string."""
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, Iterable):
        raise OptionError(f"{name} is {value!r}", option=name, hint="give a name or several names")
    names = [_operator_name(item) for item in cast("Iterable[object]", given)]
    for item in names:
        if not isinstance(item, str) or not item:
            raise OptionError(f"{name} holds {item!r}", option=name, hint="give names as text")
    if name == "target" and not names:
        raise OptionError(
            "no target is given", option=name, hint="name at least one, such as target='cpu'"
        )
    return tuple(dict.fromkeys(cast("list[str]", names)))


def _operator_name(item: object) -> object:
    """An operator such as ``torch.ops.aten.relu.default`` by its name; torch is not imported."""
    return str(item) if type(item).__module__ == "torch._ops" else item


def _path(name: str, value: object) -> str:
    """Return a path as text."""
    if isinstance(value, str | os.PathLike):
        return str(os.fspath(cast("str | os.PathLike[str]", value)))
    raise OptionError(f"{name} is {value!r}", option=name, hint="give a path")


def _number(name: str, value: object, low: int, high: int | None) -> int:
    """Return a whole number from ``low`` to ``high``."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if number is not None and low <= number and (high is None or number <= high):
        return number
    limit = f"a whole number from {low}" + ("" if high is None else f" to {high}")
    raise OptionError(f"{name} is {value!r}", option=name, hint=f"give {limit}")
