# SPDX-License-Identifier: Apache-2.0
"""Whether clocks are locked, as jetson_clocks does it: the lowest allowed clock is the highest.

A benchmark with floating clocks measures the governor as well. CPU and GPU tell it to everybody;
the memory's clock (EMC) is in debugfs, which only root may read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_trt_jetson import files
from edge_trt_jetson.telemetry.engines import gpu_devices

_EMC = "sys/kernel/debug/bpmp/debug/clk/emc"


@dataclass(frozen=True, slots=True)
class Part:
    """State of one part's clock.

    Attributes:
        name: `cpu`, `gpu` or `emc`.
        locked: Whether it can't move; None if unknown.
        hz: The clock that it is locked to, or the highest allowed, in Hz; None if unknown.
        problem: Why it is unknown; empty otherwise.
    """

    name: str
    locked: bool | None
    hz: int | None = None
    problem: str = ""

    def __str__(self) -> str:
        if self.locked is None:
            return f"{self.name}: unavailable ({self.problem})"
        state = "locked at" if self.locked else "floating up to"
        return f"{self.name}: {state} {(self.hz or 0) / 1e6:.0f} MHz"


@dataclass(frozen=True, slots=True)
class Clocks:
    """State of the clocks of CPU, GPU and memory."""

    parts: tuple[Part, ...]

    @property
    def locked(self) -> bool | None:
        """Whether all are locked that tell it; None if neither CPU nor GPU tells it."""
        states = {part.name: part.locked for part in self.parts}
        if states.get("cpu") is None or states.get("gpu") is None:
            return False if False in states.values() else None
        return False not in states.values()

    @property
    def word(self) -> str:
        """`locked`, `floating` or `unknown`."""
        return {True: "locked", False: "floating", None: "unknown"}[self.locked]

    def __str__(self) -> str:
        return f"{self.word} ({'; '.join(map(str, self.parts))})"


def read(root: str | Path = "/") -> Clocks:
    """The state below `root`, from the kernel's files."""
    root = Path(root)
    cpus = root / "sys/devices/system/cpu"
    cores = [
        cpus / name / "cpufreq"
        for name in files.names(cpus)[0]
        if re.fullmatch(r"cpu\d+", name) and files.text(cpus / name / "online") != "0"
    ]
    return Clocks(
        (
            _part("cpu", cores, "scaling_{}_freq", 1000),
            _part("gpu", gpu_devices(root), "{}_freq", 1),
            _emc(root / _EMC),
        )
    )


def _part(name: str, folders: list[Path], pattern: str, unit: int) -> Part:
    """A part is locked when all of its clocks are."""
    low, high = ([_number(f / pattern.format(w)) for f in folders] for w in ("min", "max"))
    pairs = [
        (a, b)
        for a, b in zip(low, high, strict=True)
        if not isinstance(a, str) and not isinstance(b, str)
    ]
    if not pairs:
        problem = next((p for p in (*low, *high) if isinstance(p, str)), files.ABSENT)
        return Part(name, None, None, problem)
    return Part(name, all(a == b for a, b in pairs), max(b for _, b in pairs) * unit)


def _emc(clock: Path) -> Part:
    rate, most = _number(clock / "rate"), _number(clock / "max_rate")
    if isinstance(rate, str) or isinstance(most, str):
        return Part("emc", None, None, rate if isinstance(rate, str) else str(most))
    held = _number(clock / "mrq_rate_locked")
    return _judged(rate, most, None if isinstance(held, str) else held)


def _judged(rate: int, most: int, held: int | None) -> Part:
    """The memory's clock. Only its lock tells for certain.

    A busy memory runs at its highest clock by itself, and one that a power mode caps is locked
    below it.
    """
    locked = rate == most if held is None else held == 1
    return Part("emc", locked, rate if locked else most)


def _number(path: Path) -> int | str:
    """The number in a file, or why there is none."""
    source = files.Source(path)
    value = source.number()
    source.close()
    return source.problem if value is None else value


_SHOWN = re.compile(
    r"^(?P<name>cpu\d+|GPU|EMC)\b.*?\bMinFreq=(?P<low>\d+)\b.*?\bMaxFreq=(?P<high>\d+)\b"
    r"(?:.*?\bCurrentFreq=(?P<now>\d+)\b)?(?:.*?\bFreqOverride=(?P<held>[01])\b)?"
)


def completed(state: Clocks, shown: str) -> Clocks:
    """Fill in what the kernel's files did not tell from what `jetson_clocks --show` printed.

    Args:
        state: What `read` gave.
        shown: The output; root alone gets one.
    """
    asked = {part.name: part for part in parse_show(shown).parts if part.locked is not None}
    return Clocks(tuple(asked.get(p.name, p) if p.locked is None else p for p in state.parts))


def parse_show(text: str) -> Clocks:
    """The state in what `jetson_clocks --show` prints. Cores that are offline don't count."""
    found: dict[str, list[tuple[bool, int]]] = {"cpu": [], "gpu": []}
    emc = Part("emc", None, None, "not in the list")
    for line in text.splitlines():
        match = _SHOWN.match(line.strip())
        if match is None or "Online=0" in line:
            continue
        low, high = int(match["low"]), int(match["high"])
        if match["name"] == "EMC":
            held = int(match["held"]) if match["held"] else None
            emc = _judged(int(match["now"]), high, held) if match["now"] else emc
            continue
        name = match["name"].lower().rstrip("0123456789")
        found[name].append((low == high, high * (1000 if name == "cpu" else 1)))
    parts = [
        Part(name, all(lock for lock, _ in states), max(hz for _, hz in states))
        if states
        else Part(name, None, None, "not in the list")
        for name, states in found.items()
    ]
    return Clocks((*parts, emc))
