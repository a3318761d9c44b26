# SPDX-License-Identifier: Apache-2.0
"""What sampling costs: CPU time of the sampler's thread at 10 Hz, kernel included.

    python tests/benchmarks/telemetry.py [--seconds S] [--interval S]

On trees of Jetsons in a temporary folder, and on this machine. Target: under 1 % of one core. On
a board each rail is a transfer over I2C: its thread mostly waits for it, which this can't show.
There, run it with --here, which leaves the trees out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from edge_trt_jetson.telemetry.reader import Reader
from edge_trt_jetson.telemetry.sampler import Sampler
from tests.jetson.telemetry_trees import MACHINES, plant

TARGET = 0.01


def main() -> None:
    """Prints a table; the exit status is 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="per machine")
    parser.add_argument("--interval", type=float, default=0.1, help="seconds between two samples")
    parser.add_argument("--here", action="store_true", help="this machine alone")
    arguments = parser.parse_args()
    table = Table(title=f"A sample every {arguments.interval:g} s for {arguments.seconds:g} s")
    for column in ("machine", "files", "start", "one sample", "share of a core", "skipped"):
        table.add_column(column, justify="left" if column == "machine" else "right")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        roots = {"this machine": Path("/")}
        for machine in () if arguments.here else MACHINES:
            roots[machine.name] = plant(machine, Path(folder, machine.name))
        for name, root in roots.items():
            row, share = measure(root, arguments.interval, arguments.seconds)
            table.add_row(name, *row)
            worst = max(worst, share)
    Console().print(table)
    print(f"worst: {worst:.2%} of one core (target: under {TARGET:.0%})")
    sys.exit(worst >= TARGET)


def measure(root: Path, interval: float, seconds: float) -> tuple[list[str], float]:
    """Cells of the row, and the share of a core that the thread took."""
    before = len(os.listdir("/proc/self/fd"))
    start = time.perf_counter()
    with Reader(root) as reader:
        begin = time.perf_counter() - start
        files = len(os.listdir("/proc/self/fd")) - before
        reader.read()
        start = time.thread_time()
        for _ in range(100):
            reader.read()
        one = (time.thread_time() - start) / 100
    with Sampler(interval, root=root) as sampler:
        time.sleep(seconds)
    share = sampler.overhead
    cells = [f"{files}", f"{begin * 1e3:.1f} ms", f"{one * 1e6:.0f} us", f"{share:.2%}"]
    return [*cells, f"{sampler.skipped}"], share


if __name__ == "__main__":
    main()
