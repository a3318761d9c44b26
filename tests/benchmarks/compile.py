# SPDX-License-Identifier: Apache-2.0
"""Model to TensorRT-RTX plan: edge_trt against torch.onnx and TensorRT's ONNX parser.

    python tests/benchmarks/compile.py [MODEL ...] [--repeat N]

Both sides start from the same torchvision model in a fresh process and end with the plan and all
weights on disk. Ours also writes the network, the report, checksums and self-test vectors. The
table shows the best of N runs, alternating; targets are wall at most 0.5x and peak memory at most
0.7x.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.measure import Cost, in_process, own_peak

MODELS = ("resnet50", "mobilenet_v3_large", "vit_b_16", "swin_t")


def main() -> None:
    """Runs both sides for every model and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--repeat", type=int, default=3, metavar="N")
    arguments = parser.parse_args()
    table = Table(title="model to plan on disk, best of the runs")
    for column in ("model", "peer s", "ours s", "ratio", "peer MB", "ours MB", "ratio"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in arguments.models:
        peer, ours = _best(model, arguments.repeat)
        time_ratio, memory_ratio = ours.seconds / peer.seconds, ours.megabytes / peer.megabytes
        table.add_row(
            model, f"{peer.seconds:.2f}", f"{ours.seconds:.2f}", f"{time_ratio:.2f}x",
            f"{peer.megabytes:.0f}", f"{ours.megabytes:.0f}", f"{memory_ratio:.2f}x",
        )  # fmt: skip
    Console().print(table)


def _best(model: str, repeat: int) -> tuple[Cost, Cost]:
    runs: dict[str, list[Cost]] = {"peer": [], "ours": []}
    for _ in range(repeat):
        for side, costs in runs.items():
            costs.append(in_process(__file__, f"--{side}", model))
    peer, ours = (
        Cost(min(c.seconds for c in costs), min(c.megabytes for c in costs))
        for costs in runs.values()
    )
    return peer, ours


def _model(name: str) -> object:
    import torch

    from edge_trt.capture.sources import load_source

    torch.manual_seed(0)
    return load_source(f"torchvision:{name}").model


def peer(name: str) -> None:
    """torch.export, torch.onnx.export(dynamo=True), save, TensorRT-RTX parse and build, save."""
    import tensorrt_rtx as trt
    import torch

    model, example = _model(name), (torch.randn(1, 3, 224, 224),)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
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
        print(time.perf_counter() - start, own_peak())


def ours(name: str) -> None:
    """edge_trt.compile with an rtx plan, and save."""
    import torch

    import edge_trt
    import edge_trt.pipeline

    model, example = _model(name), (torch.randn(1, 3, 224, 224),)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        edge_trt.compile(model, example, target="rtx").save(Path(folder, "model.edge"))
        print(time.perf_counter() - start, own_peak())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2])
    elif sys.argv[1:2] == ["--ours"]:
        ours(sys.argv[2])
    else:
        main()
