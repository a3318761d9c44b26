# SPDX-License-Identifier: Apache-2.0
"""The program as a whole: help without heavy imports, errors in one line, exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_trt import cli
from edge_trt._version import __version__
from tests.cli.conftest import Command, run_without

HEAVY = ["torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "torchvision", "timm", "PIL"]


def test_help_needs_nothing_installed() -> None:
    done = run_without([*HEAVY, "numpy", "msgspec", "rich"], "--help")
    assert done.returncode == 0, done.stderr
    for name, text in cli.COMMANDS.items():
        assert name in done.stdout
        assert text.split(",")[0] in " ".join(done.stdout.split())


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_every_command_works_without_torch(command: str) -> None:
    done = run_without(HEAVY, command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: edge_trt {command}")


@pytest.mark.parametrize("command", ["boards", "doctor"])
def test_command_works_without_torch_and_numpy(command: str) -> None:
    done = run_without([*HEAVY, "numpy", "msgspec"], command, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_help_is_quick() -> None:
    command = [sys.executable, "-m", "edge_trt", "--help"]
    seconds: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.25, f"{min(seconds):.3f} s"


def test_both_scripts_are_installed() -> None:
    folder = Path(sys.executable).parent
    for script in ("edge_trt", "edge-trt"):
        done = subprocess.run(
            [folder / script, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"edge_trt {__version__}\n"


def test_wrong_usage_exits_with_2(edge_trt: Command) -> None:
    assert edge_trt().status == 2
    assert edge_trt("boards", "--no-such-flag").status == 2
    done = edge_trt("biuld")
    assert done.status == 2
    assert "invalid choice: 'biuld'" in done.err


def test_error_is_one_line(edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("inspect", tmp_path / "nothing.edge")
    assert done.status == 1
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert "nothing.edge" in done.err


def test_debug_shows_the_traceback(edge_trt: Command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("EDGE_TRT_DEBUG", "1")
    with pytest.raises(Exception, match=r"nothing\.edge"):
        edge_trt("inspect", tmp_path / "nothing.edge")


def test_missing_package_names_the_extra() -> None:
    missing = ModuleNotFoundError("No module named 'torch.fx'", name="torch.fx")
    assert cli.explain(missing) == "torch is not installed: pip install 'edge-trt[torch]'"


def test_unforeseen_error_names_its_type() -> None:
    assert cli.explain(KeyError("x")).startswith("KeyError: 'x' (not foreseen; EDGE_TRT_DEBUG=1")


def test_interrupt_exits_with_130(edge_trt: Command, monkeypatch) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_trt.cli.boards.run", interrupted)
    done = edge_trt("boards")
    assert (done.status, done.err) == (130, "interrupted\n")


def test_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "edge_trt", "boards", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
