# SPDX-License-Identifier: Apache-2.0
"""The files of `data`: read when something of them is asked for, and each of them once."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).with_name("data")


def read(name: str) -> dict[str, Any]:
    """What a TOML file holds."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # JetPack 6
        import tomli as tomllib
    return tomllib.loads(_text(name))


@cache
def _index() -> dict[str, Any]:
    return read("index.toml")


def sources(table: Literal["facts", "power"]) -> dict[str, str]:
    """What each source tag in that table of the boards' files stands for."""
    return dict(_index()["sources"][table])


def board_names() -> tuple[str, ...]:
    """Every board that has a file, oldest first."""
    return tuple(_index()["boards"])


@cache
def board(name: str) -> dict[str, Any]:
    """What the file of a board holds; KeyError for a name that has none."""
    if name not in board_names():
        raise KeyError(name)
    return read(f"boards/{name}.toml")


def boards_naming(text: str) -> tuple[str, ...]:
    """The boards in whose file a text occurs somewhere: few, so that few have to be parsed."""
    return tuple(name for name in board_names() if text in _text(f"boards/{name}.toml"))


@cache
def _text(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")
