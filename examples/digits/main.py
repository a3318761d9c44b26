# SPDX-License-Identifier: Apache-2.0
"""`make demo`, the whole path on real data: train, compile, run without torch, compare.

    python examples/digits/main.py

A small CNN for handwritten digits, built on the command line in fp32, fp16 and int8; then ResNet-50
on photographs, which `--quick` leaves out.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from data import splits
from model import trained

sys.path.append(str(Path(__file__).parents[1]))

from measuring import Outcome, agreement, costs, run
from photograph import photograph
from program import Arguments, arguments, console

HERE = Path(__file__).parent


def main() -> None:
    """Digits first, then ResNet-50 on a photograph."""
    typed = arguments("digits", __doc__)
    digits(typed)
    if not typed.quick:
        with TemporaryDirectory() as folder:  # 300 MB that nobody asked to keep
            photograph(Path(folder))
    console.print(
        "\nfp16 and int8 are for a GPU and a DLA, and read half and a quarter of the bytes there;"
        "\nthe CPU shows that the answers stay the same."
        "\nNext: edge_trt build examples/digits/model.py:create -o digits.edge --target cpu"
        "\n      edge_trt inspect digits.edge", highlight=False,
    )  # fmt: skip


def digits(typed: Arguments) -> None:
    """Accuracy on the held-out digits: eager PyTorch against bundles of every precision."""
    console.rule("1. A CNN trained on handwritten digits (scikit-learn)")
    start = time.perf_counter()
    model = trained()
    _, (images, labels) = splits()
    console.print(f"trained (or read from its cache) in {time.perf_counter() - start:.1f} s")
    with torch.inference_mode():
        eager = model(torch.from_numpy(images)).numpy()
    outcomes: dict[str, Outcome] = {}
    for precision in ("fp32", "fp16", "int8"):
        bundle = typed.output / f"digits-{precision}.edge"
        seconds = build(f"{HERE / 'model.py'}:create", bundle, precision)
        outcomes[precision] = run(bundle, "image", images, seconds)
    columns: dict[str, Mapping[str, str | float]] = {
        "eager PyTorch": {"accuracy": accuracy(eager, labels)}
    }
    for precision, outcome in outcomes.items():
        got = outcome.outputs
        columns[precision] = {
            "accuracy": accuracy(got, labels),
            "agrees with eager": agreement(got, eager),
            **costs(outcome),
        }
    typed.finish(f"{len(labels)} held-out digits, run in a process without torch", columns)


def build(model: str, bundle: Path, precision: str) -> float:
    """`edge_trt build` as a user types it; returns seconds."""
    command = ["edge_trt", "build", model, "-o", str(bundle), "--precision", precision]
    if precision == "int8":
        command += ["--calibration", f"{HERE / 'data.py'}:batches"]
    command += ["--target", "cpu", "--target", "rtx"]
    shown = [p.replace(str(HERE), "examples/digits") if "/" in p else p for p in command]
    console.print(f"[bold]$ {' '.join([*shown[:4], bundle.name, *shown[5:]])}")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *command], check=True)
    return time.perf_counter() - start


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of right answers."""
    return float((logits.argmax(1) == labels).mean())


if __name__ == "__main__":
    main()
