# SPDX-License-Identifier: Apache-2.0
"""A log of tegrastats, summed up: power and energy by rail, loads, temperatures."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path

from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.telemetry import tegrastats
from edge_trt_jetson.telemetry.energy import Energy, energy
from edge_trt_jetson.telemetry.sample import Sample


def summarize(path: str, *, as_json: bool) -> int:
    """Print the summary of a log.

    Args:
        path: The log; `-` is standard input.
        as_json: Whether to print every line as JSON instead, one a line.

    Raises:
        BoardError: No line of it is of tegrastats.
    """
    if path == "-":
        return _summarize(sys.stdin, "standard input", as_json)
    with Path(path).open(encoding="utf-8", errors="replace") as log:
        return _summarize(log, path, as_json)


def _summarize(lines: Iterable[str], name: str, as_json: bool) -> int:
    cut: list[str] = []
    read = [*tegrastats.read(lines, cut)]
    samples = [s for s in read if s.cpus or s.rails or s.memory]
    if not samples:
        raise BoardError(
            f"{name} has no {'whole ' if cut else ''}line of tegrastats",
            hint="write one with tegrastats --logfile FILE",
        )
    if cut:
        print(f"warning: the last line of {name} is half-written, and left out", file=sys.stderr)
    if len(samples) < len(read):
        others = _lines(len(read) - len(samples))
        print(f"warning: {name} has {others} not of tegrastats, left out", file=sys.stderr)
    if as_json:
        import json

        from edge_trt.cli.board_view import as_data

        for sample in samples:
            print(json.dumps(as_data(sample)))
    else:
        _print_summary(samples, name)
    return 0


def _print_summary(samples: list[Sample], name: str) -> None:
    from edge_trt.cli.console import print_table

    timed = sum(not math.isnan(sample.time) for sample in samples)
    rails = dict.fromkeys(rail.name for sample in samples for rail in sample.rails)
    columns = ["rail", "#mean W", "#least", "#most", "energy"]
    table = [_row(rail, samples) for rail in ("", *rails)]
    print_table(f"{name}: {_lines(len(samples))}", columns, table)
    if timed > 1:
        print("The uncertainty is that of sampling: a log doesn't tell the sensor's own steps.")
    gpu = [s.gpu.load for s in samples if s.gpu is not None and s.gpu.load is not None]
    hottest = [s.hottest for s in samples if s.hottest is not None]
    if gpu:
        print(f"GPU load: {sum(gpu) / len(gpu):.0%} in the mean, {max(gpu):.0%} at most")
    if hottest:
        print(f"Hottest: {max(hottest):.1f} C")
    if timed < 2:
        print("No energy: the lines carry no times (tegrastats writes them from JetPack 5 on).")
    unknown = dict.fromkeys(word for sample in samples for word in sample.unknown)
    if unknown:
        print(f"Not understood: {', '.join([*unknown][:10])}")


def _lines(count: int) -> str:
    return f"{count} line{'s' * (count != 1)}"


def _row(rail: str, samples: list[Sample]) -> tuple[str, str, str, str, str]:
    watts = [w for sample in samples if (w := _watts(sample, rail)) is not None]
    name = rail or "board (" + " + ".join(samples[0].watts_of or ("unknown",)) + ")"
    if not watts:
        return name, "", "", "", ""
    mean = sum(watts) / len(watts)
    found = energy(samples, rail)
    return name, f"{mean:.3f}", f"{min(watts):.3f}", f"{max(watts):.3f}", _energy(found)


def _watts(sample: Sample, rail: str) -> float | None:
    if not rail:
        return sample.watts
    found = sample.rail(rail)
    return found.watts if found is not None else None


def _energy(found: Energy) -> str:
    return f"{found} in {found.seconds:.0f} s" if found.seconds > 0 else ""
