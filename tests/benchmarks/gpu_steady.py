# SPDX-License-Identifier: Apache-2.0
"""What stays of a long time on a GPU, and how fast frames get there.

    python tests/benchmarks/gpu_steady.py [--runs N]

Copies of a 1080p frame (RGB, bytes) from page-locked memory against the rate of 256 MB, targets
90 %; then many runs of a hybrid bundle, whose memory may not grow: that of the process, and that
of the device.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

import edge_trt_runtime
from edge_trt_runtime.cuda import open_device
from tests.support.gpu_bundles import kernels, write_torch

FRAME, LARGE = 1920 * 1080 * 3, 256 << 20


def copy_rate(size: int, copies: int) -> float:
    """Bytes per second of copies to the device, one after the other on one stream."""
    with open_device(0) as device:
        stream, host, there = device.stream(), device.pinned(size), device.memory(size)
        timer, best = device.timer(), 0.0
        for _ in range(20):
            timer.begin(stream)
            for _ in range(copies):
                device.upload(there.pointer, host.array, stream)
            timer.end(stream)
            stream.synchronize()
            best = max(best, size * copies / timer.seconds())
        host.free()
        there.free()
    return best


def growth(runs: int) -> tuple[float, float]:
    """Megabytes that process and device have more after runs than after the first hundred."""
    x = {"x": np.zeros((8, 1024), np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        path = write_torch(Path(folder, "m.edge"), [8, 1024], kernels(3), kernels(2))
        with edge_trt_runtime.load(path, device="cuda") as session:
            for _ in range(100):
                session.run(x)
            with open_device(0) as device:
                free, _ = device.free_memory()
            before = _resident()
            for _ in range(runs):
                session.run(x)
            with device:
                taken = free - device.free_memory()[0]
            return _resident() - before, taken / 1e6


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000)
    runs = parser.parse_args().runs
    frame, large = copy_rate(FRAME, 20), copy_rate(LARGE, 2)
    table = Table("figure", "value")
    table.add_row("256 MB to the device", f"{large / 1e9:.1f} GB/s")
    table.add_row("1080p frames to the device", f"{frame / 1e9:.1f} GB/s, {frame / large:.0%}")
    process, device = growth(runs)
    table.add_row(f"{runs} runs", f"process {process:+.1f} MB, device {device:+.1f} MB")
    Console().print(table)


if __name__ == "__main__":
    main()
