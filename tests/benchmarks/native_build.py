# SPDX-License-Identifier: Apache-2.0
"""Bundle to TensorRT-RTX plan without PyTorch, against TensorRT's parser on the torch.onnx file.

    python tests/benchmarks/native_build.py [MODEL] [--repeat N] [--keep FOLDER]

Ours is `edge_trt build model.edge --target rtx`: it checks the digests of the bundle, builds, and
writes a bundle with plan, weights and self-test vectors to the disk. The peer starts Python, parses
the file of `torch.onnx.export(dynamo=True)` with `OnnxParser`, builds with the same options, and
writes the plan. Both files are made before, once, and read once, so that no side reads the disk.
Bundle and ONNX file get the weights of one model. The sides take turns, the first one changing.
Targets: 0.7x the wall time and 0.5x the peak memory.

CPU time is that of all processes and threads. It and the least wall time tell most where other
work shares the machine.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

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


def _measured(folder: Path, repeat: int) -> tuple[list[Cost], list[Cost]]:
    """What the peer's runs cost, and ours."""
    peer = (sys.executable, __file__, "--peer", str(folder))
    out = str(Path(folder, "out.edge"))
    ours = (sys.executable, "-m", "edge_trt", "build", str(Path(folder, "model.edge")))
    ours = (*ours, "--target", "rtx", "-o", out)
    runs: dict[tuple[str, ...], list[Cost]] = {peer: [], ours: []}
    for command in runs:  # reads the files and the libraries once
        cost(*command)
    for turn in range(repeat):
        for command in (peer, ours) if turn % 2 else (ours, peer):
            shutil.rmtree(out, ignore_errors=True)  # no side deletes what is there before
            Path(folder, "model.plan").unlink(missing_ok=True)
            runs[command].append(cost(*command))
    return runs[peer], runs[ours]


def _table(model: str, peer: list[Cost], ours: list[Cost]) -> Table:
    table = Table(title=f"{model}: file to plan on disk, {len(peer)} runs of each")
    for column in ("", "peer", "edge_trt", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    rows = (
        ("wall s, least", "seconds", min),
        ("wall s, median", "seconds", statistics.median),
        ("CPU s, least", "cpu_seconds", min),
        ("CPU s, median", "cpu_seconds", statistics.median),
        ("peak MB, median", "megabytes", statistics.median),
    )
    for name, field, choose in rows:
        theirs, own = (choose([getattr(c, field) for c in side]) for side in (peer, ours))
        digits = 0 if field == "megabytes" else 2
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
    network = builder.create_network(strongly)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(Path(folder, "model.onnx"))):
        raise RuntimeError(str(parser.get_error(0)))
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    Path(folder, "model.plan").write_bytes(memoryview(plan))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sides = {"--make": make, "--peer": peer}
    if sys.argv[1:2] and sys.argv[1] in sides:
        sides[sys.argv[1]](*sys.argv[2:])
    else:
        main()
