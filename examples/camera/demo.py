# SPDX-License-Identifier: Apache-2.0
"""Builds bundle and video, plays it in processes without torch, and judges what was found."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[1] / "detection"))

import torchvision_kernels as torchvision_kernels
from canvases import Canvas
from clips import clip
from marking import Found
from model import create
from program import Arguments, console
from scoring import matches
from y4m import Writer

import edge_trt

PROGRAM = Path(__file__).with_name("main.py")
RATE = 30
TOO_FAST = 5
"""How many frames the source gives in the time in which the model runs one."""
DEADLINE = 0.2


def demonstrate(given: Namespace) -> int:
    """Plays the video in the ways that the last table compares."""
    typed = Arguments(given.quick, given.output, given.json)
    typed.output.mkdir(parents=True, exist_ok=True)
    bundle, video = typed.output / "digits.edge", typed.output / "digits.y4m"
    model, inputs = create()
    edge_trt.compile(model, inputs, fallback="onnxruntime").save(bundle)
    truth = film(video, 60 if typed.quick else 600)
    shots = Shots(bundle, video, truth)
    shots.play("block", "--policy", "block")
    best = typed.output / "found.y4m"
    live = ("--policy", "latest", "--deadline", str(DEADLINE))
    shots.play("latest", *live, "--film", str(best))
    loop = ("--loop", "--limit", str(5 * len(truth)))
    shots.play("block, unpaced", "--policy", "block", "--no-pacing", *loop)
    if not shots.stopped:
        fps = TOO_FAST / min(column["ran p50 [ms]"] * 1e-3 for column in shots.columns.values())
        loop = ("--loop", "--limit", str(5 * TOO_FAST * len(truth)), "--fps", f"{fps:.0f}")
        shots.play("latest, too fast", *live, *loop)
    if best.is_file():
        console.print(f"\nwhat was found, drawn: {best}")
    typed.finish(
        f"{len(truth)} frames, {RATE} a second; as fast as they run; {TOO_FAST} in the time of one",
        shots.columns,
    )
    return 0


def film(video: Path, frames: int) -> list[Canvas]:
    """Writes the video, and returns what is there to be seen in each frame."""
    truth = list(clip(frames))
    with Writer(video, Fraction(RATE)) as writer:
        for canvas in truth:
            writer.write(canvas.pixels[..., None])
    return truth


class Shots:
    """Plays a video again and again.

    Attributes:
        columns: of the last table, by how it was played.
        stopped: whether Ctrl-C was typed, after which nothing is played.
    """

    def __init__(self, bundle: Path, video: Path, truth: Sequence[Canvas]) -> None:
        self._command = [sys.executable, str(PROGRAM), str(bundle), "--source", str(video)]
        self._truth = truth
        self.columns: dict[str, dict[str, Any]] = {}
        self.stopped = False

    def play(self, name: str, *options: str) -> None:
        """Plays it once, unless it was stopped, and adds the column."""
        if self.stopped:
            return
        with TemporaryDirectory() as folder:
            table, found = Path(folder, "table.json"), Path(folder, "found.npz")
            command = [*self._command, *options, "--json", str(table), "--found", str(found)]
            console.print(f"[bold]{name}[/bold]: {' '.join(options)}")
            status = self._run(command)
            if status and not self.stopped:
                raise SystemExit(status)
            if found.is_file():
                (column,) = json.loads(table.read_text()).values()
                self.columns[name] = column | judged(found, self._truth)

    def _run(self, command: list[str]) -> int:
        """Runs a program to its end, which Ctrl-C brings about."""
        # In a session of its own, or the terminal would send Ctrl-C to both, and that twice.
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                self.stopped = True
                process.send_signal(signal.SIGINT)
                return process.wait()


def judged(file: Path, truth: Sequence[Canvas]) -> dict[str, float]:
    """How much of what was to be seen in frames that were run was found, and what else."""
    with np.load(file) as saved:
        numbers, counts = saved["numbers"], saved["counts"]
        if not len(numbers):
            return {}
        found = Found(*(saved[name] for name in Found._fields))
    right, wanted, start = 0, 0, 0
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        there = truth[number % len(truth)]  # it may have been played again
        some = slice(start, start + count)
        start += count
        wanted += len(there.digits)
        for digit in np.unique(there.digits):
            boxes = found.boxes[some][found.classes[some] == digit]
            right += sum(matches(boxes, there.boxes[there.digits == digit]))
    return {
        "digits found right [%]": 100 * right / wanted,
        "boxes without a digit [%]": 100 * (len(found.scores) - right) / max(len(found.scores), 1),
    }
