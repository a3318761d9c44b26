# SPDX-License-Identifier: Apache-2.0
"""A look at a board as rows of a table, as one line, and as data for programs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from edge_trt_jetson import clocks, power_modes
from edge_trt_jetson.detect import Detection
from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.telemetry.sample import Engine, Sample

COLUMNS = ("part", "load", "#", "#clock", "details")
_FEW = 16  # cores that are listed one by one
_WIDTH = 12  # of a bar, in characters
_ALWAYS = ("emc", "dla", "dla0", "dla1")  # engines with a row of their own; others if they run


def title(found: Detection | None) -> str:
    """The machine's name and release."""
    if found is None:
        return "This machine (no Jetson)"
    name = found.board.title if found.board else found.model or "unknown Jetson"
    release = f", JetPack {found.release.jetpack}" if found.release else ""
    return f"{name} (L4T {found.l4t or 'unknown'}{release})"


def rows(sample: Sample, root: str = "") -> list[tuple[str, str, str, str, str]]:
    """Rows for `COLUMNS`; what can't be read says why.

    Args:
        sample: What was read.
        root: Where to read power mode and clocks; they are left out by default.
    """
    found = [*_processors(sample), *_memory(sample), *_power(sample), *_conditions(sample)]
    if root:
        mode, state = settings(root)
        found.insert(0, ("mode", "", "", "", f"{mode}; clocks {state}"))
    return found


def settings(root: str) -> tuple[str, str]:
    """The active power mode, and whether clocks are locked or floating."""
    try:
        modes = power_modes.read(root)
        mode = str(modes.current or f"unknown: {modes.problem}")
        mode += f" ({modes.doubt})" if modes.doubt else ""
    except BoardError as error:
        mode = f"unknown: {error.message}"
    return mode, clocks.read(root).word


def _processors(sample: Sample) -> list[tuple[str, str, str, str, str]]:
    missing = sample.unavailable
    gpu = sample.gpu or Engine()
    why = f"unavailable: {missing['gpu']}" if "gpu" in missing else ""
    why = f"load unavailable: {missing['gpu load']}" if "gpu load" in missing else why
    found = [_cpu(sample), ("gpu", *_bar(gpu.load), _clock(gpu.hz), why)]
    found += [
        (name, *_bar(None), "", f"unavailable: {missing[name]}")
        for name in ("engines", *_ALWAYS)
        if name in missing and name not in sample.engines
    ]
    for name in _ALWAYS:
        if name in sample.engines:
            engine = sample.engines[name]
            state = _state(engine) if name != "emc" else ""  # memory is never off
            found.append((name, *_bar(engine.load), _clock(engine.hz), state))
    busy = [
        f"{name} {_clock(engine.hz)}".strip()
        for name, engine in sample.engines.items()
        if name not in _ALWAYS and engine.on
    ]
    if busy:
        found.append(("running", *_bar(None), "", ", ".join(busy)))
    return found


def _cpu(sample: Sample) -> tuple[str, str, str, str, str]:
    online = [cpu for cpu in sample.cpus if cpu.online]
    loads = [cpu.load for cpu in online if cpu.load is not None]
    clock = max((cpu.hz for cpu in online if cpu.hz is not None), default=None)
    cores = " ".join(
        "off" if not cpu.online else "-" if cpu.load is None else f"{cpu.load:.0%}"
        for cpu in sample.cpus
    )
    if len(sample.cpus) > _FEW:
        cores = f"{max(loads):.0%} at most" if loads else "-"
    mean = sum(loads) / len(loads) if loads else None
    details = f"{len(online)} cores: {cores}" if online else ""
    if "cpu" in sample.unavailable:
        details = f"{details}. unavailable: {sample.unavailable['cpu']}".removeprefix(". ")
    return ("cpu", *_bar(mean), _clock(clock), details)


def _memory(sample: Sample) -> list[tuple[str, str, str, str, str]]:
    memory = sample.memory
    if memory is None:
        why = sample.unavailable.get("memory")
        return [("memory", *_bar(None), "", f"unavailable: {why}")] if why else []
    detail = f"{_size(memory.used)} of {_size(memory.total)}"
    if memory.swap_total:
        detail += f", swap {_size(memory.swap_used or 0)} of {_size(memory.swap_total)}"
    return [("memory", *_bar(memory.used / max(memory.total, 1)), "", detail)]


def _state(engine: Engine) -> str:
    state = "off" if engine.on is False else "on" if engine.on else ""
    if engine.powered is None:
        return state
    return f"{state}, with power for {engine.powered:.0%} of the time".removeprefix(", ")


def _power(sample: Sample) -> list[tuple[str, str, str, str, str]]:
    rails = ", ".join(f"{rail.name} {rail.watts:.2f} W" for rail in sample.rails)
    if sample.watts is not None:
        found = [("power", "", f"{sample.watts:.2f} W", "", rails)]
    else:
        missing = sample.unavailable
        lost = [f"{name} {missing[name]}" for name in sample.watts_of if name in missing]
        reason = missing.get("power") or "; ".join(lost) or missing.get("rails")
        reason = reason or "no rule adds these rails up"
        found = [("power", "", "", "", f"unavailable: {reason}. {rails}".strip(" ."))]
    return found


def _conditions(sample: Sample) -> list[tuple[str, str, str, str, str]]:
    found: list[tuple[str, str, str, str, str]] = []
    zones = ", ".join(f"{n} {c:.1f}" for n, c in sorted(sample.temperatures.items()))
    lost = [
        f"{name.removesuffix(' temperature')} {reason}"
        for name, reason in sample.unavailable.items()
        if name.endswith(" temperature")
    ]
    if lost:
        zones = f"{zones}. unavailable: {', '.join(lost)}".removeprefix(". ")
    if zones:
        hottest = "" if sample.hottest is None else f"{sample.hottest:.1f} C"
        found.append(("temperature", "", hottest, "", zones))
    for name, fan in sample.fans.items():
        turns = "" if fan.rpm is None else f"{fan.rpm} turns per minute"
        found.append((name, *_bar(fan.duty), "", turns))
    throttled = " ".join(sample.throttling)
    unknown = sample.unavailable.get("throttling")
    state = "yes" if throttled else "" if unknown else "no"
    details = [throttled, f"unavailable: {unknown}" if unknown else ""]
    found.append(("throttling", "", state, "", " ".join(filter(None, details))))
    if sample.uptime is not None:
        found.append(("up", "", _duration(sample.uptime), "", ""))
    return found


def line(sample: Sample) -> str:
    """The most of it in one line, for logs."""
    parts: list[str] = []
    loads = [cpu.load for cpu in sample.cpus if cpu.load is not None]
    if loads:
        parts.append(f"cpu {sum(loads) / len(loads):.0%}")
    if sample.gpu is not None and sample.gpu.load is not None:
        parts.append(f"gpu {sample.gpu.load:.0%}")
    running = (n for n, e in sample.engines.items() if n in _ALWAYS[1:] and e.on)
    parts += [f"{name} on" for name in running]
    if sample.watts is not None:
        parts.append(f"{sample.watts:.2f} W")
    if sample.hottest is not None:
        parts.append(f"{sample.hottest:.1f} C")
    if sample.memory is not None:
        parts.append(f"memory {_size(sample.memory.used)}")
    return ", ".join([*parts, *sample.throttling])


def as_data(sample: Sample) -> dict[str, Any]:
    """Everything for programs, in SI units; what isn't known is null."""
    return _plain(dataclasses.asdict(sample))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such numbers
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}  # type: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]  # type: ignore[reportUnknownVariableType]
    return value


def _bar(share: float | None) -> tuple[str, str]:
    """A bar, and the share as text."""
    if share is None:
        return "", ""
    full = round(min(max(share, 0.0), 1.0) * _WIDTH)
    return "#" * full + "." * (_WIDTH - full), f"{share:.0%}"


def _clock(hz: int | None) -> str:
    return "" if hz is None else f"{hz / 1e6:.0f} MHz"


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"{f'{days} d ' if days else ''}{hours:02}:{minutes % 60:02}"
