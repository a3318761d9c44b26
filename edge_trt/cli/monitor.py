# SPDX-License-Identifier: Apache-2.0
"""``edge_trt monitor``: load, clocks, power, temperatures, memory and throttling, as they are now.

A terminal gets a table that is kept up to date until Ctrl-C; a file gets one line for each look.
The memory's clock and those of the DLAs are shown to root alone: the kernel shows them to nobody
else. --tegrastats sums up a log that `tegrastats --logfile` wrote.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_trt_jetson.detect import Detection
from edge_trt_jetson.telemetry.reader import Reader
from edge_trt_jetson.telemetry.sample import Sample

FIRST = 0.25  # seconds between the two looks that a load needs
FASTEST = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--once", action="store_true", help="look once and end")
    parser.add_argument(
        "--json", action="store_true", help="print one line of JSON for each look, in SI units"
    )
    parser.add_argument(
        "--interval", type=_interval, default=1.0, metavar="S", help="seconds (default: 1)"
    )
    parser.add_argument(
        "--root", default="/", metavar="DIR", help="look at a copy of another machine's files"
    )
    parser.add_argument(
        "--tegrastats", metavar="LOG", help="sum up a log of tegrastats (- for standard input)"
    )


def _interval(text: str) -> float:
    seconds = float(text)
    if not FASTEST <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: at least {FASTEST} s")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Look until Ctrl-C, or once."""
    if arguments.tegrastats:
        from edge_trt.cli.tegrastats import summarize

        return summarize(arguments.tegrastats, as_json=arguments.json)
    if not Path(arguments.root).is_dir():
        raise NotADirectoryError(20, "is no folder", arguments.root)
    with Reader(arguments.root) as reader:
        looks = _looks(reader, arguments)
        if arguments.json:
            _print_json(looks, reader.detection, arguments.root)
        elif arguments.once:
            _print_once(next(looks), reader.detection, arguments.root)
        elif sys.stdout.isatty():
            _show(looks, reader.detection, arguments.root)
        else:
            _print_lines(looks, reader.detection)
    return 0


def _looks(reader: Reader, arguments: argparse.Namespace) -> Iterator[Sample]:
    """One sample, or one every interval for ever."""
    reader.read()  # loads are counted from here
    if arguments.root == "/":
        time.sleep(min(FIRST, arguments.interval))
    due = time.monotonic()
    while True:
        yield reader.read()
        if arguments.once:
            return
        # What was missed while the machine slept is not made up for.
        due = max(due + arguments.interval, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0.0))


def _print_json(looks: Iterator[Sample], found: Detection | None, root: str) -> None:
    import json

    from edge_trt.cli.board_view import as_data, settings

    board = found.board.name if found and found.board else None
    for sample in looks:
        data: dict[str, Any] = {"board": board, "epoch": time.time()}
        if found is not None:
            data["mode"], data["clocks"] = settings(root)
        data |= as_data(sample)
        print(json.dumps(data), flush=True)


def _print_once(sample: Sample, found: Detection | None, root: str) -> None:
    from edge_trt.cli.board_view import COLUMNS, rows, title
    from edge_trt.cli.console import print_table

    print_table(title(found), COLUMNS, rows(sample, root if found else ""))
    _explain(found)


def _print_lines(looks: Iterator[Sample], found: Detection | None) -> None:
    from edge_trt.cli.board_view import line

    _explain(found)
    for sample in looks:
        print(time.strftime("%H:%M:%S"), line(sample), flush=True)


def _show(looks: Iterator[Sample], found: Detection | None, root: str) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from edge_trt.cli.board_view import COLUMNS, rows, title
    from edge_trt.cli.console import console, table
    from edge_trt_jetson.power_control import terminable

    with terminable(), Live(console=console(), auto_refresh=False, screen=False) as live:
        try:
            for sample in looks:
                note = Text("Ctrl-C ends it.", style="dim")
                shown = table(title(found), COLUMNS, rows(sample, root if found else ""))
                live.update(Group(shown, note), refresh=True)
        except KeyboardInterrupt:  # the way to end it, and no failure
            return


def _explain(found: Detection | None) -> None:
    if found is None:
        print("No Jetson: power rails, engines, throttling and power modes are read on one alone.")
        return
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
