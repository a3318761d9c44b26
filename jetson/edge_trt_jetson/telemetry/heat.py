# SPDX-License-Identifier: Apache-2.0
"""Temperatures, fans, and what throttles the board: alarms, cooling, over-current events."""

from __future__ import annotations

import re
from pathlib import Path

from edge_trt_jetson import files
from edge_trt_jetson.files import Source
from edge_trt_jetson.telemetry.rails import channel_label, nameless, power_monitors
from edge_trt_jetson.telemetry.sample import Fan

_OFF = -256000  # millidegrees of a zone whose power is off
_FULL = 255  # of a pwm file

# Orin and Thor (soctherm): what the three counters count.
_EVENTS = {
    "oc1_event_cnt": "voltage too low",
    "oc2_event_cnt": "mean current too high",
    "oc3_event_cnt": "current too high for a moment",
}
# Cooling devices that cool or warn, and don't slow anything down.
_HARMLESS = re.compile(r"fan|hot-surface|TCC Offset", re.IGNORECASE)


def zone_name(text: str) -> str:
    """One name for a zone in all releases: `GPU-therm`, `gpu-thermal` and `GPU` are `gpu`."""
    return re.sub(r"[-_](?:therm|thermal|tegra)$", "", text.strip()).lower()


def is_made_up(name: str, celsius: float) -> bool:
    """Whether a zone only says something: that of the PMIC has no sensor, and a fixed value."""
    return name.startswith("pmic") and celsius in (50.0, 100.0)


class Thermal:
    """Thermal zones below `root`."""

    def __init__(self, root: Path) -> None:
        """Look the zones up."""
        for folder in (root / "sys/devices/virtual/thermal", root / "sys/class/thermal"):
            there, _ = files.names(folder)
            zones = [folder / name for name in there if name.startswith("thermal_zone")]
            if zones:
                break
        self._zones: dict[str, Source] = {}
        for zone in zones:
            name = zone_name(files.text(zone / "type")) or zone.name
            # Zones of one type (several batteries, say) keep their numbers.
            self._zones[zone.name if name in self._zones else name] = Source(zone / "temp")

    def read(self, unavailable: dict[str, str]) -> dict[str, float]:
        """Degrees Celsius by zone, without zones that are off; what is missing is told why."""
        found: dict[str, float] = {}
        for name, source in self._zones.items():
            value = source.number()
            if value is None:
                if source.problem != files.POWERED_OFF:
                    unavailable[f"{name} temperature"] = source.problem
                continue
            if value > _OFF and not is_made_up(name, value / 1000):
                found[name] = value / 1000
        return found

    def close(self) -> None:
        """Give the descriptors back."""
        for source in self._zones.values():
            source.close()


class Fans:
    """Fans below `root`."""

    def __init__(self, root: Path) -> None:
        """Look the fans up."""
        folder = root / "sys/class/hwmon"
        monitors = [folder / name for name in files.names(folder)[0]]
        self._duties = _present(monitors, ("pwm1",))
        self._duties += _present([root / "sys/devices/pwm-fan"], ("target_pwm",))
        # The tachometer may be a device of its own.
        self._speeds = _present(monitors, ("fan1_input", "rpm"))

    def read(self) -> dict[str, Fan]:
        """Fans by name: `fan`, `fan2`, ..."""
        fans: dict[str, Fan] = {}
        for i in range(max(len(self._duties), len(self._speeds))):
            pwm = self._duties[i].number() if i < len(self._duties) else None
            rpm = self._speeds[i].number() if i < len(self._speeds) else None
            if pwm is not None or rpm is not None:
                fans[f"fan{i + 1}" if i else "fan"] = Fan(None if pwm is None else pwm / _FULL, rpm)
        return fans

    def close(self) -> None:
        """Give the descriptors back."""
        for source in (*self._duties, *self._speeds):
            source.close()


def _present(folders: list[Path], wanted: tuple[str, ...]) -> list[Source]:
    """In each folder, the first of the wanted files that is there."""
    found = [files.first(folder / name for name in wanted) for folder in folders]
    return [source for source in found if not source.problem]


class Throttling:
    """What slows the board below `root` down."""

    def __init__(self, root: Path) -> None:
        """Look alarms, counters and cooling devices up."""
        self._alarms: list[tuple[str, Source]] = []
        for monitor in power_monitors(root):
            for name in files.names(monitor)[0]:
                text = _alarm_text(monitor, name)
                if text:
                    self._alarms.append((text, Source(monitor / name)))
        folder = root / "sys/class/hwmon"
        self._events = [
            (text, Source(folder / monitor / name))
            for monitor in files.names(folder)[0]
            for name, text in _EVENTS.items()
            if (folder / monitor / name).exists()
        ]
        self._before: dict[str, int] = {}
        self._cooling, kindless = _cooling_devices(root / "sys/class/thermal")
        self._nameless = [*nameless(root), *kindless]

    def read(self, unavailable: dict[str, str]) -> tuple[str, ...]:
        """What holds the board back now, or did since the last call; one sentence each.

        Where a file of those that tell it can't be read, "nothing" is no answer, and the reason
        goes into `unavailable`.
        """
        found = [f"{text}." for text, alarm in self._alarms if alarm.number()]
        for text, counter in self._events:
            count = counter.number()
            if count is None:
                continue
            if count > self._before.get(text, count):
                found.append(f"Throttled by an event: {text}.")
            self._before[text] = count
        for name, state, most in self._cooling:
            level = state.number()
            if level is not None and level > 0:
                found.append(f"{name} slows down: step {level}{f' of {most}' if most else ''}.")
        if problem := self._problem():
            unavailable["throttling"] = problem
        return tuple(found)

    def _problem(self) -> str:
        """Why the last look may have missed something; what has no power throttles nothing."""
        sources = self._sources()
        lost = [s for s in sources if s.problem not in ("", files.POWERED_OFF)]
        told = [f"{s.path.parent.name}/{s.path.name} {s.problem}" for s in lost]
        told = self._nameless + told
        if not sources and not told:
            return "nothing here tells it"
        if not told:
            return ""
        count = len(sources) + len(self._nameless)
        return f"{told[0]} ({len(told)} of {count} files that tell it can't be read)"

    def _sources(self) -> list[Source]:
        return [
            *(s for _, s in self._alarms),
            *(s for _, s in self._events),
            *(s for _, s, _ in self._cooling),
        ]

    def close(self) -> None:
        """Give the descriptors back."""
        for source in self._sources():
            source.close()


def _alarm_text(monitor: Path, name: str) -> str:
    """What an alarm's file of a power monitor tells; empty if it is none."""
    if name == "power1_max_alarm":  # INA238
        return f"{channel_label(monitor, 1)} draws more than its greatest power"
    found = re.fullmatch(r"curr(\d)_(?:(\w+)_)?alarm", name)
    if not found:
        return ""
    number = int(found[1])
    label = "the sum of the rails" if number == 4 else channel_label(monitor, number)
    kind = {"crit": "critical", "max": "warning"}.get(found[2] or "", "limit")
    return f"{label or f'channel {number}'} draws more than its {kind} current"


def _cooling_devices(folder: Path) -> tuple[list[tuple[str, Source, str]], list[str]]:
    """Kind, level and greatest level of each, and those whose kind can't be read."""
    found: list[tuple[str, Source, str]] = []
    kindless: list[str] = []
    for name in files.names(folder)[0]:
        if not name.startswith("cooling_device"):
            continue
        kind = files.text(folder / name / "type")
        if not kind:
            kindless.append(f"{name}/type {files.no_text(folder / name / 'type')}")
        elif not _HARMLESS.search(kind):
            most = files.text(folder / name / "max_state")
            found.append((kind, Source(folder / name / "cur_state"), most))
    return found, kindless
