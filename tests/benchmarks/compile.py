# SPDX-License-Identifier: Apache-2.0
"""Model to TensorRT-RTX plan: edge_trt against torch.onnx and TensorRT's ONNX parser.

    python tests/benchmarks/compile.py [MODEL ...] [--repeat N] [--in-process]

Both sides are commands that start Python, make the same model, and end with the plan and all
weights on disk: ours is `edge_trt build`, which also writes the network, the report, checksums and
self-test vectors; the peer is torch.export, torch.onnx.export(dynamo=True), save, parse, build,
save. The sides take turns; the table shows the best of N runs. Targets: a wall time of 0.4x in the
geometric mean and of 0.7x for any model, and a peak memory of 0.6x for models of 100 MB of weights.

`--in-process` compares with `edge_trt.compile` in one Python process instead of the command.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.measure import Cost, cost

if TYPE_CHECKING:
    from torch import nn

MODELS = (
    "torchvision:resnet50", "torchvision:mobilenet_v3_large", "torchvision:efficientnet_b0",
    "torchvision:densenet121", "torchvision:convnext_tiny", "torchvision:vit_b_16",
    "torchvision:swin_t", "torchvision:fcn_resnet50", "timm:mixer_s32_224",
    *(str(Path(__file__).with_name(f"zoo_models.py:{name}")) for name in ("bert", "llama", "yolo")),
)  # fmt: skip
"""As `edge_trt build` takes them; those of the libraries see an image of 224 pixels."""


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
    ratios: list[tuple[float, float]] = []
    for model in arguments.models:
        peer, ours = _best(model, arguments.repeat, in_process=arguments.in_process)
        ratios.append((ours.seconds / peer.seconds, ours.megabytes / peer.megabytes))
        wall, memory = (f"{ratio:.2f}x" for ratio in ratios[-1])
        sides = [(f"{c.seconds:.2f}", f"{c.megabytes:.0f}") for c in (peer, ours)]
        seconds, megabytes = zip(*sides, strict=True)
        table.add_row(Path(model).name, *seconds, wall, *megabytes, memory)
    walls, memories = (statistics.geometric_mean(side) for side in zip(*ratios, strict=True))
    table.add_section()
    table.add_row("geometric mean", "", "", f"{walls:.2f}x", "", "", f"{memories:.2f}x")
    Console().print(table)


def _best(model: str, repeat: int, *, in_process: bool) -> tuple[Cost, Cost]:
    with tempfile.TemporaryDirectory() as folder:
        peer = [sys.executable, __file__, "--peer", model, folder]
        ours = [sys.executable, __file__, "--ours", model, folder]
        if not in_process:
            ours = [sys.executable, "-m", "edge_trt", "build", model, "--target", "rtx"]
            ours += [] if ".py:" in model else ["--input", "x=1x3x224x224"]
            ours += ["-o", f"{folder}/model.edge"]
        runs = [(cost(*peer), cost(*ours)) for _ in range(repeat)]
    best = [
        Cost(min(c.seconds for c in side), min(c.megabytes for c in side))
        for side in zip(*runs, strict=True)
    ]
    return best[0], best[1]


def _model(name: str) -> tuple[nn.Module, Any]:
    """A model, and what it is called with."""
    import torch

    from edge_trt.capture.sources import load_source

    source = load_source(name)
    assert isinstance(source.model, torch.nn.Module)
    image = (torch.randn(1, 3, 224, 224),)
    return source.model.eval(), source.inputs if ".py:" in name else image


def peer(name: str, folder: str) -> None:
    """The way with ONNX between."""
    import tensorrt_rtx as trt
    import torch

    model, example = _model(name)
    path = str(Path(folder, "model.onnx"))
    args, kwargs = ((), example) if isinstance(example, dict) else (example, None)
    program = torch.export.export(model, args, kwargs)
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
    import edge_trt

    model, example = _model(name)
    edge_trt.compile(model, example, target="rtx").save(Path(folder, "model.edge"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sides = {"--peer": peer, "--ours": ours}
    if sys.argv[1:2] and sys.argv[1] in sides:
        sides[sys.argv[1]](*sys.argv[2:])
    else:
        main()
