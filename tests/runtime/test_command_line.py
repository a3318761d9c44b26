# SPDX-License-Identifier: Apache-2.0
"""``python -m edge_trt_runtime``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_trt_runtime.__main__ import main
from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.manifest import Range
from tests.support.bundles import relu_draft, self_tested


def test_prints_what_a_bundle_holds(tmp_path: Path) -> None:
    draft = relu_draft(["n", 4], {"n": Range(1, 2, 8)})
    path = draft.write(tmp_path / "m.edge")
    result = subprocess.run(
        [sys.executable, "-m", "edge_trt_runtime", path], capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
    size = len(draft.files["engines/cpu/main.onnx"])
    assert result.stdout == (
        f"{path}: fp32, {size} bytes in 1 files\n"
        "  built by edge-trt 0.1.0 for cpu\n"
        "inputs\n"
        "  x  float32[n, 4]  n: 1..8\n"
        "outputs\n"
        "  output  float32[n, 4]  n: 1..8\n"
        "segments\n"
        "  main  network on gpu: x -> main.0\n"
        "engines\n"
        f"  main  cpu (onnx), engines/cpu/main.onnx, {size} bytes\n"
    )


def test_a_device_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(relu_draft().write(tmp_path / "m.edge"))
    assert main([path, "--device", "cpu"]) == 0
    assert capsys.readouterr().out.endswith("runs on the CPU\n")
    assert main([path, "--device", "gpu"]) == 1
    assert capsys.readouterr().err.startswith("error: unknown device 'gpu'")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "long"])
def test_a_bench_takes_seconds(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["m.edge", "--bench", seconds])
    assert "argument --bench: invalid" in capsys.readouterr().err


def test_a_reader_that_leaves_and_ctrl_c(tmp_path: Path) -> None:
    path = relu_draft().write(tmp_path / "m.edge")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-u", "-m", "edge_trt_runtime", str(path)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    running = subprocess.Popen(
        [*command, "--bench", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout
    while "runs on" not in running.stdout.readline():
        pass
    running.send_signal(signal.SIGINT)
    assert running.communicate()[1] == "interrupted\n"
    assert running.returncode == 130


def test_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(self_tested(tmp_path)), "--verify"]) == 0
    out = capsys.readouterr().out
    assert "files: 2 as built\n" in out
    assert "  case1 output: passed (max error 0)\n" in out


def test_verify_fails_on_a_wrong_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(self_tested(tmp_path, error=0.5)), "--verify"]) == 1
    assert "case1 output: FAILED: 4 of 4 values differ" in capsys.readouterr().out


def test_verify_without_a_self_test_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(relu_draft().write(tmp_path / "m.edge")), "--verify"]) == 0
    assert "self-test: none recorded" in capsys.readouterr().out


def test_errors_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = str(tmp_path / "none.edge")
    monkeypatch.delenv("EDGE_TRT_DEBUG", raising=False)
    assert main([missing]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {missing!r} does not exist: ")
    assert captured.err.count("\n") == 1
    monkeypatch.setenv("EDGE_TRT_DEBUG", "1")
    with pytest.raises(BundleError):
        main([missing])
