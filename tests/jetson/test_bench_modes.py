# SPDX-License-Identifier: Apache-2.0
"""The unattended suite, with a stand-in for nvpmodel's board and for `edge_trt bench`."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.jetson.telemetry_trees import machine, plant

SCRIPT = Path(__file__).parents[2] / "jetson/scripts/bench_modes.py"


@pytest.fixture
def suite() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_modes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_mode_is_measured_once(
    suite: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured: list[str] = []

    def finished(command: list[str]) -> tuple[int, str]:
        mode = command[command.index("--mode") + 1]
        measured.append(mode)
        if mode == "MODE_15W":
            return 1, "warm-up\nerror: 15W needs a restart\n"
        load = {"runs": 200, "seconds": 2.0, "latency": {"median": 9.5},
                "energy": {"watts": 20.0, "joules": 0.2}}  # fmt: skip
        record = {"single": load | {"energy": None}, "saturated": load, "doubts": []}
        if mode != "MAXN":
            record["lanes"] = {"each": [], "total": {"runs": 900, "seconds": 3.0}}
        Path(command[command.index("--json") + 1]).write_text(json.dumps(record))
        return 0, ""

    monkeypatch.setattr(suite, "finished", finished)
    root = plant(machine("agx orin, R36"), tmp_path / "root")
    arguments = ["m.edge", "--out", str(tmp_path / "out"), "--root", str(root)]
    assert suite.main(arguments) == 1
    modes = ["MAXN", "MODE_15W", "MODE_30W", "MODE_50W"]
    assert measured == modes
    told = capsys.readouterr()
    assert "MODE_15W: error: 15W needs a restart" in told.err
    rows = [line.split() for line in told.out.splitlines() if line.startswith("M")]
    assert rows == [
        [m, "9.500", "100.0", "100.0", "20.00", "200.00", "-" if m == "MAXN" else "300.0"]
        for m in modes
        if "15" not in m
    ]
    suite.main(arguments)
    assert measured == [*modes, "MODE_15W"]  # the rest is there already


def test_a_machine_without_modes(
    suite: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite.main(["m.edge", "--out", str(tmp_path / "o"), "--root", str(tmp_path)]) == 1
    assert "power modes exist on a Jetson" in capsys.readouterr().err


SLOW = """
import sys, time
print("begun", flush=True)
try:
    time.sleep(30)
finally:
    time.sleep(0.6)  # longer than subprocess.run waits before it kills
    open(sys.argv[1], "w").write("put back")
"""
RUNNER = """
import importlib.util, signal, sys
spec = importlib.util.spec_from_file_location("suite", sys.argv[1])
suite = importlib.util.module_from_spec(spec)
spec.loader.exec_module(suite)
signal.signal(signal.SIGTERM, suite.terminated)
suite.finished(sys.argv[2:])
"""


def test_ctrl_c_waits_until_clocks_are_put_back(tmp_path: Path) -> None:
    done = tmp_path / "done"
    command = [sys.executable, "-c", RUNNER, str(SCRIPT), sys.executable, "-c", SLOW, str(done)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
        process.wait(10)
        assert done.read_text() == "put back"


def test_an_interrupted_suite_and_a_damaged_record(
    suite: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(_: list[str]) -> tuple[int, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "finished", interrupted)
    out = tmp_path / "out"
    out.mkdir()
    (out / "MAXN.json").write_text('{"single": ')
    arguments = ["m.edge", "--out", str(out), "--modes"]
    assert suite.main([*arguments, "MAXN", "15W"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert suite.main([*arguments, "MAXN"]) == 0
    assert "MAXN.json is no record; remove it" in capsys.readouterr().out
