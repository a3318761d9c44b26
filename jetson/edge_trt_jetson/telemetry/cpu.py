# SPDX-License-Identifier: Apache-2.0
"""Load and clock of each core, memory and swap, from `/proc` and cpufreq."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edge_trt_jetson import files
from edge_trt_jetson.files import Source
from edge_trt_jetson.telemetry.sample import Cpu, Memory

_MEMORY = re.compile(
    rb"^(MemTotal|MemFree|MemAvailable|Buffers|Cached|SwapTotal|SwapFree): +(\d+)", re.MULTILINE
)


class Cpus:
    """The cores of the machine below `root`.

    Attributes:
        problem: Why loads or clocks are missing from the last look; empty if they are not, or if
            this machine has no such files.
    """

    def __init__(self, root: Path) -> None:
        """Look the cores up."""
        self._stat = Source(root / "proc/stat", 1 << 17)  # also where there are hundreds of cores
        self._before: dict[int, tuple[int, int]] = {}
        self.problem = ""
        folder = root / "sys/devices/system/cpu"
        there, _ = files.names(folder)
        self._numbers = [int(name[3:]) for name in there if re.fullmatch(r"cpu\d+", name)]
        # Cores of one cluster share a clock, and a link: it is read once for all of them.
        links = {n: os.path.realpath(folder / f"cpu{n}/cpufreq") for n in self._numbers}
        clocks = {
            link: Source(Path(link, "scaling_cur_freq")) for link in dict.fromkeys(links.values())
        }
        self._clocks = list(clocks.values())
        self._clock_of = {n: self._clocks.index(clocks[link]) for n, link in links.items()}

    def read(self) -> tuple[Cpu, ...]:
        """Every core by number; loads are since the last call, so the first one has none."""
        now = self._times()
        clocks = [clock.number() for clock in self._clocks]
        self.problem = self._why(now)
        cpus: list[Cpu] = []
        for n in sorted({*self._numbers, *now}):
            if now and n not in now:
                cpus.append(Cpu(online=False))
                continue
            kilohertz = clocks[self._clock_of[n]] if n in self._clock_of else None
            load = _load(self._before.get(n), now.get(n))
            cpus.append(Cpu(True, load, None if kilohertz is None else kilohertz * 1000))
        self._before = now
        return tuple(cpus)

    def _times(self) -> dict[int, tuple[int, int]]:
        """Busy and all ticks of each core that is online."""
        data = self._stat.read() or b""
        found: dict[int, tuple[int, int]] = {}
        for line in data.partition(b"\nintr")[0].split(b"\n"):
            if not line.startswith(b"cpu") or line.startswith(b"cpu "):
                continue
            name, *fields = line.split()
            try:
                ticks = [int(field) for field in fields[:8]]  # guests are within user and nice
                number = int(name[3:])
            except ValueError:  # half a line
                continue
            if len(ticks) >= 5:
                whole = sum(ticks)
                found[number] = (whole - ticks[3] - ticks[4], whole)
        return found

    def _why(self, now: dict[int, tuple[int, int]]) -> str:
        lost = next((c.problem for c in self._clocks if c.problem not in ("", files.ABSENT)), "")
        clock = f"scaling_cur_freq {lost}" if lost else ""
        if now:
            return clock
        stat = f"/proc/stat {self._stat.problem or 'tells no cores'}"
        return f"{stat}; {clock}" if clock else stat

    def close(self) -> None:
        """Give the descriptors back."""
        for source in (self._stat, *self._clocks):
            source.close()


def _load(before: tuple[int, int] | None, now: tuple[int, int] | None) -> float | None:
    if before is None or now is None or now[1] <= before[1]:
        return None
    return min(max((now[0] - before[0]) / (now[1] - before[1]), 0.0), 1.0)


class MemoryReader:
    """Memory and swap of the machine below `root`.

    Attributes:
        problem: Why the last look gave nothing; empty if it gave something.
    """

    def __init__(self, root: Path) -> None:
        """Open the file."""
        self._source = Source(root / "proc/meminfo", 1 << 13)
        self.problem = ""

    def read(self) -> Memory | None:
        """What is in use: all but what programs could still get. None if it can't be read."""
        data = self._source.read()
        self.problem = self._source.problem if data is None else "" if data else files.EMPTY
        found = {key: int(kb) * 1024 for key, kb in _MEMORY.findall(data or b"")}
        total = found.get(b"MemTotal")
        if total is None:
            self.problem = self.problem or "/proc/meminfo lacks MemTotal"
            return None
        reclaimable = [found[k] for k in (b"MemFree", b"Buffers", b"Cached") if k in found]
        if b"MemAvailable" not in found and not reclaimable:
            self.problem = "/proc/meminfo doesn't say what is free"
            return None  # and not that all of it is in use
        available = found.get(b"MemAvailable", sum(reclaimable))
        swap, free = found.get(b"SwapTotal"), found.get(b"SwapFree")
        used = None if swap is None or free is None else swap - free
        return Memory(total, total - available, swap, used)

    def close(self) -> None:
        """Give the descriptor back."""
        self._source.close()


def read_memory(root: Path) -> Memory | None:
    """One look at memory and swap; None if they can't be read."""
    reader = MemoryReader(root)
    try:
        return reader.read()
    finally:
        reader.close()
