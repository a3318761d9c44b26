# SPDX-License-Identifier: Apache-2.0
"""The unattended suite, with a stand-in for nvpmodel's board and for `edge_trt bench`."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace

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

    def run(command: list[str], **_: object) -> SimpleNamespace:
        mode = command[command.index("--mode") + 1]
        measured.append(mode)
        if mode == "MODE_15W":
            return SimpleNamespace(returncode=1, stderr="warm-up\nerror: 15W needs a restart\n")
        load = {"runs": 200, "seconds": 2.0, "latency": {"median": 9.5},
                "energy": {"watts": 20.0, "joules": 0.2}}  # fmt: skip
        record = {"single": load | {"energy": None}, "saturated": load, "doubts": []}
        Path(command[command.index("--json") + 1]).write_text(json.dumps(record))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    root = plant(machine("agx orin, R36"), tmp_path / "root")
    arguments = ["m.edge", "--out", str(tmp_path / "out"), "--root", str(root)]
    assert suite.main(arguments) == 1
    modes = ["MAXN", "MODE_15W", "MODE_30W", "MODE_50W"]
    assert measured == modes
    told = capsys.readouterr()
    assert "MODE_15W: error: 15W needs a restart" in told.err
    rows = [line.split() for line in told.out.splitlines() if line.startswith("M")]
    assert rows == [
        [m, "9.500", "100.0", "100.0", "20.00", "200.00"] for m in modes if "15" not in m
    ]
    suite.main(arguments)
    assert measured == [*modes, "MODE_15W"]  # the rest is there already


def test_a_machine_without_modes(
    suite: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite.main(["m.edge", "--out", str(tmp_path / "o"), "--root", str(tmp_path)]) == 1
    assert "power modes exist on a Jetson" in capsys.readouterr().err
