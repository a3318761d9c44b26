# SPDX-License-Identifier: Apache-2.0
"""examples/camera on a bundle and a video, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.examples.test_camera import CAMERA, image, pictures, read_all, written
from tests.support.bundles import Draft, node, spec


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Takes grey pictures as floats, and finds nothing in them."""
    (taken,) = image([1, 6, 8, 1], "float32").inputs
    draft = Draft([taken], [spec("y", [1, 6, 8, 1])], {"y": "a"}, values=[spec("a", [1, 6, 8, 1])])
    draft.network("main", ["x"], ["a"], [node("Relu", "x", "a")])
    return draft.write(tmp_path / "relu.edge")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return written(tmp_path / "in.y4m", pictures(20, 6, 8, 1), Fraction(200))


def command(*words: Any) -> list[str]:
    return [sys.executable, str(CAMERA / "main.py"), *map(str, words)]


def play(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=60, **options)


def test_any_bundle_with_an_image(bundle: Path, video: Path, tmp_path: Path) -> None:
    table, film = tmp_path / "t.json", tmp_path / "out.y4m"
    written_to = ("--json", table, "--film", film)
    with video.open("rb") as pipe:
        done = play(bundle, "--source", "-", "--policy", "block", *written_to, stdin=pipe)
    assert (done.returncode, done.stderr) == (0, "")
    (column,) = json.loads(table.read_text()).values()
    assert all(row in done.stdout for row in column)
    wanted = {"frames of the source": 20, "results": 20, "dropped": 0, "torch imported": "no"}
    assert {row: column[row] for row in wanted} == wanted
    assert len(read_all(film.read_bytes(), grey=False)) == 20
    done = play(bundle, "--source", tmp_path / "none.mp4")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: there is no ")
    done = play("--source", "0")
    assert done.returncode == 2
    assert "--source needs a bundle" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_the_table_so_far(
    bundle: Path, video: Path, tmp_path: Path, how: signal.Signals
) -> None:
    film = tmp_path / "out.y4m"
    words = command(bundle, "--source", video, "--loop", "--film", film)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        wait_for(1_000_000, film, p)
        p.send_signal(how)
        out, err = p.communicate(timeout=20)
    assert (p.returncode, err) == (0, "stopped\n")
    results = int(next(line for line in out.split("\n") if line.startswith("results")).split()[1])
    header, frames = film.read_bytes().split(b"\n", 1)
    size = len(b"FRAME\n") + 3 * 258 * 344
    assert header.startswith(b"YUV4MPEG2 W344 H258 F200:1 ")
    assert len(frames) % size == 0
    assert len(frames) // size >= results > 0


def test_ctrl_c_while_the_video_plays(tmp_path: Path) -> None:
    words = command("--quick", "--json", "table.json")
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL) as p:
        film = tmp_path / "build" / "camera" / "found.y4m"  # written in the second of four
        wait_for(1, film, p)
        p.send_signal(signal.SIGINT)
        assert p.wait(20) == 0
    table = json.loads((tmp_path / "table.json").read_text())
    assert [*table] == ["block", "latest"]
    assert table["block"]["results"] == 60 > table["latest"]["results"]


def wait_for(size: int, file: Path, process: subprocess.Popen[Any]) -> None:
    """Waits until a process has written that much."""
    for _ in range(3000):
        if file.exists() and file.stat().st_size >= size:
            return
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f"{file} did not grow to {size} bytes")
