# SPDX-License-Identifier: Apache-2.0
"""``edge_trt bench``: how fast a bundle is here, and what it takes of power, memory and heat.

Measures with one caller (each run begins when the one before has ended) and with several (the
device is never idle), the energy of a run where the board tells its power, and says what makes the
figures worth less: clocks that move, throttling, other programs.

A bundle with two placements, or one on a DLA with two cores, has several lanes on a board; each is
measured alone and then all of them at once.

Several bundles are measured one by one and then together, so that GPU and DLA share the work, or
both cores of the DLA; --json then writes one record with all of them:
  edge_trt bench gpu.edge dla.edge
  edge_trt bench dla.edge dla.edge --dla-core 0 --dla-core 1

Two records are compared with confidence intervals; one is called better where both hold several
sessions, which tell how much these differ by themselves:
  edge_trt bench model.edge --repeat 5 --json a.json; ...; edge_trt bench --compare a.json b.json
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_trt.errors import OptionError

if TYPE_CHECKING:
    from edge_trt.bench.compare import Comparison
    from edge_trt.bench.measure import Plan
    from edge_trt.bench.record import Joint, Lanes, Load, Record


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
        "--repeat", type=int, default=1, metavar="N",
        help="sessions, each of which loads the bundle anew (default 1)",
    )  # fmt: skip
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
    from edge_trt_jetson.power_control import held, terminable

    # Runs in work end first, and the terminal gets its cursor back, after SIGTERM too.
    with terminable(), held(arguments.mode, lock=arguments.lock_clocks):
        records, side = _measure(arguments.bundle, plan)
    for found in records:
        _print(found)
    result: Record | Joint = records[0]
    if side is not None:
        result = record.Joint(bundles=records, together=side[0], total=side[1])
        _print_joint(result)
    if arguments.json:
        record.write(result, arguments.json)
    if arguments.chart:
        chart.save(records[0], arguments.chart)
    return 0


def _measure(
    paths: Sequence[str], plan: Plan
) -> tuple[list[Record], tuple[list[Load], Load] | None]:
    """Each bundle, and all of them at once where there are several."""
    from edge_trt.bench.measure import measure, together
    from edge_trt.cli.console import progress_bar

    records: list[Record] = []
    for index, path in enumerate(paths):
        with progress_bar() as progress:
            records.append(measure(path, plan, progress, index))
    if len(records) < 2:
        return records, None
    with progress_bar() as progress:
        return records, together(paths, plan, progress)


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
    for flag in ("seconds", "callers", "repeat"):
        if not 0 < getattr(arguments, flag) < math.inf:
            raise OptionError(f"--{flag} is {getattr(arguments, flag)}", hint="give more than 0")
    if not 0 <= arguments.warm_up < math.inf:
        raise OptionError(f"--warm-up is {arguments.warm_up}", hint="give seconds, 0 for none")
    if arguments.cool_down is not None and not math.isfinite(arguments.cool_down):
        raise OptionError(f"--cool-down is {arguments.cool_down}", hint="give degrees Celsius")
    if len(arguments.bundle) > 1 and arguments.chart:
        raise OptionError("--chart takes one bundle", hint="measure them one by one")
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
        lanes=len(arguments.bundle) == 1 and not cores, repeat=arguments.repeat,
    )  # fmt: skip


def _print(record: Record) -> None:
    from edge_trt.cli.console import print_table

    subject = f"{record.bundle['path']} ({record.bundle['precision']})"
    where = ", ".join(f"{name} on {lane}" for name, lane in record.places.items()) or "on the CPU"
    print(f"\n{subject}: {where}")
    print(f"loaded in {record.load_ms:.0f} ms, first run {record.first_ms:.1f} ms")
    rows: list[Sequence[object]] = []
    for number, session in enumerate(record.sessions, 1):
        which = f", session {number}" if record.repeats else ""
        for name, load in (("one caller", session.single), ("saturated", session.saturated)):
            s = load.latency
            times = [f"{v:.3f}" for v in (s.median, s.p90, s.p95, s.p99, s.max)]
            rows.append((name + which, load.runs, f"{load.throughput:.1f}", *times, *_energy(load)))
    columns = ["load", "#runs", "#per second", "#p50", "#p90", "#p95", "#p99", "#max",
               "#J per run", "#W"]  # fmt: skip
    print_table("Latency [ms], throughput, energy", columns, rows)
    if record.lanes is not None:
        _print_lanes(record.lanes)
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


def _print_lanes(lanes: Lanes) -> None:
    names = [lane.name for lane in lanes.each]
    loads = [(lane.alone, lane.together) for lane in lanes.each]
    _print_side_by_side("Lanes, saturated", "lane", names, loads, lanes.total)


def _print_joint(joint: Joint) -> None:
    names = [record.bundle["path"] for record in joint.bundles]
    alone = [record.saturated for record in joint.bundles]
    loads = [*zip(alone, joint.together, strict=True)]
    _print_side_by_side("All at once, saturated", "bundle", names, loads, joint.total)


def _print_side_by_side(
    title: str, what: str, names: Sequence[str], loads: Sequence[tuple[Load, Load]], total: Load
) -> None:
    """What ran alone and beside the others: how much of its throughput each kept."""
    from edge_trt.cli.console import print_table

    rows = [
        (
            name, f"{alone.throughput:.1f}", f"{beside.throughput:.1f}",
            f"{beside.throughput / alone.throughput:.0%}", f"{beside.latency.median:.3f}",
            _energy(alone)[0], "",
        )
        for name, (alone, beside) in zip(names, loads, strict=True)
    ]  # fmt: skip
    best = sum(alone.throughput for alone, _ in loads)
    share = f"{total.throughput / best:.0%}"
    rows.append(
        ("all", f"{best:.1f}", f"{total.throughput:.1f}", share, f"{total.latency.median:.3f}",
         "", _energy(total)[0])
    )  # fmt: skip
    columns = [what, "#alone [1/s]", "#together [1/s]", "#kept", "#p50 together [ms]",
               "#J per run alone", "#together"]  # fmt: skip
    print_table(title, columns, rows)


def _compare(before: str, after: str) -> int:
    from edge_trt.bench.compare import compare, together
    from edge_trt.bench.record import Joint, read

    a, b = read(before), read(after)
    files = f"{before} and {after}"
    if not isinstance(a, Joint) and not isinstance(b, Joint):
        _print_comparison(files, compare(a, b))
        _print_remarks((before, a), (after, b))
        return 0
    counts = [len(found.bundles) if isinstance(found, Joint) else 1 for found in (a, b)]
    if not isinstance(a, Joint) or not isinstance(b, Joint) or counts[0] != counts[1]:
        raise OptionError(
            f"{before!r} has {counts[0]} and {after!r} {counts[1]} measured bundles",
            hint="compare records of as many bundles",
        )
    for number, (old, new) in enumerate(zip(a.bundles, b.bundles, strict=True), 1):
        _print_comparison(f"{files}, bundle {number}: {new.bundle['path']}", compare(old, new))
        _print_remarks((f"{before}, bundle {number}", old), (f"{after}, bundle {number}", new))
    _print_comparison(f"{files}, all at once", together("all at once", a.total, b.total))
    return 0


def _print_comparison(title: str, comparisons: Sequence[Comparison]) -> None:
    from edge_trt.bench.compare import DISTURBED, ONE_EACH
    from edge_trt.cli.console import print_table

    rows = [
        (
            row.name, f"{row.before:.4g}", f"{row.after:.4g}", f"{row.ratio:.3f}",
            f"{row.low:.3f} to {row.high:.3f}", row.verdict,
        )
        for row in comparisons
    ]  # fmt: skip
    columns = ["figure", "#before", "#after", "#ratio", "95 % interval", "after is"]
    print_table(title, columns, rows)
    if any(ONE_EACH in row.verdict for row in comparisons):
        print(
            "One session of each: how much sessions differ by themselves is not in the interval. "
            "Measured with --repeat 5, they may be told to be better or worse."
        )
    if any(DISTURBED in row.verdict for row in comparisons):
        print("In doubt: what is said of the records below may have made the difference.")


def _print_remarks(before: tuple[str, Record], after: tuple[str, Record]) -> None:
    """What else differs, and what is doubtful."""
    from edge_trt.bench.compare import differences

    for sentence in differences(before[1], after[1]):
        print(f"differs: {sentence}")
    for name, record in (before, after):
        for doubt in record.doubts:
            print(f"{name}: {doubt}")
