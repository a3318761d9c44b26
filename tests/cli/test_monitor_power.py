# SPDX-License-Identifier: Apache-2.0
"""``edge_trt monitor`` and ``edge_trt power``, on trees of boards and on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_trt_jetson import clocks, power_control
from edge_trt_jetson.power_control import Answer
from tests.cli.conftest import Command, run_without
from tests.jetson.telemetry_trees import MACHINES, Machine, cpu_times, machine, plant, write
from tests.jetson.test_power_control import QUESTION
from tests.jetson.test_tegrastats import LINES

ORIN = machine("agx orin, R36")
REAL_RUN = power_control.run_tool
SHOW = """test "$1" = --show || exit 1
echo "cpu0: Online=1 Governor=schedutil MinFreq=2188800 MaxFreq=2188800 CurrentFreq=2188800"
echo "GPU MinFreq=1300500000 MaxFreq=1300500000 CurrentFreq=1300500000"
"""


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_monitor_on_a_board(machine: Machine, edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("monitor", "--once", "--root", plant(machine, tmp_path))
    assert done.status == 0
    assert f"power {machine.watts:.2f} W" in words(done.out)
    assert f"(id {machine.mode}); clocks floating" in words(done.out)
    assert f"L4T {machine.tree.release.split()[1][1:]}." in done.out
    assert "throttling" in done.out


def test_monitor_says_what_needs_root(edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("monitor", "--once", "--root", plant(ORIN, tmp_path, debugfs=False))
    assert "emc unavailable: needs root" in words(done.out)
    assert "engines unavailable: needs root" in words(done.out)
    assert "dla0 on" in words(done.out)  # everybody may see whether it has power
    assert "1600 MHz" not in done.out


def test_monitor_names_the_rail_that_is_missing(edge_trt: Command, tmp_path: Path) -> None:
    plant(ORIN, tmp_path)
    (tmp_path / "sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr2_input").write_text("")
    done = edge_trt("monitor", "--once", "--root", tmp_path)
    assert "power unavailable: VDD_CPU_CV is empty. VDD_GPU_SOC 2.41 W" in words(done.out)


def test_monitor_shows_no_value_of_what_is_empty(edge_trt: Command, tmp_path: Path) -> None:
    """A copy of a board that went wrong: every row has its reason, and none a value."""
    plant(ORIN, tmp_path)
    for path in (*(tmp_path / "sys").rglob("*"), tmp_path / "proc/meminfo", tmp_path / "proc/stat"):
        if path.is_file():
            path.write_text("")
    done = edge_trt("monitor", "--once", "--root", tmp_path)
    rows = {line.split()[0]: words(line) for line in done.out.splitlines() if line.strip()}
    for part, reason in {
        "cpu": r"12 .* unavailable: /proc/stat tells no cores; scaling_cur_freq is empty",
        "gpu": "unavailable: is empty",
        "emc": "unavailable: is empty",
        "dla0": "unavailable: is empty",
        "dla1": "unavailable: is empty",
        "memory": "unavailable: is empty",
        "power": r"unavailable: 1-0040/hwmon3/name is empty; 1-0041/hwmon4/name is empty",
        "temperature": "unavailable: thermal_zone0 is empty, thermal_zone1 is empty, .*",
        "throttling": r"unavailable: 1-0040/hwmon3/name is empty \(6 of 6 files that tell it .*\)",
    }.items():
        assert re.fullmatch(f"{part} {reason}", rows[part]), rows[part]


HWMON = "sys/bus/i2c/devices/1-0040/hwmon/hwmon3"
ZONES = "sys/devices/virtual/thermal"
DLA0 = "sys/bus/platform/devices/15880000.nvdla0/power/runtime_status"


@pytest.mark.parametrize(
    ("path", "text", "row"),
    [
        (f"{HWMON}/curr1_crit_alarm", "", "unavailable: hwmon3/curr1_crit_alarm is empty (1 of 15"),
        (f"{HWMON}/in1_label", "", "power unavailable: hwmon3/in1_label is empty. VDD_CPU_CV"),
        (DLA0, "", "dla0 unavailable: is empty"),
        (DLA0, "unsupported", "dla0 unavailable: says b'unsupported'"),
        (f"{ZONES}/thermal_zone0/temp", "", "tj 52.6. unavailable: cpu is empty"),
    ],
)  # fmt: skip
def test_monitor_says_which_file_is_missing(
    path: str, text: str, row: str, edge_trt: Command, tmp_path: Path
) -> None:
    plant(ORIN, tmp_path, debugfs=False)
    (tmp_path / path).write_text(text)
    assert row in words(edge_trt("monitor", "--once", "--root", tmp_path).out)


def test_monitor_tells_of_throttling(edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("monitor", "--once", "--root", plant(machine("orin nano super"), tmp_path))
    assert "throttling yes cpu-throttle-alert slows down: step 1 of 4." in words(done.out)


def test_monitor_json_is_one_line(edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("monitor", "--once", "--json", "--root", plant(ORIN, tmp_path))
    data = json.loads(done.out)
    assert done.out.count("\n") == 1
    assert data["board"] == "agx-orin-64gb"
    assert (data["mode"], data["clocks"]) == ("MAXN (id 0)", "floating")
    assert data["watts"] == pytest.approx(ORIN.watts)
    assert data["gpu"] == {"on": None, "load": 0.361, "hz": 1300500000, "powered": None}
    assert data["engines"]["dla0"]["on"] is True
    assert data["cpus"][0]["hz"] == 2188800000


def test_mode_that_is_not_told(edge_trt: Command, tmp_path: Path) -> None:
    plant(ORIN, tmp_path)
    (tmp_path / "etc/nvpmodel.conf").unlink()
    done = edge_trt("monitor", "--once", "--root", tmp_path)
    assert "mode unknown: /etc/nvpmodel.conf: not here; clocks floating" in words(done.out)


def test_many_cores_are_not_listed(edge_trt: Command, tmp_path: Path) -> None:
    write(tmp_path, "proc/stat", cpu_times([*range(96)], 1, 1))
    done = edge_trt("monitor", "--once", "--root", tmp_path)
    assert "cpu 96 cores: -" in words(done.out)
    assert "mode" not in done.out.replace("modes", "")


def test_monitor_here(edge_trt: Command) -> None:
    done = edge_trt("monitor", "--once", "--interval", "0.05")
    assert done.status == 0
    assert "This machine (no Jetson)" in done.out
    assert done.out.splitlines()[-1].startswith("No Jetson: power rails")
    assert "memory" in done.out


def test_monitor_without_numpy_and_torch() -> None:
    argv = ["monitor", "--once", "--json", "--interval", "0.05"]
    done = run_without(["torch", "numpy", "msgspec", "rich"], *argv)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["memory"]["total"] > 0


def test_monitor_of_a_pipe_is_a_log_until_it_is_interrupted(tmp_path: Path) -> None:
    root = plant(ORIN, tmp_path)
    command = [sys.executable, "-m", "edge_trt", "monitor", "--interval", "0.05", "--root", root]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert all("gpu 36%, dla0 on, 8.72 W, 52.6 C, memory 30.7 GiB" in line for line in lines)
    assert (process.returncode, errors) == (130, "interrupted\n"), rest


def test_monitor_on_a_terminal_is_a_table_until_it_is_interrupted(tmp_path: Path) -> None:
    root = plant(ORIN, tmp_path)
    master, slave = os.openpty()
    command = [sys.executable, "-m", "edge_trt", "monitor", "--interval", "0.1", "--root", root]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        while shown.count(b"8.72 W") < 2:  # it is drawn again
            shown += os.read(master, 65536)
        process.send_signal(signal.SIGINT)
        try:
            while data := os.read(master, 65536):
                shown += data
        except OSError:  # the other side is closed
            pass
    os.close(master)
    assert process.returncode == 0
    assert b"Traceback" not in shown
    assert b"Jetson AGX Orin 64GB (L4T 36.4.4, JetPack 6.2.1)" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--interval", "0.001"], 2, "0.001: at least 0.05 s"),
        (["--interval", "nan"], 2, "at least"),
        (["--interval", "inf"], 2, "at least"),
        (["--interval", "fast"], 2, "invalid _interval value"),
        (["--root", "/nowhere/at/all"], 1, "/nowhere/at/all: is no folder"),
        (["--tegrastats", "/nowhere/log"], 1, "/nowhere/log: no such file or directory"),
        (["--tegrastats", "/proc/self/status"], 1, "has no line of tegrastats: write one with"),
    ],
)
def test_monitor_refuses(
    arguments: list[str], status: int, message: str, edge_trt: Command
) -> None:
    done = edge_trt("monitor", *arguments)
    assert done.status == status
    assert message in done.err


def test_log_of_tegrastats(edge_trt: Command, tmp_path: Path) -> None:
    line = LINES["agx orin, R35, DLA busy"][0]
    log = tmp_path / "log"
    text = "".join(f"{line.replace('08:49:48', f'08:49:{s:02}')} NEW\n" for s in range(10, 21))
    log.write_text("tegrastats begins\n" + text + line[:40])
    done = edge_trt("monitor", "--tegrastats", log)
    assert "log: 11 lines\n" in re.sub(" +\n", "\n", done.out)
    assert done.err == (
        f"warning: the last line of {log} is half-written, and left out\n"
        f"warning: {log} has 1 line not of tegrastats, left out\n"
    )
    out = words(done.out)
    assert "VIN_SYS_5V0) 22.430 22.430 22.430 224.300 J +- 0.010 J (k = 2) in 10 s" in out
    assert "VDD_CPU_CV 14.312 14.312 14.312 143.120 J" in out
    assert "GPU load: 14% in the mean, 14% at most" in out
    assert "Not understood: NEW" in out
    lines = edge_trt("monitor", "--tegrastats", log, "--json").out.splitlines()
    assert [json.loads(line)["engines"]["dla0"]["hz"] for line in lines] == [1600000000] * 11


def test_log_with_nothing_but_half_a_line(edge_trt: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LINES["nano, R32, root"][0])
    done = edge_trt("monitor", "--tegrastats", log)
    assert done.status == 1
    assert f"{log} has no whole line of tegrastats: write one" in done.err


def test_log_without_times_has_no_energy(edge_trt: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{LINES['nano, R32, root'][0]}\n" * 3)
    done = edge_trt("monitor", "--tegrastats", log)
    assert "board (POM_5V_IN) 0.933 0.933 0.933" in words(done.out)
    assert "No energy: the lines carry no times" in done.out
    data = json.loads(edge_trt("monitor", "--tegrastats", log, "--json").out.splitlines()[0])
    assert data["time"] is None


def test_modes_of_a_board(edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("power", "--root", plant(ORIN, tmp_path))
    assert done.status == 0
    lines = [words(line) for line in done.out.splitlines()]
    assert "0 MAXN 12 - - - - active, fastest" in lines
    assert "2 MODE_30W 8 1728 612 - 1370 default" in lines
    assert "Active: MAXN (id 0)" in lines
    assert any(line.startswith("Clocks: floating (cpu: floating up to 2189 MHz") for line in lines)


@pytest.mark.parametrize("end", ["< POWER_MODEL ID=2", "GPU MAX_FREQ", "< PM_CONFIG DEFAULT=2 "])
def test_half_a_list_of_modes_is_said_to_be_one(
    end: str, edge_trt: Command, tmp_path: Path
) -> None:
    conf = plant(ORIN, tmp_path) / "etc/nvpmodel.conf"
    text = conf.read_text()
    conf.write_text(text[: text.rindex(end) + len(end)].rstrip(">\n"))
    done = edge_trt("power", "--root", tmp_path)
    assert done.err.startswith("warning: /etc/nvpmodel.conf ends in the middle (no PM_CONFIG)")
    assert "active" in done.out
    assert "fastest" not in done.out
    assert "ends in the middle" in json.loads(
        edge_trt("power", "--json", "--root", tmp_path).out)["doubt"]  # fmt: skip
    mode = "mode MAXN (id 0) (/etc/nvpmodel.conf ends in the middle"
    assert mode in words(edge_trt("monitor", "--once", "--root", tmp_path).out)
    checks = {
        c["name"]: c for c in json.loads(edge_trt("doctor", "--json", "--root", tmp_path).out)
    }
    assert "ends in the middle" in checks["power mode"]["found"]


def test_clock_of_a_dla_that_is_not_there_is_not_shown(edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("power", "--root", plant(machine("orin nano super"), tmp_path))
    assert "0 15W 6 1728 612 - none" in words(done.out)


def test_modes_as_json(edge_trt: Command, tmp_path: Path) -> None:
    data = json.loads(edge_trt("power", "--json", "--root", plant(ORIN, tmp_path)).out)
    assert (data["active"], data["default"], data["best"]) == ("MAXN", 2, "MAXN")
    assert data["clocks"]["locked"] is False
    mode = {mode["name"]: mode for mode in data["modes"]}["MODE_30W"]
    assert (mode["id"], mode["gpu_hz"], mode["dla_hz"]) == (2, 612000000, [1369600000] * 2)
    assert "different parts of the GPU" in mode["restart"]


def test_root_asks_jetson_clocks_for_what_is_missing(
    edge_trt: Command, nvpmodel, tmp_path: Path, monkeypatch
) -> None:
    """Where no file tells of the clocks, the tool's word is shown, if there is a tool."""
    unknown = clocks.read(tmp_path / "empty")
    monkeypatch.setattr(clocks, "read", lambda root: unknown)
    assert "Clocks: unknown" in edge_trt("power").out
    tool = tmp_path / "bin/jetson_clocks"
    write(tmp_path, "bin/jetson_clocks", "#!/bin/sh\n" + SHOW)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(power_control, "run_tool", REAL_RUN)
    monkeypatch.setattr(power_control.show_clocks, "__defaults__", (REAL_RUN,))
    assert "Clocks: locked (cpu: locked at 2189 MHz" in edge_trt("power").out


def test_power_here_says_why_not(edge_trt: Command) -> None:
    done = edge_trt("power")
    assert done.status == 1
    assert done.err.startswith("error: /etc/nvpmodel.conf: not here: power modes exist on a Jetson")


@pytest.fixture
def nvpmodel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """This machine is an AGX Orin in mode 0, and its nvpmodel asks before mode 2."""
    root = plant(ORIN, tmp_path)
    status = root / "var/lib/nvpmodel/status"
    said: list[tuple[str, str]] = []
    real = power_control.power_modes.read

    def read(where: str | Path = "/"):
        return real(root if str(where) == "/" else where)

    def run(command, answer: str = "") -> Answer:
        said.append((command[2], answer))
        if command[2] == "2":
            return Answer(0, QUESTION.format(2))
        status.write_text(f"pmode:{int(command[2]):04} fmode:quiet\n")
        return Answer(0, "")

    monkeypatch.setattr(power_control.power_modes, "read", read)
    monkeypatch.setattr(power_control, "run_tool", run)
    monkeypatch.setattr(power_control.set_mode, "__kwdefaults__", {"reboot": False, "run": run})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return said


def test_mode_is_changed(edge_trt: Command, nvpmodel: list[tuple[str, str]]) -> None:
    done = edge_trt("power", "--mode", "50w")
    assert (done.status, nvpmodel) == (0, [("3", "no\n")])
    assert done.out.startswith("MODE_50W (id 3) is active; lock the clocks again")
    assert edge_trt("power", "--mode", "MODE_50W").out == "MODE_50W (id 3) is active already\n"


def test_restart_needs_a_yes(edge_trt: Command, nvpmodel: list[tuple[str, str]]) -> None:
    done = edge_trt("power", "--mode", "30W")
    assert (done.status, nvpmodel) == (1, [])
    assert "give power to different parts of the GPU): --yes restarts it" in done.err
    done = edge_trt("power", "--mode", "30W", "--yes")
    assert (done.status, nvpmodel) == (0, [("2", "yes\n")])
    assert done.out == "MODE_30W (id 2) becomes active when the machine has restarted\n"


@pytest.mark.parametrize(
    ("answer", "status", "said"), [("y", 0, [("2", "yes\n")]), ("", 1, []), ("no", 1, [])]
)
def test_restart_is_asked_for(
    answer: str, status: int, said: list[tuple[str, str]], edge_trt: Command, nvpmodel, monkeypatch
) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    questions: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text: questions.append(text) or answer)
    done = edge_trt("power", "--mode", "30W")
    assert (done.status, nvpmodel) == (status, said)
    assert "MODE_30W (id 2) needs a restart of this machine" in questions[0]
    assert ("nothing was changed" in done.out) == (status == 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "60W"], "'60W' is no power mode of this board: it has MAXN (id 0), MODE_15W"),
        (["--mode", "30W"], f"root alone: sudo {sys.executable} -m edge_trt power --mode 2"),
    ],
)
def test_mode_is_refused(
    arguments: list[str], message: str, edge_trt: Command, nvpmodel, monkeypatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = edge_trt("power", *arguments)
    assert (done.status, nvpmodel) == (1, [])
    assert message in done.err


def test_mode_of_a_copy_is_not_changed(edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("power", "--mode", "30W", "--root", plant(ORIN, tmp_path))
    assert (done.status, done.err) == (1, "error: --mode changes this machine: leave --root out\n")
