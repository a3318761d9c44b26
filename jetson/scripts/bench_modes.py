#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a bundle in every power mode of a Jetson, unattended, and prints what each costs.

    sudo python3 bench_modes.py model.edge --out results --seconds 30 --cool-down 45

Each mode is held with locked clocks while `edge_trt bench` runs, after the board has cooled down,
and the mode and the clocks of before are put back. A mode that needs a restart is left out and
named: set it with `edge_trt power`, and call this again with --modes. What is there already is not
measured again, so that an interrupted suite goes on.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from edge_trt_jetson import power_modes
from edge_trt_jetson.errors import BoardError


def main(arguments: list[str] | None = None) -> int:
    """Runs the suite; returns 1 if a mode could not be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", help="directory that `edge_trt build` wrote on this board")
    parser.add_argument("--out", default="bench", metavar="DIR", help="for the records")
    parser.add_argument("--modes", nargs="*", metavar="NAME", help="which (default: all)")
    parser.add_argument("--seconds", default="30", metavar="S", help="of each load")
    parser.add_argument("--cool-down", default="45", metavar="C", help="degrees to begin at")
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)  # of recorded files
    options = parser.parse_args(arguments)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        modes = options.modes or [mode.name for mode in power_modes.read(options.root).modes]
    except BoardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    problems: dict[str, str] = {}
    signal.signal(signal.SIGTERM, terminated)
    for mode in modes:
        record = out / f"{re.sub(r'[^A-Za-z0-9]+', '_', mode)}.json"
        try:
            if not record.exists() and (problem := measure(options, mode, record)):
                problems[mode] = problem
        except KeyboardInterrupt:
            print("interrupted; the same command goes on", file=sys.stderr)
            return 130
    print_table(out)
    for mode, problem in problems.items():
        print(f"{mode}: {problem}", file=sys.stderr)
    return 1 if problems else 0


def measure(options: argparse.Namespace, mode: str, record: Path) -> str:
    """One mode; returns why it could not be measured, or an empty text."""
    print(f"--- {mode}", flush=True)
    command = [
        sys.executable, "-m", "edge_trt", "bench", options.bundle, "--mode", mode, "--lock-clocks",
        "--seconds", options.seconds, "--cool-down", options.cool_down,
        "--json", str(record), "--chart", str(record.with_suffix(".html")),
    ]  # fmt: skip
    status, said = finished(command)
    words = said.strip().splitlines()
    if status == 0:
        return ""
    return words[-1] if words else f"exit status {status}"


def finished(command: list[str]) -> tuple[int, str]:
    """Runs a command to its end; gives its exit status and errors.

    An interrupt waits for it as well: it puts the power mode and the clocks back.
    """
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, said = process.communicate()
        except BaseException as stop:
            if not isinstance(stop, KeyboardInterrupt):  # a terminal's Ctrl-C reaches both
                process.terminate()
            process.communicate()
            raise
    return process.returncode, said


def terminated(number: int, frame: FrameType | None) -> None:
    """Ends by SIGTERM as by Ctrl-C."""
    raise SystemExit(128 + number)


def print_table(out: Path) -> None:
    """All records of a folder, a row for each."""
    print(
        f"{'mode':16} {'p50 ms':>9} {'1/s':>9} {'1/s sat.':>9} {'W sat.':>8} {'mJ/run':>9} "
        f"{'1/s lanes':>9}"
    )
    for path in sorted(out.glob("*.json")):
        try:
            print(f"{path.stem:16} {row(json.loads(path.read_text()))}")
        except (ValueError, KeyError, TypeError, OSError):
            print(f"{path.stem:16} {path} is no record; remove it to measure again")


def row(record: dict[str, Any]) -> str:
    """One record as a row."""
    single, saturated = record["single"], record["saturated"]
    energy: dict[str, float] = saturated.get("energy") or {}
    lanes: dict[str, Any] = record.get("lanes") or {}
    cells = [
        f"{single['latency']['median']:9.3f}",
        f"{rate(single):9.1f}",
        f"{rate(saturated):9.1f}",
        f"{energy['watts']:8.2f}" if energy else f"{'-':>8}",
        f"{energy['joules'] * 1e3:9.2f}" if energy else f"{'-':>9}",
        f"{rate(lanes['total']):9.1f}" if lanes else f"{'-':>9}",
    ]
    doubts = f"  ! {len(record['doubts'])} doubts" if record["doubts"] else ""
    return f"{' '.join(cells)}{doubts}"


def rate(load: dict[str, Any]) -> float:
    """Runs per second."""
    return load["runs"] / load["seconds"]


if __name__ == "__main__":
    sys.exit(main())
