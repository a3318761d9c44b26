# SPDX-License-Identifier: Apache-2.0
"""Lines of tegrastats as samples, from R32 (JetPack 4) to R39 (JetPack 7).

What is in a line depends on the release, the board and on whether root asked, so words are
recognised one by one and never by their place::

    07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,off] EMC_FREQ 3%@3199
    GR3D_FREQ 12%@[1300,1300] NVDLA0 off VIC 36%@115 APE 174 gpu@47.625C/47.625C
    VDD_GPU_SOC 5139mW/5139mW/5139mW

A rail's numbers are the power now, its mean and, from R39 on, its maximum; before JetPack 5 they
carry no unit. A word that isn't known is kept in `Sample.unknown`, half a line is a smaller sample:
nothing is raised.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator

from edge_trt_jetson.files import NEEDS_ROOT
from edge_trt_jetson.telemetry import board_power
from edge_trt_jetson.telemetry.heat import is_made_up, zone_name
from edge_trt_jetson.telemetry.sample import Cpu, Engine, Memory, Rail, Sample

_MHZ = r"(?:\d{1,6}|\[\d{1,6}(?:,\d{1,6})*\])"
# The engines that may have a bare number: it would look like half a rail with any other name.
_KNOWN = r"(?:EMC|GR3D\d?|NVENC\d?|NVDEC\d?|NVJPG\d?|MSENC\d?|VIC|OFA|NVDLA\d|PVA\d?|APE|SE)"
_POWER = r"-?\d{1,9}"  # below zero by a sensor's offset where nothing is drawn
_TEMPERATURE = r"-?\d{1,4}(?:\.\d{1,6})?"

_WORD = re.compile(
    rf"""(?<!\S)(?:
      (?P<stamp>\d\d-\d\d-\d{{4}}\ \d\d:\d\d:\d\d)
    | RAM\ (?P<used>\d{{1,9}})/(?P<total>\d{{1,9}})(?P<unit>[kM])B(?:\ \(lfb\ [^()]*\))?
    | SWAP\ (?P<swapped>\d{{1,9}})/(?P<swap>\d{{1,9}})(?P<swap_unit>[kM])B
      (?:\ \(cached\ \d+[kM]B\))?
    | IRAM\ \d+/\d+[kM]B(?:\ ?\(lfb\ [^()]*\))?
    | MTS\ fg\ \d+%\ bg\ \d+%
    | CPU\ \[(?P<cpus>[^\[\]]*)\]
    | (?P<zone>[A-Za-z][\w.-]*)@(?P<celsius>{_TEMPERATURE})C(?:/{_TEMPERATURE}C)?
    | (?P<rail>[A-Za-z][\w.+-]*)\ (?P<now>{_POWER})
      (?: mW/(?P<mean>{_POWER})mW(?:/{_POWER}mW)? | /(?P<bare_mean>{_POWER})(?:/{_POWER})? )
    | (?P<engine>{_KNOWN}|[A-Z][A-Z0-9]*(?=_FREQ\ )|[A-Z][A-Z0-9]*(?=\ (?:off|@|\d+%)))(?:_FREQ)?
      \ (?: (?P<off>off) | (?P<load>\d{{1,3}})%(?:@(?P<at>{_MHZ}))? | @?(?P<clock>{_MHZ}) )
    )(?!\S)""",
    re.VERBOSE | re.ASCII,
)
_CORE = re.compile(r"(\d{1,3})%(?:@(\d{1,6}))?", re.ASCII)
_UNITS = {"k": 1 << 10, "M": 1 << 20}
_OFF = -256.0  # degrees of a zone whose power is off
_NAMES = {"GR3D": "gpu", "NVDLA0": "dla0", "NVDLA1": "dla1"}


def parse(line: str) -> Sample:
    """One line as a sample. Nothing is raised, whatever the line is.

    Args:
        line: A line, with or without its line break. Its last number may be wrong if the line was
            cut off within it, which can't be seen before JetPack 5: `read` drops such lines.
    """
    return _Line(line).sample()


def read(lines: Iterable[str], cut: list[str] | None = None) -> Iterator[Sample]:
    """Samples of a log, such as an open file; a last line without line break is left out.

    Args:
        lines: The log.
        cut: Gets the line that is left out, if there is one.
    """
    for line in lines:
        if not line.strip():
            continue
        if line.endswith("\n"):
            yield parse(line)
        elif cut is not None:
            cut.append(line)


class _Line:
    """Collects what the words of a line say."""

    def __init__(self, line: str) -> None:
        self.time = math.nan
        self.cpus: tuple[Cpu, ...] = ()
        self.engines: dict[str, Engine] = {}
        self.temperatures: dict[str, float] = {}
        self.rails: list[Rail] = []
        self.memory: Memory | None = None
        self.swap: tuple[int, int] | None = None
        self.unknown: list[str] = []
        self.unavailable: dict[str, str] = {}
        end = 0
        for word in _WORD.finditer(line):
            self.unknown += line[end : word.start()].split()
            end = word.end()
            self._take(word)
        self.unknown += line[end:].split()

    def _take(self, word: re.Match[str]) -> None:
        if word["rail"]:
            self._take_rail(word)
        elif word["zone"]:
            name, celsius = zone_name(word["zone"]), float(word["celsius"])
            if celsius > _OFF and not is_made_up(name, celsius):
                self.temperatures[name] = celsius
        elif word["engine"]:
            self._take_engine(word)
        elif word["cpus"] is not None:
            self.cpus = tuple(self._cpu(core.strip()) for core in word["cpus"].split(","))
        elif word["total"]:
            unit = _UNITS[word["unit"]]
            self.memory = Memory(int(word["total"]) * unit, int(word["used"]) * unit)
        elif word["swap"]:
            unit = _UNITS[word["swap_unit"]]
            self.swap = int(word["swap"]) * unit, int(word["swapped"]) * unit
        elif word["stamp"]:
            self.time = _seconds(word["stamp"])

    def _take_rail(self, word: re.Match[str]) -> None:
        if board_power.is_connected(word["rail"]):
            mean = int(word["mean"] or word["bare_mean"]) / 1000
            self.rails.append(Rail(word["rail"], int(word["now"]) / 1000, average=mean))

    def _take_engine(self, word: re.Match[str]) -> None:
        name = _NAMES.get(word["engine"], word["engine"].lower())
        if word["off"]:
            self.engines[name] = Engine(on=False)
            return
        clock = word["at"] or word["clock"]
        hz = max(map(int, clock.strip("[]").split(","))) * 1_000_000 if clock else None
        load = int(word["load"]) / 100 if word["load"] else None
        if name == "emc" and hz is None and not load:
            return  # without root tegrastats can't read it, and prints a load of zero: no reading
        self.engines[name] = Engine(None if hz is None else hz > 0, load, hz)

    def _cpu(self, text: str) -> Cpu:
        found = _CORE.fullmatch(text)
        if found:
            hz = int(found[2]) * 1_000_000 if found[2] else None
            return Cpu(True, int(found[1]) / 100, hz)
        if text != "off":
            self.unknown.append(text)
        return Cpu(online=text != "off")

    def sample(self) -> Sample:
        """Everything together."""
        memory = self.memory
        if memory is not None and self.swap is not None:
            memory = Memory(memory.total, memory.used, *self.swap)
        if "gpu" in self.engines and "emc" not in self.engines:  # so it is to who is not root
            self.unavailable["emc"] = NEEDS_ROOT
        names = board_power.total_of(rail.name for rail in self.rails)
        return Sample(
            time=self.time,
            cpus=self.cpus,
            gpu=self.engines.pop("gpu", None),
            engines=self.engines,
            temperatures=self.temperatures,
            rails=tuple(self.rails),
            watts=board_power.total(self.rails, names),
            watts_of=names,
            memory=memory,
            unavailable=self.unavailable,
            unknown=tuple(self.unknown),
        )


def _seconds(stamp: str) -> float:
    try:
        return time.mktime(time.strptime(stamp, "%m-%d-%Y %H:%M:%S"))
    except (ValueError, OverflowError):  # a month of 13, a year before the clock's first
        return math.nan
