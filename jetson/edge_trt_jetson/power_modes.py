# SPDX-License-Identifier: Apache-2.0
"""Power modes of a board, from its nvpmodel.conf, and which of them is active.

Numbers of modes mean something else in each configuration (0 is MAXN on AGX Orin, and 15 W on
Orin Nano), so the board's own file is always read, and modes are asked for by name. The file::

    < PARAM TYPE=CLOCK NAME=GPU >
    MAX_FREQ /sys/...
    < POWER_MODEL ID=2 NAME=MODE_30W >
    CPU_ONLINE CORE_8 0
    TPC_POWER_GATING TPC_PG_MASK 240
    GPU MAX_FREQ 612000000
    < PM_CONFIG DEFAULT=2 >

Clocks of cores are in kHz there, all others in Hz; -1 is no cap, and so is 0 for the memory (EMC).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_trt_jetson import files
from edge_trt_jetson.errors import BoardError

CONF = "etc/nvpmodel.conf"
STATUS = "var/lib/nvpmodel/status"

_HEAD = re.compile(r"<\s*(\w+)\s*([^>]*)>")
_FIELD = re.compile(r"(\w+)=(\S+)")
_NO_CAP = (-1, 2**31 - 1, 2**63 - 1)  # the others are what the first is turned into
_BEST = ("MAXN_SUPER", "MAXN SUPER", "MAXN")


@dataclass(frozen=True, slots=True)
class PowerMode:
    """One mode.

    Attributes:
        id: Its number in this file.
        name: Its name, such as `MODE_30W`.
        settings: What it sets: (parameter, argument) to the text of the value.
    """

    id: int
    name: str
    settings: Mapping[tuple[str, str], str]

    @property
    def watts(self) -> int | None:
        """The watts in the name, as in `MODE_30W`."""
        found = re.search(r"(\d+)W", self.name)
        return int(found[1]) if found else None

    @property
    def cores(self) -> int | None:
        """Cores that stay online; None if the mode doesn't say."""
        states = [v for (name, _), v in self.settings.items() if name == "CPU_ONLINE"]
        return sum(state == "1" for state in states) if states else None

    @property
    def cpu_hz(self) -> int | None:
        """The highest cap of a core's clock in Hz; None if one has no cap."""
        caps = [
            self._cap(name)
            for name, argument in self.settings
            if argument == "MAX_FREQ" and re.match(r"CPU_", name)
        ]
        known = [cap for cap in caps if cap is not None]
        return max(known) * 1000 if known and len(known) == len(caps) else None

    @property
    def gpu_hz(self) -> int | None:
        """Cap of the GPU's clock in Hz; None without one."""
        return self._cap("GPU")

    @property
    def emc_hz(self) -> int | None:
        """Cap of the memory's clock in Hz; None without one."""
        return self._cap("EMC") or None

    def dla_hz(self, core: int) -> int | None:
        """Cap of a DLA core's clock in Hz; None without one. It is no proof of such a core."""
        return self._cap(f"DLA{core}_CORE")

    @property
    def gating(self) -> Mapping[tuple[str, str], str]:
        """Settings of parts of the GPU that lose their power (TPCs, FBPs, GPCs)."""
        return {key: value for key, value in self.settings.items() if "POWER_GATING" in key[0]}

    @property
    def online(self) -> Mapping[tuple[str, str], str]:
        """Settings of cores that are on or off."""
        return {key: value for key, value in self.settings.items() if key[0] == "CPU_ONLINE"}

    def _cap(self, parameter: str) -> int | None:
        text = self.settings.get((parameter, "MAX_FREQ"), "-1")
        try:
            value = int(text)
        except ValueError:  # half a line
            return None
        return None if value in _NO_CAP else value

    def __str__(self) -> str:
        return f"{self.name} (id {self.id})"


@dataclass(frozen=True, slots=True)
class PowerModes:
    """The modes of a board.

    Attributes:
        modes: In the order of the file.
        default: Number of the mode after flashing; None if the file doesn't say.
        current: The active mode; None if unknown.
        problem: Why the active mode is unknown; empty otherwise.
    """

    modes: tuple[PowerMode, ...]
    default: int | None
    current: PowerMode | None = None
    problem: str = ""

    @property
    def doubt(self) -> str:
        """What is wrong with the file; empty if it is whole, which PM_CONFIG at its end shows."""
        if self.default is not None:
            return ""
        return f"/{CONF} ends in the middle (no PM_CONFIG): modes and their settings may be missing"

    def find(self, wanted: str) -> PowerMode:
        """The mode of a name, of a part of it, or of a number.

        Args:
            wanted: `MODE_30W`, `30W`, `maxn`, `2`, or `best` (see `best`). Upper and lower case are
                the same; `30W` is `MODE_30W` if there is one, else the one mode that contains it.

        Raises:
            BoardError: There is none, or there are several; it names those that there are.
        """
        if wanted.lower() == "best":
            return self.best()
        text = _plain(wanted)
        part = re.compile(rf"(?<![A-Z0-9]){re.escape(text)}(?![A-Z0-9])" if text else r"(?!)")
        found = [mode for mode in self.modes if _plain(mode.name) in (text, f"MODE {text}")]
        found = found or [mode for mode in self.modes if str(mode.id) == text]
        found = found or [mode for mode in self.modes if part.search(_plain(mode.name))]
        if len(found) == 1:
            return found[0]
        says = "names several modes" if found else "is no power mode of this board"
        names = ", ".join(str(mode) for mode in found or self.modes)
        raise BoardError(f"{wanted!r} {says}", hint=f"it has {names}" if not found else names)

    def best(self) -> PowerMode:
        """The fastest mode: MAXN_SUPER, MAXN, else most watts and then most cores.

        Raises:
            BoardError: There are no modes.
        """
        if not self.modes:
            raise BoardError("this board has no power modes", hint=f"/{CONF} lists none")
        for name in _BEST:
            found = next((m for m in self.modes if m.name.upper().startswith(name)), None)
            if found is not None:
                return found
        return max(self.modes, key=lambda mode: (mode.watts or 0, mode.cores or 0))


def _plain(name: str) -> str:
    return name.strip().upper().replace("_", " ")


def parse_conf(text: str) -> PowerModes:
    """The modes of a configuration. Half-written lines and unknown sections are passed over."""
    modes: list[PowerMode] = []
    default: int | None = None
    settings: dict[tuple[str, str], str] | None = None
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        head = _HEAD.match(line)
        if head:
            fields = dict(_FIELD.findall(head[2]))
            settings = None
            if head[1] == "POWER_MODEL" and fields.get("ID", "").isdecimal():
                settings = {}
                name = fields.get("NAME", fields["ID"])
                modes.append(PowerMode(int(fields["ID"]), name, settings))
            elif head[1] == "PM_CONFIG" and fields.get("DEFAULT", "").isdecimal():
                default = int(fields["DEFAULT"])
        elif settings is not None:
            words = line.split()
            if len(words) == 3:
                settings[words[0], words[1]] = words[2]
    return PowerModes(tuple(modes), default)


def parse_status(text: str) -> int | None:
    """Number of the active mode in `/var/lib/nvpmodel/status` (`pmode:0002 fmode:quiet`)."""
    found = re.search(r"\bpmode:(\d{1,9})", text)
    return int(found[1]) if found else None


def parse_query(text: str) -> int | None:
    """Number of the active mode in what `nvpmodel -q` prints, whatever it warns of before."""
    found = re.search(r"\bNV Power Mode: *\S.*\n+(\d{1,9})\s*$", text, re.MULTILINE)
    return int(found[1]) if found else None


def read(root: str | Path = "/") -> PowerModes:
    """The modes of the board below `root`, and the active one by its status file.

    Raises:
        BoardError: There is no configuration, or it has no modes.
    """
    root = Path(root)
    conf = files.below(root, CONF)
    try:
        text = conf.read_text("utf-8", "replace")
    except OSError as error:
        raise BoardError(
            f"/{CONF}: {files.why(error)}",
            hint="power modes exist on a Jetson; in a container mount that file and "
            "/var/lib/nvpmodel read-only",
        ) from None
    modes = parse_conf(text)
    if not modes.modes:
        raise BoardError(f"/{CONF} lists no power modes", hint="flash the board's own file again")
    number = parse_status(files.text(root / STATUS))
    if number is None:
        problem = f"/{STATUS} doesn't say it; `sudo nvpmodel -q` may"
        return PowerModes(modes.modes, modes.default, None, problem)
    current = next((mode for mode in modes.modes if mode.id == number), None)
    problem = "" if current else f"/{STATUS} says {number}, which /{CONF} doesn't have"
    return PowerModes(modes.modes, modes.default, current, problem)
