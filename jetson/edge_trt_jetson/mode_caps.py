# SPDX-License-Identifier: Apache-2.0
"""Clocks that each power mode allows, for estimates on a machine that is not the board.

The board itself has them in nvpmodel's configuration, where carriers and releases differ: what is
read there is right, and this table (`mode_caps.json`) is only what a host can know. Every value is
`[value, source]` or `[value, source, "unsure"]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

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


@cache
def _data() -> dict[str, Any]:
    text = Path(__file__).with_name("mode_caps.json").read_text("utf-8")
    return json.loads(text)


def sources() -> dict[str, str]:
    """What each source tag in `mode_caps.json` stands for."""
    return dict(_data()["sources"])


def boards() -> tuple[str, ...]:
    """Names of the boards in the table: those with DLA that can be a target."""
    return tuple(_data()["boards"])


@cache
def caps_of(board: str) -> BoardCaps | None:
    """The power modes of a board by its name, or None if the table lacks it."""
    raw = _data()["boards"].get(board)
    if raw is None:
        return None
    modes = {mode["name"]: _mode(mode) for mode in raw["modes"]}
    unsure = tuple(name for name in ("default", "idle_watts") if len(raw[name]) > 2)
    return BoardCaps(modes, raw["default"][0], raw["idle_watts"][0], unsure)


def _mode(raw: dict[str, Any]) -> ModeCaps:
    values = {name: raw[name][0] for name in FIELDS}
    return ModeCaps(
        raw["name"], **values, unsure=tuple(name for name in FIELDS if len(raw[name]) > 2)
    )
