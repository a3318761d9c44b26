# SPDX-License-Identifier: Apache-2.0
"""The machine of a measurement: what it is, in what state, and what that means for figures."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

from edge_trt._version import __version__
from edge_trt.bench.record import Reading, Record, Repeat
from edge_trt_jetson import clocks, power_modes
from edge_trt_jetson.detect import detect
from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.telemetry.sample import Sample
from edge_trt_runtime.cuda import open_device
from edge_trt_runtime.errors import EngineError

UNSTEADY = 0.025
"""Coefficient of variation of block medians above which trtexec warns of clocks that move."""

MOVING, THROTTLED, BUSY = "the clocks move", "throttled while it ran", "other programs"
STILL_HOT = "it began at"

LIBRARIES = ("onnxruntime", "pycuda", "numpy", "tensorrt", "tensorrt_rtx", "tensorrt_lean", "torch")


def describe(root: str = "/") -> dict[str, str]:
    """What stays the same between measurements: board, releases, processor, libraries."""
    found = detect(root)
    facts = {"edge_trt": __version__, "python": platform.python_version(), "cpu": _cpu()}
    facts["cores"] = str(os.cpu_count() or 0)
    if found is not None:
        facts["board"] = found.board.name if found.board else found.model or found.soc
        facts["l4t"] = found.l4t
        if found.release is not None:
            facts["jetpack"] = found.release.jetpack
    try:
        facts["gpu"] = open_device().describe()
    except EngineError as error:
        facts["gpu"] = f"none ({error})"
    for name in LIBRARIES:
        try:
            facts[name] = metadata.version(name.replace("_", "-"))
        except metadata.PackageNotFoundError:
            continue
    return facts


def _cpu() -> str:
    """The processor's name as Linux tells it; Arm has none there."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def conditions(before: Sample, after: Sample, root: str = "/") -> dict[str, str]:
    """What may differ between measurements on one machine."""
    facts = {"clocks": str(clocks.read(root))}
    if detect(root) is not None:
        facts["power mode"] = _power_mode(root)
    if before.hottest is not None and after.hottest is not None:
        facts["temperature"] = f"{before.hottest:.1f} to {after.hottest:.1f} C"
    if before.memory and after.memory:
        grown = (after.memory.used - before.memory.used) / 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        facts["memory"] = (
            f"this process at most {peak:.0f} MB, the whole machine {grown:+.0f} MB"
            f" of {after.memory.total / 1e9:.1f} GB"
        )
    load = [cpu.load for cpu in before.cpus if cpu.load is not None]
    if load:
        facts["cpu load before"] = f"{sum(load) / len(load):.0%}"
    return facts


def _power_mode(root: str) -> str:
    try:
        modes = power_modes.read(root)
    except BoardError as error:  # a container without the file
        return f"unknown ({error})"
    return str(modes.current or f"unknown ({modes.problem})")


def doubts(
    facts: Mapping[str, str], samples: Sequence[Sample], sessions: Sequence[Repeat]
) -> list[str]:
    """Sentences on what makes figures worth less; none is what a benchmark wants."""
    found: list[str] = []
    if facts["clocks"].startswith("floating"):
        found.append(f"{MOVING} with the load: --lock-clocks (as root) holds them")
    held = {reason for sample in samples for reason in sample.throttling}
    found += [f"{THROTTLED}: {reason}" for reason in sorted(held)]
    if float(facts.get("cpu load before", "0%").rstrip("%")) > 20:
        found.append(f"{BUSY} kept the processor busy ({facts['cpu load before']})")
    for name, loads in (
        ("one caller", [session.single for session in sessions]),
        ("saturated", [session.saturated for session in sessions]),
    ):
        spread = max(_spread([block.median for block in load.blocks]) for load in loads)
        if spread > UNSTEADY:
            found.append(f"unsteady with {name}: blocks of runs differ by {spread:.1%}")
    return found


def disturbed(record: Record) -> bool:
    """Whether something else than the bundle may have moved all figures of a record."""
    causes = (MOVING, THROTTLED, BUSY, STILL_HOT)
    return any(doubt.startswith(causes) for doubt in record.doubts)


def still_hot(before: Sample, limit: float | None) -> list[str]:
    """A sentence where the board was to be cooler before the measurement than it got."""
    if limit is None:
        return []
    if before.hottest is None:
        return ["nothing here tells a temperature, so nothing was waited for (--cool-down)"]
    if before.hottest <= limit:
        return []
    return [f"{STILL_HOT} {before.hottest:.1f} C, and did not cool down to {limit:g} C in time"]


def _spread(values: Sequence[float]) -> float:
    """Coefficient of variation."""
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5 / mean


def reading(sample: Sample, start: float) -> Reading:
    """What a chart needs of a sample."""
    loads = [cpu.load for cpu in sample.cpus if cpu.load is not None]
    return Reading(
        seconds=round(sample.time - start, 3),
        watts=sample.watts,
        rails={rail.name: rail.watts for rail in sample.rails},
        temperature=sample.hottest,
        gpu_hz=sample.gpu.hz if sample.gpu else None,
        gpu_load=sample.gpu.load if sample.gpu else None,
        cpu_load=sum(loads) / len(loads) if loads else None,
    )


def cool_down(read: Callable[[], Sample], limit: float, longest: float = 600.0) -> float:
    """Waits until the hottest zone is below a limit in degrees Celsius; returns the seconds.

    Args:
        read: gives a `Sample`.
        limit: degrees Celsius.
        longest: seconds after which the wait is over in any case.
    """
    start = time.monotonic()
    while time.monotonic() - start < longest:
        hottest = read().hottest
        if hottest is None or hottest <= limit:
            break
        time.sleep(1.0)
    return time.monotonic() - start
