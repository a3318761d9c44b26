# SPDX-License-Identifier: Apache-2.0
"""Clocks that each power mode allows, for estimates on a machine that is not the board.

The board itself has them in nvpmodel's configuration, where carriers and releases differ: what is
read there is right, and this (the table `power` of a file in `data/boards`) is only what a host can
know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from edge_trt_jetson import tables

FIELDS = ("gpu_mhz", "gpu_sms", "dla_mhz", "emc_mhz")


@dataclass(frozen=True, slots=True)
class ModeCaps:
    """One power mode.

    Attributes:
        name: as nvpmodel calls it, without `MODE_`: `MAXN`, `30W`.
        gpu_mhz: greatest clock of the GPU.
        gpu_sms: streaming multiprocessors that are not gated.
        dla_mhz: greatest clock of a DLA core (of the slower one where they differ).
        emc_mhz: greatest clock of the memory.
        unsure: names of the values that no source confirmed.
    """

    name: str
    gpu_mhz: float
    gpu_sms: int
    dla_mhz: float
    emc_mhz: float
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoardCaps:
    """The power modes of a board.

    Attributes:
        modes: by name, the fastest first.
        default: name of the mode that a flashed board starts in.
        idle_watts: what the module takes while GPU and DLA do nothing.
        unsure: which of the two are not confirmed.
    """

    modes: Mapping[str, ModeCaps]
    default: str
    idle_watts: float
    unsure: tuple[str, ...] = ()


def sources() -> dict[str, str]:
    """What the source of each value stands for."""
    return tables.sources("power")


def boards() -> tuple[str, ...]:
    """Names of the boards whose modes are known: those with DLA that can be a target."""
    return tuple(name for name in tables.board_names() if "power" in tables.board(name))


@cache
def caps_of(board: str) -> BoardCaps | None:
    """The power modes of a board by its name, or None if they are not known."""
    raw = tables.board(board).get("power") if board in tables.board_names() else None
    if raw is None:
        return None
    modes = {mode["name"]: _mode(mode) for mode in raw["modes"]}
    return BoardCaps(
        modes, raw["default"]["value"], raw["idle_watts"]["value"],
        _unsure(raw, ("default", "idle_watts")),
    )  # fmt: skip


def _mode(raw: Mapping[str, Any]) -> ModeCaps:
    values = {name: raw[name]["value"] for name in FIELDS}
    return ModeCaps(raw["name"], **values, unsure=_unsure(raw, FIELDS))


def _unsure(raw: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if not raw[name]["certain"])
