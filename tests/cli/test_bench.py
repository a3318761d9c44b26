# SPDX-License-Identifier: Apache-2.0
"""`edge_trt bench` from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.jetson.telemetry_trees import machine, plant

QUICK = ["--seconds", "0.1", "--warm-up", "0", "--device", "cpu"]


def test_a_bundle_is_measured_and_compared(edge_trt: Command, bundle: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        files = ["--json", tmp_path / f"{name}.json", "--chart", tmp_path / f"{name}.html"]
        done = edge_trt("bench", bundle, *QUICK, *files)
        assert done.status == 0, done.err
        assert "one caller" in done.out
        assert "saturated" in done.out
        assert (tmp_path / f"{name}.html").exists()
    done = edge_trt("bench", "--compare", tmp_path / "a.json", tmp_path / "b.json")
    assert done.status == 0
    assert "95 % interval" in done.out
    assert not {"better", "worse"} & {*done.out.partition("One session of each")[0].split()}
    assert "median latency, one caller [ms]" in done.out


def test_sessions_are_shown_each(edge_trt: Command, bundle: Path, tmp_path: Path) -> None:
    done = edge_trt("bench", bundle, *QUICK, "--repeat", "2", "--json", tmp_path / "a.json")
    assert done.status == 0, done.err
    assert "one caller, session 1" in done.out
    assert "saturated, session 2" in done.out
    done = edge_trt("bench", "--compare", tmp_path / "a.json", tmp_path / "a.json")
    assert done.out.count("not told apart") == 4
    assert "One session of each" not in done.out


def test_several_bundles(edge_trt: Command, bundle: Path, tmp_path: Path) -> None:
    """One record with all of them, compared bundle by bundle."""
    a, single = tmp_path / "a.json", tmp_path / "single.json"
    done = edge_trt("bench", bundle, bundle, *QUICK, "--json", a)
    assert done.status == 0, done.err
    table = done.out.partition("All at once, saturated")[2]
    for word in ("alone [1/s]", "together [1/s]", "kept", "all"):
        assert word in table
    done = edge_trt("bench", "--compare", a, a)
    assert done.status == 0, done.err
    assert done.out.count("median latency, one caller [ms]") == 2
    assert "bundle 2" in done.out
    assert "throughput, all at once [1/s]" in done.out
    assert edge_trt("bench", bundle, *QUICK, "--json", single).status == 0
    done = edge_trt("bench", "--compare", a, single)
    assert done.status == 1
    assert "has 2 and" in done.err
    assert "1 measured bundles: compare records of as many bundles" in done.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "no bundle is given"),
        (["{bundle}", "--seconds", "0"], "--seconds is 0.0: give more than 0"),
        (["{bundle}", "--callers", "0"], "--callers is 0"),
        (["{bundle}", "--repeat", "0"], "--repeat is 0: give more than 0"),
        (["{bundle}", "{bundle}", "--chart", "x.png"], "--chart takes one bundle"),
        (["{bundle}/nothing"], "nothing"),
        (["{bundle}", "--seconds", "inf"], "--seconds is inf"),
        (["{bundle}", "--warm-up", "-1"], "--warm-up is -1.0: give seconds"),
        (["{bundle}", "--cool-down", "nan"], "--cool-down is nan: give degrees"),
        (["{bundle}", "--json", "{bundle}/no/a.json"], "there is no folder"),
        (["{bundle}", "--json", "{bundle}"], "it is a folder"),
        (["{bundle}", "{bundle}", "--dla-core", "1"], "--dla-core is given 1 times for 2 bundles"),
        (["{bundle}", "--chart", "a.bmp"], "known are .png, .html, .svg"),
        (["{bundle}", "--compare", "a.json", "a.json"], "leave out bundles"),
        (["--compare", "no.json", "no.json"], "'no.json' can't be read"),
    ],
)
def test_refusals(
    edge_trt: Command, bundle: Path, arguments: list[str], problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("edge_trt.bench.measure._call", pytest.fail)  # before it measures
    done = edge_trt("bench", *(word.format(bundle=bundle) for word in arguments))
    assert done.status == 1
    assert problem in done.err
    assert "Traceback" not in done.err


HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"  # what a terminal is told of its cursor


@pytest.mark.parametrize("command", ["bench", "monitor"])
def test_sigterm_leaves_the_terminal_as_it_was(command: str, bundle: Path, tmp_path: Path) -> None:
    arguments, begun = ["bench", str(bundle), "--device", "cpu", "--seconds", "60"], b"one caller"
    if command == "monitor":
        root = plant(machine("agx orin, R36"), tmp_path / "root")
        arguments, begun = ["monitor", "--root", str(root)], b"8.72 W"
    master, slave = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "edge_trt", *arguments], stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        while begun not in shown:
            shown += os.read(master, 65536)
        process.send_signal(signal.SIGTERM)
        try:
            while data := os.read(master, 65536):
                shown += data
        except OSError:  # the other side is closed
            pass
    os.close(master)
    assert process.returncode == 143
    assert HIDDEN in shown
    assert shown.rindex(SHOWN) > shown.rindex(HIDDEN)
    assert b"Traceback" not in shown
