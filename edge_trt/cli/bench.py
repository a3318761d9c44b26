# SPDX-License-Identifier: Apache-2.0
"""``edge_trt bench``: how fast a bundle is here, and what it takes of power, memory and heat.

Measures with one caller (each run begins when the one before has ended) and with several (the
device is never idle), the energy of a run where the board tells its power, and says what makes the
figures worth less: clocks that move, throttling, other programs.

Several bundles are measured one by one and then together, so that GPU and DLA share the work, or
both cores of the DLA:
  edge_trt bench gpu.edge dla.edge
  edge_trt bench dla.edge dla.edge --dla-core 0 --dla-core 1

Two records are compared with confidence intervals:
  edge_trt bench model.edge --json a.json; ...; edge_trt bench --compare a.json b.json
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_trt.errors import OptionError

if TYPE_CHECKING:
    from edge_trt.bench.measure import Plan
    from edge_trt.bench.record import Load, Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("bundle", nargs="*", help="directory that `edge_trt build` wrote")
    parser.add_argument(
        "--device", default="auto", help="auto (default), cpu, or a GPU such as cuda:0"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="of each load (default 10)"
    )
    parser.add_argument(
        "--warm-up", type=float, default=1.0, metavar="S", help="before the first (default 1)"
    )
    parser.add_argument(
        "--callers", type=int, default=2, metavar="N", help="that saturate it (default 2)"
    )
    parser.add_argument(
        "--dla-core", type=int, choices=(0, 1), action="append", metavar="N",
        help="DLA core, 0 or 1, of a bundle's plans for one; once for each bundle, in their order"
        " (default: the core that they were built on)",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the record")
    parser.add_argument("--chart", metavar="FILE", help="draw it, as .png, .html or .svg")
    parser.add_argument(
        "--compare", nargs=2, metavar=("BEFORE", "AFTER"), help="compare two records, run nothing"
    )
    parser.add_argument("--mode", metavar="NAME", help="power mode to hold while it runs (root)")
    parser.add_argument(
        "--lock-clocks", action="store_true", help="hold the clocks at their highest (root)"
    )
    parser.add_argument(
        "--cool-down", type=float, metavar="C", help="wait until no zone is hotter than this"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure or compare, print, write."""
    if arguments.compare:
        if arguments.bundle or arguments.json or arguments.chart:
            raise OptionError(
                "--compare runs nothing and writes nothing",
                hint="leave out bundles, --json and --chart",
            )
        return _compare(*arguments.compare)
    plan = _checked(arguments)
    from edge_trt.bench import chart, record
    from edge_trt.bench.measure import measure, together
    from edge_trt.cli.console import progress_bar
    from edge_trt_jetson.power_control import held

    records: list[Record] = []
    loads: list[Load] = []
    with held(arguments.mode, lock=arguments.lock_clocks):
        for index, path in enumerate(arguments.bundle):
            with progress_bar() as progress:
                records.append(measure(path, plan, progress, index))
        if len(records) > 1:
            with progress_bar() as progress:
                loads = together(arguments.bundle, plan, progress)
    for found in records:
        _print(found)
    if loads:
        _print_together(records, loads)
    if arguments.json:
        record.write(records[0], arguments.json)
    if arguments.chart:
        chart.save(records[0], arguments.chart)
    return 0


def _checked(arguments: argparse.Namespace) -> Plan:
    """The flags as a plan.

    Raises:
        OptionError: one of them makes no sense.
        EdgeTrtError: what is measured could not be written.
    """
    from edge_trt.bench import chart
    from edge_trt.bench.measure import Plan
    from edge_trt.bench.result_file import check_place

    if not arguments.bundle:
        raise OptionError("no bundle is given", hint="edge_trt bench model.edge, or --compare")
    for flag in ("seconds", "callers"):
        if not 0 < getattr(arguments, flag) < math.inf:
            raise OptionError(f"--{flag} is {getattr(arguments, flag)}", hint="give more than 0")
    if not 0 <= arguments.warm_up < math.inf:
        raise OptionError(f"--warm-up is {arguments.warm_up}", hint="give seconds, 0 for none")
    if arguments.cool_down is not None and not math.isfinite(arguments.cool_down):
        raise OptionError(f"--cool-down is {arguments.cool_down}", hint="give degrees Celsius")
    if len(arguments.bundle) > 1 and (arguments.json or arguments.chart):
        raise OptionError("--json and --chart take one bundle", hint="measure them one by one")
    cores: list[int] = arguments.dla_core or []
    if len(cores) not in (0, len(arguments.bundle)):
        raise OptionError(
            f"--dla-core is given {len(cores)} times for {len(arguments.bundle)} bundles",
            hint="give it once for each bundle, in their order",
        )
    if arguments.json:
        check_place(arguments.json)
    if arguments.chart:
        chart.check(arguments.chart)
    return Plan(
        arguments.seconds, arguments.warm_up, arguments.callers, arguments.device,
        arguments.cool_down, dla_cores=tuple(cores),
    )  # fmt: skip


def _print(record: Record) -> None:
    from edge_trt.cli.console import print_table

    subject = f"{record.bundle['path']} ({record.bundle['precision']})"
    where = ", ".join(f"{name} on {lane}" for name, lane in record.places.items()) or "on the CPU"
    print(f"\n{subject}: {where}")
    print(f"loaded in {record.load_ms:.0f} ms, first run {record.first_ms:.1f} ms")
    rows: list[Sequence[object]] = []
    for name, load in (("one caller", record.single), ("saturated", record.saturated)):
        s = load.latency
        times = [f"{v:.3f}" for v in (s.median, s.p90, s.p95, s.p99, s.max)]
        rows.append((name, load.runs, f"{load.throughput:.1f}", *times, *_energy(load)))
    columns = ["load", "#runs", "#per second", "#p50", "#p90", "#p95", "#p99", "#max",
               "#J per run", "#W"]  # fmt: skip
    print_table("Latency [ms], throughput, energy", columns, rows)
    parts = [*record.stages.items(), *record.segments.items()]
    if parts:
        print_table(
            "Runs in which each operation was waited for [ms]",
            ["part", "#p50", "#p90", "#p99"],
            [(n, f"{s.median:.3f}", f"{s.p90:.3f}", f"{s.p99:.3f}") for n, s in parts],
        )
    for name, value in record.conditions.items():
        print(f"{name}: {value}")
    if record.single.energy is None:
        print("power: this machine does not tell it, so there is no energy")
    for doubt in record.doubts:
        print(f"Note: {doubt}")


def _energy(load: Load) -> tuple[str, str]:
    if load.energy is None:
        return "", ""
    found = load.energy
    spread = "" if found.uncertainty is None else f" +- {2 * found.uncertainty:.1g}"
    return f"{found.joules:.4g}{spread}", f"{found.watts:.2f}"


def _print_together(records: Sequence[Record], loads: Sequence[Load]) -> None:
    from edge_trt.cli.console import print_table

    rows = [
        (
            record.bundle["path"],
            f"{record.saturated.throughput:.1f}",
            f"{load.throughput:.1f}",
            f"{load.throughput / record.saturated.throughput:.0%}",
            f"{load.latency.median:.3f}",
        )
        for record, load in zip(records, loads, strict=True)
    ]
    columns = ["bundle", "#alone [1/s]", "#together [1/s]", "#kept", "#p50 together [ms]"]
    print_table("All at once", columns, rows)
    total = sum(load.throughput for load in loads)
    print(f"together {total:.1f} runs per second")


def _compare(before: str, after: str) -> int:
    from edge_trt.bench.compare import compare, differences
    from edge_trt.bench.record import read
    from edge_trt.cli.console import print_table

    a, b = read(before), read(after)
    rows = [
        (
            row.name, f"{row.before:.4g}", f"{row.after:.4g}", f"{row.ratio:.3f}",
            f"{row.low:.3f} to {row.high:.3f}", row.verdict,
        )
        for row in compare(a, b)
    ]  # fmt: skip
    columns = ["figure", "#before", "#after", "#ratio", "95 % interval", "after is"]
    print_table(f"{before} and {after}", columns, rows)
    for sentence in differences(a, b):
        print(f"differs: {sentence}")
    for name, record in ((before, a), (after, b)):
        for doubt in record.doubts:
            print(f"{name}: {doubt}")
    return 0
