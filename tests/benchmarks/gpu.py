# SPDX-License-Identifier: Apache-2.0
"""Session.run on a GPU against the bare sequence of CUDA calls, in one process, taking turns.

    python tests/benchmarks/gpu.py [--runs N]

The bare sequence works on page-locked buffers of its own: copy in, one captured graph, copy out,
synchronize; with the host between two graphs for the hybrid. It checks nothing, and leaves its
result in its buffer. Targets: at most 10 us more at the median for one segment, 25 us for three;
a graph at least 2.5x faster than launches.

A stream runs frames whose kernels take as long as all their copies, those into and out of
page-locked memory included. Target: 93 % of what the slower half alone lets through.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

import edge_trt_runtime
from edge_trt_runtime.cuda import open_device
from edge_trt_runtime.hybrid.arrays import DeviceView
from tests.support.gpu_bundles import kernels, write_torch

SHAPE = [8, 1024]
FRAMES, FRAME = 300, [8, 1024, 256]
"""Frames of a stream, and their shape: 8 MB."""
BLOCK, WARM_UP = 200, 50


class Bare:
    """Buffers, a stream and captured functions of PyTorch; PyCUDA's calls and nothing around."""

    def __init__(self) -> None:
        from pycuda import driver

        self.driver = driver
        self.device = open_device(0)
        self.stream = self.device.stream()
        self.external = torch.cuda.ExternalStream(self.stream.handle)
        size = int(np.prod(SHAPE)) * 4
        self.input = self.device.pinned(size).array.view(np.float32).reshape(SHAPE)
        self.output = self.device.pinned(size).array.view(np.float32).reshape(SHAPE)
        self.memory = [self.device.memory(size) for _ in range(2)]

    def graph(self, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.cuda.CUDAGraph:
        """A graph of a function from the first device buffer to the second."""
        source, target = (
            torch.as_tensor(DeviceView(m.pointer, tuple(SHAPE), np.dtype("f4")), device="cuda")
            for m in self.memory
        )
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.stream(self.external):
            target.copy_(function(source))
            self.external.synchronize()
            with torch.cuda.graph(graph, stream=self.external):
                target.copy_(function(source))
        return graph

    def call(self, graph: torch.cuda.CUDAGraph) -> None:
        """Copies in, launches, copies out, waits."""
        self.driver.memcpy_htod_async(self.memory[0].pointer, self.input, self.stream)
        graph.replay()
        self.driver.memcpy_dtoh_async(self.output, self.memory[1].pointer, self.stream)
        self.stream.synchronize()


def medians(calls: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median microseconds of each, in turns of BLOCK calls, the first ones of a turn left out."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(-(-runs // BLOCK)):
        for name, call in calls.items():
            for number in range(BLOCK + WARM_UP):
                start = time.perf_counter()
                call()
                if number >= WARM_UP:
                    times[name].append(time.perf_counter() - start)
    return {name: 1e6 * float(np.median(values)) for name, values in times.items()}


def one_segment(folder: Path, runs: int) -> list[tuple[str, dict[str, float]]]:
    """One segment of 20 kernels, with graphs and without."""
    path = write_torch(folder / "one.edge", SHAPE, kernels(20))
    x = {"x": np.ones(SHAPE, np.float32)}
    with (
        edge_trt_runtime.load(path, device="cuda") as ours,
        edge_trt_runtime.load(path, device="cuda", graphs=False) as launches,
        open_device(0),
    ):
        bare = Bare()
        graph = bare.graph(kernels(20))
        with torch.cuda.stream(bare.external):
            found = medians(
                {
                    "bare": lambda: bare.call(graph),
                    "ours": lambda: ours.run(x),
                    "launches": lambda: launches.run(x),
                },
                runs,
            )
    return [("one segment of 20 kernels", found)]


def hybrid(folder: Path, runs: int) -> list[tuple[str, dict[str, float]]]:
    """PyTorch, ONNX Runtime, PyTorch."""
    path = write_torch(folder / "three.edge", SHAPE, kernels(10), kernels(10))
    x = {"x": np.ones(SHAPE, np.float32)}
    import onnxruntime

    host = onnxruntime.InferenceSession(str(path / "engines/cpu/s1.onnx"))
    name = host.get_inputs()[0].name
    with edge_trt_runtime.load(path, device="cuda") as ours, open_device(0):
        bare = Bare()
        graph = bare.graph(kernels(10))

        def call() -> None:
            bare.call(graph)
            np.copyto(bare.input, host.run(None, {name: bare.output})[0])
            bare.call(graph)

        with torch.cuda.stream(bare.external):
            found = medians({"bare": call, "ours": lambda: ours.run(x)}, runs)
    return [("PyTorch, host, PyTorch", found)]


def kernel_seconds() -> float:
    """What one kernel over a frame takes on the GPU, when a graph launches it."""
    x, count = torch.randn(FRAME, device="cuda"), 200
    graph = torch.cuda.CUDAGraph()
    kernels(count)(x)  # warms up
    with torch.cuda.graph(graph):
        kernels(count)(x)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(3):
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
    return begin.elapsed_time(end) / 1e3 / count


def stream_seconds(path: Path, depth: int) -> float:
    """What a frame takes in a stream."""
    x = {"x": np.ones(FRAME, np.float32)}
    with edge_trt_runtime.load(path, device="cuda", frames=depth) as session:
        for _ in session.stream([x] * 30, depth=depth):
            pass
        start = time.perf_counter()
        for _ in session.stream([x] * FRAMES, depth=depth):
            pass
        return (time.perf_counter() - start) / FRAMES


def streams(folder: Path) -> Table:
    """Frames that are copied for about as long as they are computed on, some at a time."""
    copies = stream_seconds(write_torch(folder / "copies.edge", FRAME, kernels(1)), 1)
    count = max(1, round(copies / kernel_seconds()))
    compute = count * kernel_seconds()
    path = write_torch(folder / "both.edge", FRAME, kernels(count))
    title = (
        f"8 MB frames, {copies * 1e3:.2f} ms of copies and {compute * 1e3:.2f} ms of kernels each"
    )
    columns = ("ms per frame", "of the slower half", "with all of a frame on one stream")
    table = Table(title, *columns)
    bound = max(copies, compute)
    for depth in (1, 2, 3, 4):
        each = stream_seconds(path, depth)
        with patch("edge_trt_runtime.hybrid.prepared.APART_FROM", 1 << 60):
            together = stream_seconds(path, depth)
        cells = (f"{each * 1e3:.2f}", f"{bound / each:.0%}", f"{bound / together:.0%}")
        table.add_row(f"stream, depth {depth}", *cells)
    return table


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3000)
    arguments = parser.parse_args()
    device = open_device(0)
    table = Table("medians, us", "bare", "ours", "more", "launches", "launches / ours")
    with tempfile.TemporaryDirectory() as folder:
        for name, found in [
            *one_segment(Path(folder), arguments.runs),
            *hybrid(Path(folder), arguments.runs),
        ]:
            more = found["ours"] - found["bare"]
            cells = [f"{found['bare']:.1f}", f"{found['ours']:.1f}", f"{more:+.1f}"]
            if "launches" in found:
                cells += [f"{found['launches']:.1f}", f"{found['launches'] / found['ours']:.1f}x"]
            table.add_row(name, *cells)
        console = Console(width=110)
        console.print(device.describe(), table)
        console.print(streams(Path(folder)))


if __name__ == "__main__":
    main()
