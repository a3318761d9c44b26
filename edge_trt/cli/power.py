# SPDX-License-Identifier: Apache-2.0
"""``edge_trt power``: the power modes of this board, the active one, and whether clocks are locked.

--mode changes it, as root, and asks before a change that restarts the machine. A mode can be named
in part (30W for MODE_30W); `best` is the fastest. Numbers mean other modes on other boards.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from contextlib import suppress

from edge_trt_jetson import clocks, detect, power_control, power_modes
from edge_trt_jetson.clocks import Clocks
from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.power_control import RebootNeededError
from edge_trt_jetson.power_modes import PowerMode, PowerModes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--mode", metavar="NAME", help="change to this mode, such as 30W or MAXN")
    parser.add_argument(
        "--yes", action="store_true", help="restart the machine without asking, if it has to"
    )
    parser.add_argument("--json", action="store_true", help="print the modes for programs")
    parser.add_argument(
        "--root", default="/", metavar="DIR", help="show a copy of another machine's files"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the modes, or change the mode."""
    modes = power_modes.read(arguments.root)
    if modes.doubt:
        print(f"warning: {modes.doubt}", file=sys.stderr)
    if arguments.mode:
        target = modes.find(arguments.mode)
        if arguments.root != "/":
            raise BoardError("--mode changes this machine", hint="leave --root out")
        return _change(modes, target, restart=arguments.yes)
    found = detect.detect(arguments.root)
    dla = found.board.dla_cores if found and found.board else 2
    state = _clocks(arguments.root)
    if arguments.json:
        _print_json(modes, state, dla)
    else:
        _print(modes, state, dla)
    return 0


def _clocks(root: str) -> Clocks:
    """The kernel's word; where that lacks something, jetson_clocks', which answers root alone."""
    state = clocks.read(root)
    if root == "/" and os.geteuid() == 0 and any(part.locked is None for part in state.parts):
        with suppress(BoardError):  # a container without it: what is unknown has its reason
            state = clocks.completed(state, power_control.show_clocks())
    return state


def _print(modes: PowerModes, state: Clocks, dla: int) -> None:
    from edge_trt.cli.console import print_table

    rows = [
        (
            mode.id,
            mode.name,
            "" if mode.cores is None else mode.cores,
            _cap(mode.cpu_hz),
            _cap(mode.gpu_hz),
            _cap(mode.emc_hz),
            _dla(mode, dla),
            _marks(modes, mode),
        )
        for mode in modes.modes
    ]
    columns = ["#id", "mode", "#cores", "#CPU MHz", "#GPU MHz", "#memory MHz", "#DLA MHz", ""]
    print_table("Power modes (highest clocks; - is no limit)", columns, rows)
    print(f"Active: {modes.current or f'unknown, {modes.problem}'}")
    print(f"Clocks: {state}")


def _marks(modes: PowerModes, mode: PowerMode) -> str:
    marks = {
        "active": modes.current is mode,
        "default": modes.default == mode.id,
        "fastest": modes.best() is mode and not modes.doubt,
    }
    return ", ".join(word for word, holds in marks.items() if holds)


def _cap(hz: int | None) -> str:
    return "-" if hz is None else f"{hz / 1e6:.0f}"


def _dla(mode: PowerMode, cores: int) -> str:
    """Caps of the cores that the board has: files list clocks of others too."""
    caps = dict.fromkeys(_cap(mode.dla_hz(core)) for core in range(cores))
    return ", ".join(caps) if cores else "none"


def _print_json(modes: PowerModes, state: Clocks, dla: int) -> None:
    from edge_trt.cli.console import print_json

    print_json(
        {
            "active": modes.current.name if modes.current else None,
            "default": modes.default,
            "best": modes.best().name,
            "doubt": modes.doubt,
            "clocks": {
                "locked": state.locked,
                **{part.name: dataclasses.asdict(part) for part in state.parts},
            },
            "modes": [
                {
                    "id": mode.id,
                    "name": mode.name,
                    "watts": mode.watts,
                    "cores": mode.cores,
                    "cpu_hz": mode.cpu_hz,
                    "gpu_hz": mode.gpu_hz,
                    "emc_hz": mode.emc_hz,
                    "dla_hz": [mode.dla_hz(core) for core in range(dla)],
                    "restart": power_control.reboot_reason(modes, mode),
                }
                for mode in modes.modes
            ],
        }
    )


def _change(modes: PowerModes, target: PowerMode, *, restart: bool) -> int:
    if modes.current == target:
        print(f"{target} is active already")
        return 0
    power_control.require_root(f"{sys.executable} -m edge_trt power --mode {target.id}")
    reason = power_control.reboot_reason(modes, target)
    if reason and not restart and not _agreed(target, reason):
        return 1
    restart = restart or bool(reason)
    try:
        power_control.set_mode(target, reboot=restart)
    except RebootNeededError:
        if not _agreed(target, "nvpmodel says so"):
            return 1
        power_control.set_mode(target, reboot=True)
        restart = True
    now = power_modes.read().current
    if now is not None and now.id == target.id:
        print(f"{target} is active; lock the clocks again if they were: sudo jetson_clocks")
    else:
        print(f"{target} becomes active when the machine has restarted")
    return 0


def _agreed(target: PowerMode, reason: str) -> bool:
    """Ask whether the machine may restart.

    Raises:
        BoardError: Nobody is there to answer.
    """
    question = f"{target} needs a restart of this machine ({reason})"
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BoardError(question, hint="--yes restarts it")
    try:
        answer = input(f"{question}. Restart now? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("nothing was changed")
    return False
