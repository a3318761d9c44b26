# SPDX-License-Identifier: Apache-2.0
"""The network that TensorRT is handed, and the CPU engine: edge_trt against torch.onnx.

    python tests/benchmarks/networks.py [MODEL ...] [--seconds S]

Layers are those of the TensorRT network definition: ours, and what NVIDIA's parser makes of
torch.onnx.export(dynamo=True) of the same model; constants are counted on both sides. Latency is
the median of ONNX Runtime, one thread, on our CPU engine and on that export, taking turns. Models
are those of the zoo. Targets, in the geometric mean: 0.8x the layers, 1.0x the latency.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

import edge_trt
import edge_trt_runtime
from tests.support.oracles import Definition, load_flavour
from tests.support.zoo import ZOO

MODELS = (
    "resnet50", "mobilenet_v3_large", "efficientnet_b0", "densenet121", "convnext_tiny", "vit_b_16",
    "swin_t", "fcn_resnet50", "timm:mixer_s32_224", "transformers:bert", "transformers:llama",
    "others:yolo",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """Layers, and median latencies in seconds, of both sides."""

    peer_layers: int
    our_layers: int
    peer_seconds: float
    our_seconds: float


def main() -> None:
    """Measures every model and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--seconds", type=float, default=10, help="of latency, per model")
    arguments = parser.parse_args()
    table = Table(title="TensorRT layers, and latency of the CPU engine")
    for column in ("model", "peer layers", "ours", "ratio", "peer ms", "ours ms", "ratio"):
        table.add_column(column, justify="left" if column == "model" else "right")
    results: list[Result] = []
    for name in arguments.models:
        result = _measure(name, arguments.seconds)
        results.append(result)
        table.add_row(
            name,
            str(result.peer_layers),
            str(result.our_layers),
            f"{result.our_layers / result.peer_layers:.2f}x",
            f"{result.peer_seconds * 1e3:.2f}",
            f"{result.our_seconds * 1e3:.2f}",
            f"{result.our_seconds / result.peer_seconds:.3f}x",
        )
    mean = statistics.geometric_mean
    layers = mean(r.our_layers / r.peer_layers for r in results)
    latency = mean(r.our_seconds / r.peer_seconds for r in results)
    table.add_section()
    table.add_row("geometric mean", "", "", f"{layers:.2f}x", "", "", f"{latency:.3f}x")
    Console().print(table)


def _measure(name: str, seconds: float) -> Result:
    model, given = ZOO[name].build(), ZOO[name].arguments()
    with tempfile.TemporaryDirectory() as folder:
        peer_layers, peer = _peer(model, given, Path(folder))
        our_layers, ours = _ours(model, given, Path(folder))
        peer_times, our_times = _in_turns(peer, ours, seconds)
    medians = statistics.median(peer_times), statistics.median(our_times)
    return Result(peer_layers, our_layers, *medians)


def _in_turns(
    first: Callable[[], Any], second: Callable[[], Any], seconds: float
) -> tuple[list[float], list[float]]:
    """Times of both in pairs; each pair begins with the one that the last pair ended with."""
    order: list[tuple[Callable[[], Any], list[float]]] = [(first, []), (second, [])]
    times = order[0][1], order[1][1]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for run, taken in order:
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
        order.reverse()
    return times


def _ours(model: torch.nn.Module, given: Any, folder: Path) -> tuple[int, Callable[[], Any]]:
    trt = load_flavour().module
    bundle = edge_trt.compile(model, given, target="cpu", self_test=0)
    layers = sum(Definition.of(n, trt).emitted.definition.num_layers for n in bundle.networks)
    session = edge_trt_runtime.load(bundle.save(folder / "model.edge"), threads=1)
    named = bundle.signature.inputs
    feeds = {s.name: t.numpy() for s, t in zip(named, _tensors(given), strict=True)}
    return layers, lambda: session.run(feeds)


def _peer(model: torch.nn.Module, given: Any, folder: Path) -> tuple[int, Callable[[], Any]]:
    import onnxruntime

    path = str(folder / "model.onnx")
    args, kwargs = ((), dict(given)) if isinstance(given, Mapping) else (tuple(given), {})
    with redirect_stdout(io.StringIO()):
        program = torch.onnx.export(model, args, kwargs=kwargs, dynamo=True, verbose=False)
        program.save(path, external_data=True)  # type: ignore[union-attr]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    feeds = {n: t.numpy() for n, t in zip(names, _tensors(given), strict=True)}
    return _parsed_layers(path), lambda: session.run(None, feeds)


def _parsed_layers(path: str) -> int:
    trt = load_flavour().module
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    if not parser.parse_from_file(path):
        raise RuntimeError(str(parser.get_error(0)))
    return network.num_layers


def _tensors(given: Any) -> list[torch.Tensor]:
    values = given.values() if isinstance(given, Mapping) else given
    return [v for v in values if isinstance(v, torch.Tensor)]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
