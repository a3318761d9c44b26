# SPDX-License-Identifier: Apache-2.0
"""The GPU, the memory controller (EMC), the DLAs and the other engines.

The GPU's files are open to everybody. Clocks of the others are in debugfs, which only root may
read: without root they are reported as missing, with that reason, and never as zero. What everybody
may read of them is taken from devfreq (video engines) and from runtime power management (whether a
DLA has power, and for how long it had).
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from edge_trt_jetson import files
from edge_trt_jetson.files import Source
from edge_trt_jetson.telemetry.sample import Engine

_GPU = re.compile(r"(?:^|\.)(?:gpu|gm20b|gp10b|gv11b|ga10b|gb10b)$|^gpu-gpc-\d+$")
_GPU_LOADS = (
    "sys/devices/platform/gpu.0/load",
    "sys/devices/platform/bus@0/gpu.0/load",
    "sys/devices/gpu.0/load",
    "sys/devices/platform/bus@0/17000000.gpu/load",
    "sys/devices/platform/bus@0/17000000.ga10b/load",
    "sys/devices/platform/17000000.gpu/load",
    "sys/devices/platform/17000000.ga10b/load",
    "sys/devices/17000000.ga10b/load",
    "sys/devices/17000000.gv11b/load",
    "sys/devices/17000000.gp10b/load",
    "sys/devices/57000000.gpu/load",
)
_ENGINE = re.compile(
    r"(?:dla\d_(?:core|falcon)|nvdec\d?|nvenc\d?|nvjpg\d?|vic|ofa|pva\d\w*|ape|se)$"
)
_VIDEO = re.compile(r"[0-9a-f]+\.(vic|nvdec\d?|nvenc\d?|nvjpg\d?|ofa)$")
_NVDLA = re.compile(r"[0-9a-f]+\.nv(dla\d)$")
_DLA = re.compile(r"nafll_(dla\d?)(?:_core)?$")
# What runtime power management says of a device; anything else tells nothing of its power.
_HAS_POWER = {b"active": True, b"resuming": True, b"suspended": False, b"suspending": False}
_EMC_RATES = ("sys/kernel/debug/bpmp/debug/clk/emc/rate", "sys/kernel/debug/clk/emc/clk_rate")
_NO_DEBUGFS = "needs root (no debugfs here)"
_EMC_FREE = "sys/class/devfreq/bwmgr/cur_freq"  # Thor: readable by everybody
_EMC_LOADS = (
    "sys/kernel/debug/cactmon/mc_all",
    "sys/kernel/debug/actmon_avg_activity/mc_all",
)


def gpu_devices(root: Path) -> list[Path]:
    """Folders of the GPU's clocks (devfreq); several where it has several clusters."""
    folder = root / "sys/class/devfreq"
    return [folder / name for name in files.names(folder)[0] if _GPU.search(name)]


class Gpu:
    """Clock and load of the GPU below `root`."""

    def __init__(self, root: Path) -> None:
        """Look the files up."""
        self._root = root
        self._wait = 0
        self._clocks: list[Source] = []
        self._load: Source | None = None
        self._look_up()

    def _look_up(self) -> None:
        devices = gpu_devices(self._root)
        self._clocks = [Source(device / "cur_freq") for device in devices]
        loads = [device / "device/load" for device in devices]
        found = files.first([*loads, *(self._root / path for path in _GPU_LOADS)])
        self._load = None if found.problem else found
        self._wait = files.RETRY

    @property
    def load_is_missing(self) -> bool:
        """Whether no file tells the load, as on Thor."""
        return self._load is None

    def read(self) -> tuple[Engine | None, str]:
        """The GPU, or None and the reason."""
        if not self._clocks and self._load is None:
            # Services may be started before the driver has made its files.
            self._wait -= 1
            if self._wait < 0:
                self._look_up()
        clocks = [hz for clock in self._clocks if (hz := clock.number()) is not None]
        load = self._load.number() if self._load is not None else None
        if not clocks and load is None:
            first = self._clocks[0].problem if self._clocks else files.ABSENT
            return None, first
        return Engine(None, None if load is None else load / 1000, max(clocks, default=None)), ""

    def close(self) -> None:
        """Give the descriptors back."""
        for source in (*self._clocks, *([self._load] if self._load else [])):
            source.close()


class Engines:
    """Clocks of everything but CPU and GPU below `root`."""

    def __init__(self, root: Path) -> None:
        """Look the clocks up."""
        clocks = root / "sys/kernel/debug/clk"
        there, self._problem = files.names(clocks)
        mounted, _ = files.names(root / "sys/kernel/debug")
        # Who may not look into debugfs is told so by the kernel; copies may lack it.
        self._absent = files.ABSENT if mounted else _NO_DEBUGFS
        self._engines: dict[str, tuple[Source, Source | None]] = {
            name.removesuffix("_core"): (
                Source(clocks / name / "clk_rate"),
                Source(clocks / name / "clk_enable_count"),
            )
            for name in there
            if _ENGINE.match(name)
        }
        if not any(name.startswith("dla") for name in self._engines):
            self._add_dla(root / "sys/kernel/debug/bpmp/debug/clk")
        self._add_video(root / "sys/class/devfreq")
        self._power = DlaPower(root / "sys/bus/platform/devices")
        rates = [root / path for path in (_EMC_FREE, *_EMC_RATES)]
        self._emc = files.first(rates)
        self._emc_busy = files.first(root / path for path in _EMC_LOADS)

    def _add_dla(self, clocks: Path) -> None:
        for name in files.names(clocks)[0]:
            found = _DLA.match(name)
            if found:
                self._engines[found[1]] = (Source(clocks / name / "rate"), None)

    def _add_video(self, devices: Path) -> None:
        for name in files.names(devices)[0]:
            found = _VIDEO.match(name)
            if found and found[1] not in self._engines:  # debugfs says more of it
                self._engines[found[1]] = (Source(devices / name / "cur_freq"), None)

    def read(self, unavailable: dict[str, str]) -> dict[str, Engine]:
        """The engines by name; what is missing goes into `unavailable`."""
        found: dict[str, Engine] = {}
        rate = self._emc.number()
        if rate is None:
            unavailable["emc"] = self._why(self._emc.problem)
        else:
            busy = self._emc_busy.number()
            if busy is None:
                unavailable["emc load"] = self._why(self._emc_busy.problem)
            load = None if busy is None or not rate else min(busy * 1000 / rate, 1.0)
            found["emc"] = Engine(rate > 0, load, rate)
        if self._problem:
            unavailable["engines"] = self._why(self._problem)
        for name, (clock, users) in self._engines.items():
            hz = clock.number()
            count = users.number() if users is not None else None
            if hz is None:
                unavailable[name] = clock.problem
            else:
                found[name] = Engine(None if count is None else count > 0, None, hz)
        for name, (on, powered) in self._power.read(unavailable).items():
            known = found.get(name, Engine())
            on = known.on if known.on is not None else on
            found[name] = Engine(on, None, known.hz, powered)
        return found

    def _why(self, problem: str) -> str:
        return self._absent if problem == files.ABSENT else problem

    def close(self) -> None:
        """Give the descriptors back."""
        for sources in ((self._emc, self._emc_busy), *self._engines.values()):
            for source in sources:
                if source is not None:
                    source.close()
        self._power.close()


class DlaPower:
    """Which DLAs have power, by the kernel's runtime power management; root isn't needed."""

    def __init__(self, devices: Path) -> None:
        """Look the DLAs up among the platform's devices. Such a device is no proof of a core."""
        self._sources = {
            found[1]: (
                Source(devices / name / "power/runtime_status"),
                Source(devices / name / "power/runtime_active_time"),
            )
            for name in files.names(devices)[0]
            if (found := _NVDLA.match(name))
        }
        self._before: dict[str, tuple[float, int]] = {}

    def read(self, unavailable: dict[str, str]) -> dict[str, tuple[bool | None, float | None]]:
        """By DLA: whether it has power, and its share of the time since the last call.

        What is missing goes into `unavailable`, unless it has a reason there already.
        """
        found: dict[str, tuple[bool | None, float | None]] = {}
        for name, (status, active) in self._sources.items():
            state, milliseconds = status.read(), active.number()
            now, share = time.monotonic(), None
            if milliseconds is not None:
                before = self._before.get(name)
                self._before[name] = now, milliseconds
                if before is not None and now > before[0]:
                    share = (milliseconds - before[1]) / 1000 / (now - before[0])
                    share = min(max(share, 0.0), 1.0)
            on = _HAS_POWER.get(state.strip()) if state is not None else None
            if on is not None:
                found[name] = on, share
            else:
                says = f"says {state!r}" if state else files.EMPTY
                unavailable.setdefault(name, status.problem if state is None else says)
        return found

    def close(self) -> None:
        """Give the descriptors back."""
        for sources in self._sources.values():
            for source in sources:
                source.close()
