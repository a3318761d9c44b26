# SPDX-License-Identifier: Apache-2.0
"""Jetson modules and what they have, each read from a file in `data/boards`.

Every value there names its source, which `data/index.toml` describes, and whether that confirms it.
Files are read when they are asked for. A board that only ran releases older than Python 3.10 is
known, so that it can be named in a message, but it is not a target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from edge_trt_jetson import tables

Value = int | float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One value about a board, with where it comes from and whether that is confirmed."""

    value: Value
    source: str
    certain: bool


@dataclass(frozen=True, slots=True)
class Board:
    """One Jetson module.

    Attributes:
        name: Target name, as in `--target agx-orin-64gb`.
        title: NVIDIA's name.
        family: Modules that share a socket and a device tree, and differ in size.
        modules: Part numbers, such as `p3701-0005`.
        soc: Chip, such as `tegra234`.
        sm: CUDA compute capability, such as `8.7`.
        sms: Streaming multiprocessors.
        cuda_cores: CUDA cores.
        dla_cores: Deep learning accelerators. TensorRT may offer fewer: ask it on the board.
        dla_version: DLA generation; 0 without DLA.
        ram_gb: Memory, shared by CPU and GPU.
        bandwidth_gbs: Peak memory bandwidth in GB/s.
        jetpack: JetPack lines that run on it, such as `("5", "6", "7.2")`.
        facts: The same values with source and certainty.
    """

    name: str
    title: str
    family: str
    modules: tuple[str, ...]
    soc: str
    sm: str
    sms: int
    cuda_cores: int
    dla_cores: int
    dla_version: int
    ram_gb: int
    bandwidth_gbs: float
    jetpack: tuple[str, ...]
    facts: Mapping[str, Fact]

    @property
    def supported(self) -> bool:
        """Whether a JetPack with Python 3.10 or newer exists for it (JetPack 6 on)."""
        return any(int(line.split(".")[0]) >= 6 for line in self.jetpack)

    @property
    def compute_capability(self) -> tuple[int, int]:
        """Compute capability as (major, minor)."""
        major, minor = self.sm.split(".")
        return int(major), int(minor)

    def fact(self, field: str) -> Fact:
        """Return a value with its source; raises KeyError for names that carry no fact."""
        return self.facts[field]

    def unsure(self) -> tuple[str, ...]:
        """Names of the values that no source confirmed."""
        return tuple(name for name, fact in self.facts.items() if not fact.certain)

    def __str__(self) -> str:
        return f"{self.name} ({self.title})"


def _fact(raw: Mapping[str, Any]) -> Fact:
    value = raw["value"]
    if isinstance(value, list):
        value = tuple(str(item) for item in cast("list[object]", value))
    return Fact(value, raw["source"], raw["certain"])


@cache
def _board(name: str) -> Board:
    raw = tables.board(name)
    facts = {key: _fact(entry) for key, entry in raw["facts"].items()}
    values: dict[str, Any] = {key: fact.value for key, fact in facts.items()}
    return Board(name=name, title=raw["title"], family=raw["family"], **values, facts=facts)


@cache
def all_boards() -> tuple[Board, ...]:
    """Every known board, oldest first."""
    return tuple(_board(name) for name in tables.board_names())


def sources() -> dict[str, str]:
    """What the source of each fact stands for."""
    return tables.sources("facts")


def targets() -> tuple[str, ...]:
    """Names of the boards that a bundle can be compiled for."""
    return tuple(board.name for board in all_boards() if board.supported)


def find(name: str) -> Board | None:
    """The board of that name, or None."""
    return _board(name) if name in tables.board_names() else None


@cache
def find_module(part: str) -> Board | None:
    """The board with that part number (`p3767-0000`), or None."""
    named = (_board(name) for name in tables.boards_naming(part))
    return next((board for board in named if part in board.modules), None)
