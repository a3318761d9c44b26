# SPDX-License-Identifier: Apache-2.0
"""The state of a board that decides how fast it is and what fits, and whether it is measured."""

from __future__ import annotations

from pathlib import Path

from edge_trt_jetson import clocks, power_modes
from edge_trt_jetson.checks import Check
from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.telemetry.cpu import read_memory
from edge_trt_jetson.telemetry.reader import Reader

LITTLE_MEMORY = 1 << 30
"""Bytes below which a build is likely to fail: what libraries and a CUDA context take (a guess)."""


def check_board_state(root: str | Path) -> list[Check]:
    """Memory, power mode, clocks, power and throttling of a Jetson."""
    root = Path(root)
    state = [check_memory(root), check_power_mode(root), check_clocks(root)]
    return [*state, *check_sensors(root)]


def check_memory(root: Path) -> Check:
    """What programs and the GPU can still get: they share it."""
    allows = "building and running engines"
    found = read_memory(root)
    if found is None:
        return Check("memory", "missing", "not told", allows, "mount /proc in the container")
    free, swap = found.free, found.swap_free
    told = f"{free / 1e9:.1f} of {found.total / 1e9:.1f} GB free"
    told += f", and {swap / 1e9:.1f} GB of swap" if swap else ", no swap"
    if free >= LITTLE_MEMORY:
        return Check("memory", "ok", told, allows)
    fix = "end the desktop: sudo systemctl isolate multi-user.target; or add swap"
    return Check("memory", "broken" if free + swap < LITTLE_MEMORY else "ok", told, allows, fix)


def check_power_mode(root: Path) -> Check:
    """The active mode, and whether a faster one exists."""
    allows = "how fast everything runs"
    try:
        modes = power_modes.read(root)
    except BoardError as error:
        return Check("power mode", "missing", "not told", allows, str(error))
    if modes.current is None:
        return Check("power mode", "missing", modes.problem, allows, "sudo nvpmodel -q")
    if modes.doubt:
        fix = "copy the file again, or flash the board's own"
        return Check("power mode", "missing", f"{modes.current}; {modes.doubt}", allows, fix)
    best = modes.best()
    if modes.current == best:
        return Check("power mode", "ok", f"{modes.current}, the fastest", allows)
    fix = f"{best} is faster: sudo edge_trt power --mode {best.name}"
    return Check("power mode", "ok", str(modes.current), allows, fix)


def check_clocks(root: Path) -> Check:
    """Whether clocks are locked, as measurements want them."""
    found = clocks.read(root)
    allows = "measurements that can be repeated"
    if found.locked is None:
        return Check("clocks", "missing", str(found), allows, "mount /sys read-only")
    fix = "" if found.locked else "for measuring: edge_trt bench --lock-clocks"
    return Check("clocks", "ok", str(found), allows, fix)


def check_sensors(root: Path) -> list[Check]:
    """Whether the board's power is measured; and what slows it down now, if something does."""
    with Reader(root) as reader:
        sample = reader.read()
    allows = "energy of a run"
    if sample.watts is None:
        missing = sample.unavailable
        lost = [f"{name} {missing[name]}" for name in sample.watts_of if name in missing]
        why = missing.get("power") or "; ".join(lost) or missing.get("rails")
        why = why or "the rails here give no sum"
        found = [Check("power sensors", "missing", why, allows, "mount /sys read-only")]
    else:
        told = f"{sample.watts:.1f} W ({' + '.join(sample.watts_of)})"
        found = [Check("power sensors", "ok", told, allows)]
    if sample.throttling:
        fix = "more cooling, or a stronger supply"
        told = " ".join(sample.throttling)
        found.append(Check("throttling", "missing", told, "the full speed", fix))
    return found
