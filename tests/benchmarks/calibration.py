# SPDX-License-Identifier: Apache-2.0
"""What calibrating ResNet-50 costs: against inference alone, and against ONNX Runtime's quantizer.

    python tests/benchmarks/calibration.py [--samples 256] [--few 16]

Each line is a process of its own that loads the same saved bundle or ONNX file, so that its peak
memory is its own; the time of all its threads tells more than the clock where the machine has
other work. ONNX Runtime keeps every activation of every batch until the end, so it gets
`--few` samples and thrice as many, and so do we; growth is the memory that the second number takes
more, by sample. Targets: at most 2x the time of inference by the same engine, and 1.5x the memory
of a bare session, which has neither the compiler nor the network; at most a fifth of ONNX Runtime's
time, and a tenth of its growth.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

SIDE = 224


def main() -> None:
    """Runs every side in turn and prints the table."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=256, metavar="N")
    parser.add_argument("--few", type=int, default=16, metavar="N")
    arguments = parser.parse_args()
    table = Table(title="calibrating ResNet-50, one image at a time")
    for column in ("", "#samples", "#seconds", "#of CPU", "#peak MB", "#MB per sample"):
        table.add_column(column.lstrip("#"), justify="right" if column[0:1] == "#" else "left")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "prepare", folder, "0"], check=True)
        many, few = arguments.samples, arguments.few
        bare, plain, ours = (_cost(side, folder, many) for side in ("bare", "plain", "ours"))
        _add(table, "bare session", many, bare)
        _add(table, "inference alone", many, plain)
        _add(table, "edge_trt, mse", many, ours)
        rows = {"edge_trt, mse": "ours", "ORT MinMax": "MinMax", "ORT Percentile": "Percentile",
                "ORT Entropy": "Entropy"}  # fmt: skip
        for name, side in ({"inference alone": "plain"} | rows).items():
            once, thrice = _cost(side, folder, few), _cost(side, folder, 3 * few)
            _add(table, name, few, once)
            _add(table, name, 3 * few, thrice, (thrice["megabytes"] - once["megabytes"]) / 2 / few)
    Console().print(table)
    print(
        f"time {ours['seconds'] / plain['seconds']:.2f}x, "
        f"memory {ours['megabytes'] / plain['megabytes']:.2f}x of inference, "
        f"{ours['megabytes'] / bare['megabytes']:.2f}x of a bare session"
    )


def _add(
    table: Any, name: str, count: int, cost: dict[str, float], growth: float | None = None
) -> None:
    more = "" if growth is None else f"{growth:.1f}"
    seconds, busy = f"{cost['seconds']:.1f}", f"{cost['cpu']:.1f}"
    table.add_row(name, str(count), seconds, busy, f"{cost['megabytes']:.0f}", more)


def _cost(side: str, folder: str, count: int) -> dict[str, float]:
    command = [sys.executable, __file__, side, folder, str(count)]
    # Calibrators of ONNX Runtime print what they do before.
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(printed.splitlines()[-1])


# -- sides, each in a process of its own ----------------------------------------------------------


def images(count: int) -> Iterator[np.ndarray]:
    """The same noise for every side, one image after the other."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.standard_normal((1, 3, SIDE, SIDE), np.float32)


def prepare(folder: str, _: int) -> None:
    """The model as a bundle, and as torch.onnx exports it."""
    import torch

    import edge_trt
    from edge_trt.capture.sources import load_source

    model: Any = load_source("torchvision:resnet50").model
    image = (torch.randn(1, 3, SIDE, SIDE),)
    edge_trt.compile(model.eval(), image).save(Path(folder, "model.edge"))
    program = torch.onnx.export(model, image, dynamo=True, verbose=False)
    assert program is not None
    program.save(Path(folder, "model.onnx"), external_data=False)


def bare(folder: str, count: int) -> None:
    """Inference by the runtime alone."""
    import edge_trt_runtime

    session = edge_trt_runtime.load(Path(folder, "model.edge"))

    def run() -> None:
        for image in images(count):
            session.run({"x": image})

    _report(run)


def plain(folder: str, count: int) -> None:
    """Inference by the engine that calibrates."""
    import edge_trt
    from edge_trt.engines.onnx import CpuRunner

    (network,) = edge_trt.load(Path(folder, "model.edge")).networks
    runner, (name,) = CpuRunner(network), (t.name for t in network.inputs)
    runner.run({name: next(images(1))})

    def run() -> None:
        for image in images(count):
            runner.run({name: image})

    _report(run)


def ours(folder: str, count: int) -> None:
    """`edge_trt.calibrate`, all samples."""
    import edge_trt

    bundle = edge_trt.load(Path(folder, "model.edge"))
    options: dict[str, Any] = {"calibration": lambda: images(count), "samples": count + 1}
    _report(lambda: edge_trt.calibrate(bundle, **options))


def theirs(folder: str, count: int, method: str) -> None:
    """ONNX Runtime's calibrator of that name."""
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = images(count)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._batches, None)
            return None if image is None else {"x": image}

    path = Path(folder, "model.onnx")
    calibrator: Any = q.create_calibrator(
        path, ["Conv", "MatMul", "Gemm"], Path(folder, f"{method}.onnx").as_posix(),
        q.CalibrationMethod[method],
    )  # fmt: skip

    def run() -> None:
        calibrator.collect_data(Reader())
        calibrator.compute_data()

    _report(run)


def _report(run: Callable[[], object]) -> None:
    start, busy = time.perf_counter(), time.process_time()
    run()
    cost = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - busy}
    cost["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps(cost))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sides: dict[str, Callable[[str, int], None]] = {
        "prepare": prepare,
        "bare": bare,
        "plain": plain,
        "ours": ours,
    }
    if len(sys.argv) == 4 and sys.argv[1] in sides:
        sides[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    elif len(sys.argv) == 4:
        theirs(sys.argv[2], int(sys.argv[3]), sys.argv[1])
    else:
        main()
