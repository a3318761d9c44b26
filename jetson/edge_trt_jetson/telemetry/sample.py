# SPDX-License-Identifier: Apache-2.0
"""What one look at a board tells, whether it was read from the kernel's files or from tegrastats.

Units are those of physics: hertz, watts, volts, amperes, degrees Celsius, bytes, seconds; loads and
duties are fractions from 0 to 1. What could not be read is None and has its reason in
`Sample.unavailable`: a zero is always a reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Texas Instruments, INA3221 (SBOS576): one step of the shunt and of the bus voltage, and the
# greatest errors of offset and gain at 25 degrees Celsius.
SHUNT_STEP, BUS_STEP = 40e-6, 8e-3  # volts
SHUNT_OFFSET, BUS_OFFSET = 80e-6, 16e-3  # volts
GAIN = 0.0025 + 0.0025  # of the current and of the voltage


@dataclass(frozen=True, slots=True)
class Cpu:
    """One core: `load` since the sample before, clock in Hz."""

    online: bool
    load: float | None = None
    hz: int | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """The GPU, the memory controller, a DLA or another engine.

    Attributes:
        on: Whether it has a clock or power; None if that isn't told.
        load: Share of the time that it worked.
        hz: Clock in Hz; of several GPU clusters the greatest.
        powered: Share of the time since the sample before in which it had power. It is kept on for
            a while after its work, so its load was no more than that.
    """

    on: bool | None = None
    load: float | None = None
    hz: int | None = None
    powered: float | None = None


@dataclass(frozen=True, slots=True)
class Rail:
    """Power of one supply.

    Attributes:
        name: Its label, such as `VDD_CPU_CV`.
        watts: Power now.
        volts: Voltage, if it is told.
        amps: Current, if it is told.
        shunt: Resistance in ohms that the current is measured over, if it is told.
        average: Mean power since tegrastats was started, in W.
    """

    name: str
    watts: float
    volts: float | None = None
    amps: float | None = None
    shunt: float | None = None
    average: float | None = None

    @property
    def step(self) -> float:
        """Resolution in W: one step of current and of voltage (INA3221), else one mW as printed."""
        if self.volts is None or self.amps is None or not self.shunt:
            return 1e-3
        return ((self.volts * SHUNT_STEP / self.shunt) ** 2 + (self.amps * BUS_STEP) ** 2) ** 0.5

    @property
    def limit(self) -> float | None:
        """Greatest error of the INA3221 in W, without its shunt's tolerance; None if unknown."""
        if self.volts is None or self.amps is None or not self.shunt:
            return None
        offsets = self.volts * SHUNT_OFFSET / self.shunt + abs(self.amps) * BUS_OFFSET
        return abs(self.watts) * GAIN + offsets


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory that CPU and GPU share, and swap, in bytes."""

    total: int
    used: int
    swap_total: int | None = None
    swap_used: int | None = None

    @property
    def free(self) -> int:
        """Bytes that programs can still get without swap."""
        return self.total - self.used

    @property
    def swap_free(self) -> int:
        """Bytes of swap that are left; 0 where none is told."""
        return (self.swap_total or 0) - (self.swap_used or 0)


@dataclass(frozen=True, slots=True)
class Fan:
    """A fan: share of full drive, turns per minute."""

    duty: float | None = None
    rpm: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a board.

    Attributes:
        time: Seconds of the monotonic clock; of tegrastats, the line's own time since 1970 (local
            clock), NaN if it has none.
        cpus: The cores, by number.
        gpu: The GPU.
        engines: Other engines by name: `emc`, `dla0`, `dla1`, `nvdec`, `vic`, ...
        temperatures: Degrees Celsius by zone; zones that are switched off are left out. These, the
            fans and `throttling` may be a second old (`reader.SLOW`).
        rails: Power by supply.
        watts: Power of the whole board or module, from `watts_of`.
        watts_of: Rails whose sum `watts` is.
        memory: Memory and swap.
        fans: Fans by name.
        throttling: What holds the board back, one sentence each.
        uptime: Seconds since the start.
        unavailable: Why something is missing, by what it is (`emc`, `power`, ...).
        unknown: Words of tegrastats that this parser doesn't know.
    """

    time: float
    cpus: tuple[Cpu, ...] = ()
    gpu: Engine | None = None
    engines: Mapping[str, Engine] = field(default_factory=dict[str, Engine])
    temperatures: Mapping[str, float] = field(default_factory=dict[str, float])
    rails: tuple[Rail, ...] = ()
    watts: float | None = None
    watts_of: tuple[str, ...] = ()
    memory: Memory | None = None
    fans: Mapping[str, Fan] = field(default_factory=dict[str, Fan])
    throttling: tuple[str, ...] = ()
    uptime: float | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict[str, str])
    unknown: tuple[str, ...] = ()

    def rail(self, name: str) -> Rail | None:
        """The rail of that name, or None."""
        return next((rail for rail in self.rails if rail.name == name), None)

    @property
    def hottest(self) -> float | None:
        """The highest temperature, or None."""
        return max(self.temperatures.values(), default=None)
