# SPDX-License-Identifier: Apache-2.0
"""Model to TensorRT-RTX plan: edge_trt against torch.onnx and TensorRT's ONNX parser.

    python tests/benchmarks/compile.py [MODEL ...] [--repeat N] [--in-process]

Both sides are commands that start Python, make the same torchvision model, and end with the plan
and all weights on disk: ours is `edge_trt build`, which also writes the network, the report,
checksums and self-test vectors; the peer is torch.export, torch.onnx.export(dynamo=True), save,
parse, build, save. The sides take turns; the table shows the best of N runs. Targets are a wall
time of at most 0.5x and a peak memory of at most 0.7x.

`--in-process` compares with `edge_trt.compile` in one Python process instead of the command.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.measure import Cost, cost

MODELS = ("resnet50", "mobilenet_v3_large", "vit_b_16", "swin_t")


def main() -> None:
    """Runs both sides for every model and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--repeat", type=int, default=3, metavar="N")
    parser.add_argument("--in-process", action="store_true")
    arguments = parser.parse_args()
    table = Table(title="model to plan on disk, best of the runs")
    for column in ("model", "peer s", "ours s", "ratio", "peer MB", "ours MB", "ratio"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in arguments.models:
        peer, ours = _best(model, arguments.repeat, in_process=arguments.in_process)
        table.add_row(
            model,
            f"{peer.seconds:.2f}",
            f"{ours.seconds:.2f}",
            f"{ours.seconds / peer.seconds:.2f}x",
            f"{peer.megabytes:.0f}",
            f"{ours.megabytes:.0f}",
            f"{ours.megabytes / peer.megabytes:.2f}x",
        )
    Console().print(table)


def _best(model: str, repeat: int, *, in_process: bool) -> tuple[Cost, Cost]:
    with tempfile.TemporaryDirectory() as folder:
        peer = [sys.executable, __file__, "--peer", model, folder]
        ours = [sys.executable, __file__, "--ours", model, folder]
        if not in_process:
            ours = [sys.executable, "-m", "edge_trt", "build", f"torchvision:{model}"]
            ours += ["--input", "x=1x3x224x224", "--target", "rtx", "-o", f"{folder}/model.edge"]
        runs = [(cost(*peer), cost(*ours)) for _ in range(repeat)]
    best = [
        Cost(min(c.seconds for c in side), min(c.megabytes for c in side))
        for side in zip(*runs, strict=True)
    ]
    return best[0], best[1]


def _model(name: str) -> object:
    from edge_trt.capture.sources import load_source

    return load_source(f"torchvision:{name}").model


def peer(name: str, folder: str) -> None:
    """The way with ONNX between."""
    import tensorrt_rtx as trt
    import torch

    model, example = _model(name), (torch.randn(1, 3, 224, 224),)
    path = str(Path(folder, "model.onnx"))
    program = torch.export.export(model, example)  # type: ignore[arg-type]
    torch.onnx.export(program, dynamo=True, verbose=False).save(path, external_data=True)  # type: ignore[union-attr]
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    flags = trt.NetworkDefinitionCreationFlag
    strongly = 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0
    network = builder.create_network(strongly)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(path):
        raise RuntimeError(str(parser.get_error(0)))
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    Path(folder, "model.plan").write_bytes(memoryview(plan))


def ours(name: str, folder: str) -> None:
    """edge_trt.compile with an rtx plan, and save, without another process."""
    import torch

    import edge_trt

    model, example = _model(name), (torch.randn(1, 3, 224, 224),)
    edge_trt.compile(model, example, target="rtx").save(Path(folder, "model.edge"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sides = {"--peer": peer, "--ours": ours}
    if sys.argv[1:2] and sys.argv[1] in sides:
        sides[sys.argv[1]](*sys.argv[2:])
    else:
        main()
