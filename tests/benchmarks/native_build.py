# SPDX-License-Identifier: Apache-2.0
"""Bundle to TensorRT-RTX plan without PyTorch, against TensorRT's parser on the torch.onnx file.

    python tests/benchmarks/native_build.py [MODEL] [--repeat N] [--keep FOLDER]

Ours is `edge_trt build model.edge --target rtx`: it checks the digests of the bundle, builds, adds
the plan with its digest to the bundle, and waits until all is on the disk. The peer starts Python,
parses the file of `torch.onnx.export(dynamo=True)` with `OnnxParser`, builds with the same options,
and writes the plan. Both files are made before, once, and read once, so that no side reads the
disk. Bundle and ONNX file get the weights of one model. The sides take turns, the first one
changing. Targets: 0.7x the wall time and 0.5x the peak memory.

CPU time is that of all processes and threads; it tells most where other work shares the machine.
"builder s" is the wall time that TensorRT's own builder takes of it, which both sides call.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from edge_trt_runtime.bundle import open_bundle
from tests.benchmarks.measure import Cost, cost

SIZE = "1x3x224x224"


def main() -> None:
    """Makes both files, measures both sides in turns, and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="torchvision:resnet50")
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    parser.add_argument("--keep", metavar="FOLDER", help="where files are, or will be kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.keep or temporary)
        if not Path(folder, "model.onnx").exists():
            subprocess.run(
                [sys.executable, __file__, "--make", arguments.model, folder], check=True
            )
        Console().print(_table(arguments.model, *_measured(folder, arguments.repeat)))


@dataclass(frozen=True)
class Run:
    """What a side took, and how many seconds of it TensorRT's builder."""

    cost: Cost
    builder: float


def _measured(folder: Path, repeat: int) -> tuple[list[Run], list[Run]]:
    """The peer's runs, and ours."""
    portable, bundle = Path(folder, "model.edge"), Path(folder, "board.edge")
    theirs: list[Run] = []
    ours: list[Run] = []

    def run_theirs() -> None:
        used = cost(sys.executable, __file__, "--peer", str(folder))
        theirs.append(Run(used, float(Path(folder, "builder").read_text())))

    def run_ours() -> None:
        used = cost(sys.executable, "-m", "edge_trt", "build", str(bundle), "--target", "rtx")
        details = [engine.details for engine in open_bundle(bundle).manifest.engines]
        ours.append(Run(used, sum(float(d.get("build_seconds", 0)) for d in details)))

    for turn in range(-1, repeat):
        for run in (run_theirs, run_ours) if turn % 2 else (run_ours, run_theirs):
            Path(folder, "model.plan").unlink(missing_ok=True)  # no side deletes an older plan
            shutil.rmtree(bundle, ignore_errors=True)
            shutil.copytree(portable, bundle, copy_function=os.link)
            run()
    return theirs[1:], ours[1:]  # the first turn reads files and libraries


def _table(model: str, peer: list[Run], ours: list[Run]) -> Table:
    table = Table(title=f"{model}: {len(peer)} runs of each")
    for column in ("", "peer", "edge_trt", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    rows: tuple[tuple[str, Callable[[Run], float], Callable[[Iterable[float]], float], int], ...]
    rows = (
        ("wall s, least", lambda run: run.cost.seconds, min, 2),
        ("wall s, median", lambda run: run.cost.seconds, statistics.median, 2),
        ("builder s, least", lambda run: run.builder, min, 2),
        ("CPU s, least", lambda run: run.cost.cpu_seconds, min, 2),
        ("CPU s, median", lambda run: run.cost.cpu_seconds, statistics.median, 2),
        ("peak MB, median", lambda run: run.cost.megabytes, statistics.median, 0),
    )
    for name, read, choose, digits in rows:
        theirs, own = (choose([read(run) for run in side]) for side in (peer, ours))
        table.add_row(name, f"{theirs:.{digits}f}", f"{own:.{digits}f}", f"{own / theirs:.2f}x")
    return table


def make(name: str, folder: str) -> None:
    """A portable bundle, and the ONNX file of the same model."""
    import torch

    import edge_trt
    from edge_trt.capture.sources import load_source

    model = load_source(name).model
    assert isinstance(model, torch.nn.Module)
    example: Any = (torch.randn(*map(int, SIZE.split("x"))),)
    edge_trt.compile(model.eval(), example, target="cpu").save(Path(folder, "model.edge"))
    program: Any = torch.onnx.export(model, example, dynamo=True, verbose=False)
    program.save(str(Path(folder, "model.onnx")), external_data=True)


def peer(folder: str) -> None:
    """The ONNX file to a plan, with the options of the builder that ours has."""
    import tensorrt_rtx as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    flags = trt.NetworkDefinitionCreationFlag
    strongly = 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0
    builder.max_threads = len(os.sched_getaffinity(0))  # as ours
    network = builder.create_network(strongly)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(Path(folder, "model.onnx"))):
        raise RuntimeError(str(parser.get_error(0)))
    start = time.perf_counter()
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    Path(folder, "builder").write_text(str(time.perf_counter() - start))
    Path(folder, "model.plan").write_bytes(memoryview(plan))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sides = {"--make": make, "--peer": peer}
    if sys.argv[1:2] and sys.argv[1] in sides:
        sides[sys.argv[1]](*sys.argv[2:])
    else:
        main()
