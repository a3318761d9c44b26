# SPDX-License-Identifier: Apache-2.0
"""Session.run on the CPU engine against a bare onnxruntime.InferenceSession, and start-up costs.

    python tests/benchmarks/session.py [--seconds S]

The peer runs what torch.onnx.export(dynamo=True) makes of the same model, in the same process,
with one thread on both sides, taking turns. Targets: latency at most 1.05x, at most 20 us more per
call on a one-layer model, `edge_trt --help` under 0.25 s, `import edge_trt_runtime` at most 1.5x
`import numpy`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.measure import wall

console = Console()


def main() -> None:
    """Prints three tables: models, one layer, start-up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="per model")
    arguments = parser.parse_args()
    start_up()
    latency(arguments.seconds)


def latency(seconds: float) -> None:
    """Median latency of both sides, for two models and one layer."""
    import torch

    from edge_trt.capture.sources import load_source

    table = Table(title="Session.run against onnxruntime.InferenceSession.run, one thread")
    for column in ("model", "peer p50", "ours p50", "ratio", "difference"):
        table.add_column(column, justify="left" if column == "model" else "right")
    image, small = torch.randn(1, 3, 224, 224), torch.randn(1, 16)
    cases: list[tuple[str, torch.nn.Module, torch.Tensor]] = [
        (name, load_source(f"torchvision:{name}").model, image)  # type: ignore[misc]
        for name in ("resnet50", "mobilenet_v3_large")
    ]
    cases.append(("one layer (ReLU of 16)", torch.nn.ReLU(), small))
    for name, model, example in cases:
        peer, ours = _latency(model.eval(), example, seconds)
        table.add_row(
            name, f"{peer * 1e3:.3f} ms", f"{ours * 1e3:.3f} ms", f"{ours / peer:.3f}x",
            f"{(ours - peer) * 1e6:+.1f} us",
        )  # fmt: skip
    console.print(table)


def _latency(model: object, example: object, seconds: float) -> tuple[float, float]:
    import onnxruntime
    import torch

    import edge_trt
    import edge_trt_runtime

    with tempfile.TemporaryDirectory() as folder:
        path, bundle = str(Path(folder, "peer.onnx")), Path(folder, "ours.edge")
        program = torch.export.export(model, (example,))  # type: ignore[arg-type]
        torch.onnx.export(program, dynamo=True, verbose=False).save(path, external_data=True)  # type: ignore[union-attr]
        edge_trt.compile(model, (example,), target="cpu").save(bundle)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        bare = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name, array = bare.get_inputs()[0].name, example.numpy()  # type: ignore[attr-defined]
        with edge_trt_runtime.load(bundle, threads=1) as session:
            feed = {session.signature.inputs[0].name: array}
            return _alternate(
                lambda: bare.run(None, {name: array}), lambda: session.run(feed), seconds
            )


def _alternate(
    peer: Callable[[], object], ours: Callable[[], object], seconds: float
) -> tuple[float, float]:
    """Median seconds per call; the sides take turns, so that both see the same machine."""
    times: dict[Callable[[], object], list[float]] = {peer: [], ours: []}
    for function in times:
        for _ in range(5):
            function()
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        for function, samples in times.items():
            start = time.perf_counter()
            function()
            samples.append(time.perf_counter() - start)
    return float(np.median(times[peer])), float(np.median(times[ours]))


def start_up(rounds: int = 10) -> None:
    """What starting costs: the command line's help, and importing the runtime."""
    python = sys.executable
    commands = {
        "python -c pass": (python, "-c", "pass"),
        "import numpy": (python, "-c", "import numpy"),
        "import edge_trt_runtime": (python, "-c", "import edge_trt_runtime"),
        "edge_trt --help": (python, "-m", "edge_trt", "--help"),
    }
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            samples[name].append(wall(*command))
    best = {name: min(values) for name, values in samples.items()}
    bare = best["python -c pass"]
    table = Table(title=f"start-up, best of {rounds} fresh processes")
    for column in ("", "seconds", "less bare Python", "against import numpy"):
        table.add_column(column, justify="right" if column else "left")
    for name, seconds in best.items():
        ratio = (seconds - bare) / (best["import numpy"] - bare)
        table.add_row(name, f"{seconds:.3f}", f"{seconds - bare:.3f}", f"{ratio:.2f}x")
    console.print(table)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
