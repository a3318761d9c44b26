# SPDX-License-Identifier: Apache-2.0
"""``edge_trt boards`` and ``edge_trt doctor``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from edge_trt_jetson import boards, cuda, detect, probe
from edge_trt_jetson.board_checks import check_memory
from tests.cli.conftest import Command
from tests.jetson import telemetry_trees
from tests.jetson.test_probe import fake_tensorrt
from tests.jetson.trees import TREES, plant, tree

LITTLE = "MemTotal: 4000000 kB\nMemAvailable: 500000 kB\n"


def test_boards_lists_all_with_their_certainty(edge_trt: Command) -> None:
    done = edge_trt("boards")
    assert done.status == 0
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    for board in boards.all_boards():
        assert lines[board.name].split()[-1] == ("yes" if board.supported else "no")
    assert "1 x v2?" in lines["orin-nx-8gb"]
    assert "2 x v2 " in lines["agx-orin-64gb"]


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_boards_in_a_terminal_names_them_whole(width: int) -> None:
    """The names are what --target takes; other columns are left out before they are cut."""
    shown = " ".join(on_terminal(["boards"], width))
    for board in boards.all_boards():
        assert f" {board.name} " in shown
    assert "…" not in shown
    left_out = "modules" not in shown.partition("nano-2gb")[0]
    assert left_out == ("modules" in shown.partition("Left out in")[2]) == (width < 150)


def test_a_terminal_too_narrow_for_a_name_folds_it() -> None:
    assert "…" not in "".join(on_terminal(["boards"], 16))


def on_terminal(command: list[str], width: int) -> list[str]:
    """The lines that a command shows on a terminal of that width."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-m", "edge_trt", *command], stdin=slave, stdout=slave, stderr=slave,
        env={**environment, "TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(slave)
        with contextlib.suppress(OSError):  # the other side is closed
            while data := os.read(master, 65536):
                shown += data
    os.close(master)
    assert process.returncode == 0, shown
    return shown.decode().splitlines()


def test_boards_sources(edge_trt: Command) -> None:
    done = edge_trt("boards", "--sources")
    assert all(tag in done.out for tag in boards.sources())


def test_boards_json_is_the_data(edge_trt: Command) -> None:
    data = json.loads(edge_trt("boards", "--json").out)
    by_name = {entry["name"]: entry for entry in data["boards"]}
    assert by_name["orin-nx-8gb"]["dla_cores"] == {
        "value": 1,
        "source": "specification",
        "certain": False,
    }


def test_doctor_shows_every_check(edge_trt: Command) -> None:
    done = edge_trt("doctor")
    assert done.status == 0
    for check in probe.run():
        assert check.name in done.out


def test_doctor_on_a_recorded_board(edge_trt: Command, tmp_path: Path) -> None:
    orin = next(tree for tree in TREES if tree.name.startswith("agx orin 64gb"))
    done = edge_trt("doctor", "--root", plant(orin, tmp_path))
    assert done.status == 0
    assert "agx-orin-64gb; L4T 36.4.4, JetPack 6.2.1" in " ".join(done.out.split())


def test_doctor_fails_on_a_board_that_is_too_old(edge_trt: Command, tmp_path: Path) -> None:
    nano = next(tree for tree in TREES if tree.name.startswith("nano"))
    done = edge_trt("doctor", "--json", "--root", plant(nano, tmp_path))
    assert done.status == 1
    findings = {check["name"]: check for check in json.loads(done.out)}
    assert findings["board"]["status"] == "broken"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "agx orin, R36",
            {
                "memory": r"\d+\.\d of \d+\.\d GB free",
                "power mode": "MAXN .*, the fastest",
                "clocks": "(locked|floating|unknown)",
                "dla": "can't be told from a copy .*JetPack 6.2.1 ships, TensorRT 10.3.0.* 2 DLA",
            },
        ),
        ("orin nano super", {"power mode": "", "dla": "has no DLA$"}),
        ("thor", {"dla": "has no DLA"}),
        ("agx orin, R39", {"dla": "TensorRT 10.16.*has no DLA on Jetson"}),
    ],
)
def test_doctor_on_boards(
    edge_trt: Command, tmp_path: Path, name: str, rows: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # judged by the release
    root = telemetry_trees.plant(telemetry_trees.machine(name), tmp_path)
    checks = {c["name"]: c for c in json.loads(edge_trt("doctor", "--json", "--root", root).out)}
    for row, pattern in rows.items():
        assert re.search(pattern, checks[row]["found"]), checks[row]
    for check in checks.values():
        assert check["status"] == "ok" or check["fix"], check


ORIN = "agx orin 64gb devkit, JetPack 6.2.1"
DRIVER = cuda.Driver(True, "12.6", (cuda.Device("Orin", "8.7"),), "")
HOLLOW = cuda.Driver(False, "", (), "libcuda.so.1 is not installed")


@pytest.mark.parametrize(
    ("trt", "driver", "status", "found"),
    [
        (None, DRIVER, "missing", "can't be told without TensorRT; by the version that JetPack"),
        (2, HOLLOW, "missing", "can't be told without a CUDA driver; by the version, "),
        (2, DRIVER, "ok", "TensorRT 10.3.0 serves 2 DLA cores"),
        (1, DRIVER, "ok", "TensorRT 10.3.0 serves 1 DLA core "),
        (0, DRIVER, "missing", "TensorRT 10.3.0 offers no DLA core on this"),
    ],
)
def test_dla_is_ok_where_tensorrt_offers_it(
    trt: int | None, driver: cuda.Driver, status: str, found: str,
    edge_trt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    module = None if trt is None else fake_tensorrt(trt)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(cuda, "driver", lambda: driver)
    here = detect.detect(plant(tree(ORIN), tmp_path))
    monkeypatch.setattr(detect, "detect", lambda root: here)
    checks = {c["name"]: c for c in json.loads(edge_trt("doctor", "--json").out)}
    assert (checks["dla"]["status"], found in checks["dla"]["found"]) == (status, True), checks
    assert status == "ok" or checks["dla"]["fix"]


def test_doctor_says_whose_files_it_examines(edge_trt: Command, tmp_path: Path) -> None:
    assert edge_trt("doctor").out.startswith("This machine")
    done = edge_trt("doctor", "--root", plant(tree(ORIN), tmp_path))
    assert done.out.startswith(f"Board and its state by the files below {tmp_path}")
    done = edge_trt("doctor", "--root", tmp_path / "nowhere")
    assert (done.status, done.err) == (1, f"error: {tmp_path}/nowhere: is no folder\n")


@pytest.mark.parametrize(
    ("meminfo", "status", "found"),
    [
        ("MemTotal: 8000000 kB\nMemAvailable: 3000000 kB\n", "ok", "3.1 of 8.2 GB free, no swap"),
        (
            LITTLE + "SwapTotal: 4000000 kB\nSwapFree: 4000000 kB",
            "ok",
            "of swap",
        ),
        (LITTLE, "broken", "0.5 of 4.1 GB free"),
        ("MemTotal: 4000000 kB\n", "missing", "not told"),
        ("", "missing", "not told"),
    ],
)
def test_memory(tmp_path: Path, meminfo: str, status: str, found: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(meminfo)
    check = check_memory(tmp_path)
    assert check.status == status
    assert found in check.found
    assert check.fix or status == "ok"
