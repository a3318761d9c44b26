# SPDX-License-Identifier: Apache-2.0
"""Power by rail: INA3221 and INA238 as hwmon devices (JetPack 5 on), as iio devices (JetPack 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_trt_jetson import files
from edge_trt_jetson.files import Source
from edge_trt_jetson.telemetry.board_power import is_connected
from edge_trt_jetson.telemetry.sample import Rail

_CHIPS = ("ina3221", "ina238")
_SUM = 7  # the channel that adds the shunts of an INA3221
_INPUT = "VIN"  # what Thor's INA238 measures; its driver has no labels


def power_monitors(root: Path) -> list[Path]:
    """Folders of the power monitors' hwmon devices."""
    bus = root / "sys/bus/i2c/devices"
    return [
        monitor
        for device in files.names(bus)[0]
        for name in files.names(bus / device / "hwmon")[0]
        if files.text((monitor := bus / device / "hwmon" / name) / "name") in _CHIPS
    ]


def nameless(root: Path) -> list[str]:
    """What may be power monitors, but can't be told: the kernel writes a name for each."""
    bus = root / "sys/bus/i2c/devices"
    return [
        f"{device}/{name}/name {problem}"
        for device in files.names(bus)[0]
        for name in files.names(bus / device / "hwmon")[0]
        if (problem := files.no_text(bus / device / "hwmon" / name / "name"))
    ]


def channel_label(monitor: Path, number: int) -> str:
    """Name of a power monitor's channel; empty if it has none."""
    label = files.text(monitor / f"in{number}_label") or files.text(monitor / "label")
    if not label and files.text(monitor / "name") == "ina238":
        return _INPUT
    return label


@dataclass(frozen=True, slots=True)
class _Channel:
    """Files of one rail: either voltage and current, or power alone."""

    name: str
    millivolts: Source | None
    milliamps: Source | None
    milliwatts: Source | None
    shunt: float | None

    def sources(self) -> list[Source]:
        return [s for s in (self.millivolts, self.milliamps, self.milliwatts) if s is not None]

    def read(self) -> Rail | str:
        """The rail, or why it can't be read."""
        if self.millivolts is None or self.milliamps is None:
            assert self.milliwatts is not None
            power = self.milliwatts.number()
            return self.milliwatts.problem if power is None else Rail(self.name, power / 1000)
        voltage, current = self.millivolts.number(), self.milliamps.number()
        if voltage is None or current is None:
            return self.millivolts.problem or self.milliamps.problem
        volts, amps = voltage / 1000, current / 1000
        return Rail(self.name, volts * amps, volts, amps, self.shunt)


class Rails:
    """Rails below `root`."""

    def __init__(self, root: Path) -> None:
        """Look the rails up."""
        self._channels = [c for monitor in power_monitors(root) for c in _hwmon_channels(monitor)]
        if not self._channels:
            self._channels = _iio_channels(root / "sys/bus/i2c/drivers/ina3221x")
        self._problems = [*nameless(root), *_unlabelled(root)]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the rails that there are."""
        return tuple(channel.name for channel in self._channels)

    def read(self, unavailable: dict[str, str]) -> tuple[Rail, ...]:
        """All rails; what can't be read goes into `unavailable`."""
        rails: list[Rail] = []
        for channel in self._channels:
            rail = channel.read()
            if isinstance(rail, Rail):
                rails.append(rail)
            else:
                unavailable[channel.name] = rail
        if self._problems:
            unavailable["rails"] = "; ".join(self._problems)
        elif not self._channels:
            unavailable["power"] = "no power monitor here"
        return tuple(rails)

    def close(self) -> None:
        """Give the descriptors back."""
        for channel in self._channels:
            for source in channel.sources():
                source.close()


def _unlabelled(root: Path) -> list[str]:
    """Channels whose labels can't be read: what isn't connected is labelled so, and not empty."""
    labels = [
        monitor / name
        for monitor in power_monitors(root)
        for name in files.names(monitor)[0]
        if re.fullmatch(r"in[1-6]_label", name)
    ]
    driver = root / "sys/bus/i2c/drivers/ina3221x"
    labels += sorted(driver.glob("*/*/rail_name_*"))
    return [
        f"{label.parent.name}/{label.name} {problem}"
        for label in labels
        if (problem := files.no_text(label))
    ]


def _hwmon_channels(monitor: Path) -> list[_Channel]:
    there = files.names(monitor)[0]
    numbers = [int(m[1]) for name in there if (m := re.fullmatch(r"curr(\d)_input", name))]
    channels: list[_Channel] = []
    for n in numbers:
        label = channel_label(monitor, n)
        if n == _SUM or not is_connected(label) or f"in{n}_input" not in there:
            continue
        microohms = files.text(monitor / f"shunt{n}_resistor")
        channels.append(
            _Channel(
                label,
                Source(monitor / f"in{n}_input"),
                Source(monitor / f"curr{n}_input"),
                None,
                int(microohms) / 1e6 if microohms.isdecimal() else None,
            )
        )
    return channels


def _iio_channels(driver: Path) -> list[_Channel]:
    channels: list[_Channel] = []
    for device in files.names(driver)[0]:
        for iio in files.names(driver / device)[0]:
            folder = driver / device / iio
            for name in files.names(folder)[0]:
                found = re.fullmatch(r"rail_name_(\d)", name)
                label = files.text(folder / name) if found else ""
                if found and is_connected(label):
                    power = Source(folder / f"in_power{found[1]}_input")
                    channels.append(_Channel(label, None, None, power, None))
    return channels
