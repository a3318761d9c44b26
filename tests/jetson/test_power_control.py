# SPDX-License-Identifier: Apache-2.0
"""Changing modes and clocks, with stand-ins for nvpmodel and jetson_clocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_trt_jetson import power_control, power_modes
from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.power_control import Answer, RebootNeededError, held, set_mode
from tests.jetson.telemetry_trees import machine, plant, write

ORIN = machine("agx orin, R36")
# What nvpmodel prints when it can't change at once, and is told yes or no.
QUESTION = (
    "NVPM WARN: Golden image context is already created\n"
    "NVPM WARN: Reboot required for changing to this power mode: {}\n"
    "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:\n"
)


class Tools:
    """Stand-in of both tools: keeps the active mode, and whether clocks are locked."""

    def __init__(self, mode: int = 0, *, reboot_for: Sequence[int] = (), fails: str = "") -> None:
        self.mode, self.locked = mode, False
        self.reboot_for, self.fails = reboot_for, fails
        self.calls: list[str] = []
        self.rebooted = False

    def __call__(self, command: Sequence[str], said: str) -> Answer:
        name = Path(command[0]).name
        self.calls.append(" ".join([name, *command[1:2]]))
        if self.fails and self.calls[-1].startswith(self.fails):
            return Answer(1, "Error: no such luck\n")
        if name == "nvpmodel":
            return self.nvpmodel(command, said)
        if command[1:2] == ["--store"]:
            assert not Path(command[2]).exists()  # it would ask before overwriting
            Path(command[2]).write_text(str(self.locked))
        elif command[1:2] == ["--restore"]:
            self.locked = Path(command[2]).read_text() == "True"
        else:
            self.locked = True
        return Answer(0, "")

    def nvpmodel(self, command: Sequence[str], said: str) -> Answer:
        if command[1] == "-q":
            return Answer(0, f"NV Power Mode: X\n{self.mode}\n")
        number = int(command[2])
        if number in self.reboot_for:
            if said == "yes\n":
                self.rebooted = True
                return Answer(0, f"{QUESTION.format(number)}NVPM WARN: rebooting\n")
            ending = "NVPM ERROR: optMask is 1, no request for power mode\n"
            return Answer(0, QUESTION.format(number) + ending)
        self.mode = number
        return Answer(0, "")


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return plant(ORIN, tmp_path)


def test_mode_and_clocks_are_held_and_put_back(board: Path) -> None:
    tools = Tools()
    with held("50W", lock=True, root=board, run=tools) as mode:
        assert mode is not None
        assert mode.name == "MODE_50W"
        assert (tools.mode, tools.locked) == (3, True)
    assert (tools.mode, tools.locked) == (0, False)
    # The clocks of the old mode are stored in it, and put back in it.
    assert tools.calls == [
        "jetson_clocks --store",
        "nvpmodel -m",
        "jetson_clocks",
        "nvpmodel -m",
        "jetson_clocks --restore",
    ]


def test_clocks_that_were_locked_stay_locked(board: Path) -> None:
    tools = Tools()
    tools.locked = True
    with held(lock=True, root=board, run=tools):
        pass
    assert tools.locked
    assert "nvpmodel -m" not in tools.calls


def test_nothing_asked_is_nothing_done(tmp_path: Path) -> None:
    tools = Tools()
    with held(root=tmp_path, run=tools) as mode:
        assert mode is None
    assert tools.calls == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_errors_put_it_back(error: type[BaseException], board: Path) -> None:
    tools = Tools()
    with pytest.raises(error), held("50W", lock=True, root=board, run=tools):
        raise error
    assert (tools.mode, tools.locked) == (0, False)


def test_mode_that_needs_a_restart_changes_nothing(board: Path) -> None:
    tools = Tools(reboot_for=[2])
    with (
        pytest.raises(RebootNeededError, match="MODE_30W needs a restart"),
        held("30W", lock=True, root=board, run=tools),
    ):
        pytest.fail("the block must not run")
    assert (tools.mode, tools.locked, tools.rebooted) == (0, False, False)
    assert "jetson_clocks" not in tools.calls


@pytest.mark.parametrize("fails", ["jetson_clocks --store", "nvpmodel -m"])
def test_tool_that_fails_says_why(fails: str, board: Path) -> None:
    tools = Tools(fails=fails)
    with (
        pytest.raises(BoardError, match="no such luck"),
        held("50W", lock=True, root=board, run=tools),
    ):
        pytest.fail("the block must not run")
    assert (tools.mode, tools.locked) == (0, False)


def test_putting_back_goes_on_after_a_failure(board: Path) -> None:
    tools = Tools()
    with (
        pytest.raises(BoardError, match="did not change to MAXN"),
        held("50W", lock=True, root=board, run=tools),
    ):
        tools.fails = "nvpmodel"
    assert not tools.locked


def test_mode_of_nvpmodel_where_the_status_file_is_missing(board: Path) -> None:
    (board / "var/lib/nvpmodel/status").unlink()
    tools = Tools(mode=3)
    with held("MAXN", root=board, run=tools):
        assert tools.mode == 0
    assert tools.mode == 3


def test_unknown_mode_stops_it(board: Path) -> None:
    (board / "var/lib/nvpmodel/status").unlink()
    with (
        pytest.raises(BoardError, match="the active power mode is unknown"),
        held("MAXN", root=board, run=Tools(fails="nvpmodel -q")),
    ):
        pytest.fail("the block must not run")


def test_restart_happens_when_it_is_allowed(board: Path) -> None:
    tools = Tools(reboot_for=[2])
    mode = power_modes.read(board).find("30W")
    set_mode(mode, reboot=True, run=tools)
    assert tools.rebooted
    with pytest.raises(RebootNeededError):
        set_mode(mode, run=tools)


def test_nvpmodel_that_lies_about_its_status(board: Path) -> None:
    mode = power_modes.read(board).find("30W")
    with pytest.raises(BoardError, match="did not change to MODE_30W"):
        set_mode(mode, run=lambda command, said: Answer(0, "NVPM ERROR: bad input!\n"))


def test_signals_wait_while_it_is_put_back(board: Path) -> None:
    """A second Ctrl-C is answered when everything is as before, and not in the middle."""
    tools = Tools()

    def slow(command: Sequence[str], said: str) -> Answer:
        if "--restore" in command:
            os.kill(os.getpid(), signal.SIGINT)
        return tools(command, said)

    with pytest.raises(KeyboardInterrupt), held("50W", lock=True, root=board, run=slow):
        pass
    assert (tools.mode, tools.locked) == (0, False)


SCRIPT = """#!/bin/sh
echo "$(basename $0) $*" >> {log}
case "$*" in "--store "*) echo stored > "$2";; esac
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_a_real_process(number: signal.Signals, board: Path) -> None:
    """Real tools in a real process that is interrupted."""
    log = board / "log"
    for name in ("nvpmodel", "jetson_clocks"):
        write(board, f"bin/{name}", SCRIPT.format(log=log))
        (board / "bin" / name).chmod(0o755)
    code = (
        "import time; from edge_trt_jetson.power_control import held\n"
        f"with held('50W', lock=True, root={str(board)!r}):\n"
        "    print('held', flush=True); time.sleep(30)"
    )
    environment = {**os.environ, "PATH": f"{board / 'bin'}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) != 0
        assert time.monotonic() - start < 10
    back, clocks = log.read_text().splitlines()[-2:]
    assert back == "nvpmodel -m 0"
    assert clocks.startswith("jetson_clocks --restore /")


def test_tool_that_is_missing() -> None:
    with pytest.raises(BoardError, match="no-such-tool is not installed: it is part of Jetson"):
        power_control.run_tool(["no-such-tool"])


def test_tool_that_hangs(monkeypatch) -> None:
    monkeypatch.setattr(power_control, "TIMEOUT", 0.05)
    with pytest.raises(BoardError, match="sleep 5 failed"):
        power_control.run_tool(["sleep", "5"])


def test_root_is_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BoardError, match="root alone: sudo edge_trt power --mode 30W"):
        power_control.require_root("edge_trt power --mode 30W")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    power_control.require_root("")
