# SPDX-License-Identifier: Apache-2.0
"""Accuracy of int8 by every method of ours, and by ONNX Runtime's quantizer on the same data.

    python tests/benchmarks/accuracy.py build/accuracy [MODEL ...] [--images N]

The folder holds the weights that accuracy_train.py left there. 512 images calibrate, 2048 others
are judged, or N: more of them tell smaller differences. Target: the default method loses at most
0.5 points on the ResNet and 1.0 on the others, and never more than a maximum or one of ONNX
Runtime's methods. All judge the same images, so a second table compares them image by image with
the default: how many either one alone has right, the difference with its interval of 95 % (Bonett
and Price, 2012), and the exact p of McNemar's test.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

import edge_trt
from tests.benchmarks.accuracy_models import MODELS
from tests.benchmarks.accuracy_task import CLASSES, SIDE, batch

OURS = ("mse", "max", "percentile", "entropy", "entropy2", "best")
THEIRS = ("MinMax", "Percentile", "Entropy")
BATCH = 512

Judge = Callable[[Callable[[np.ndarray], np.ndarray]], np.ndarray]
"""Takes what gives scores of images; returns which of the held-out ones come out right."""


def main() -> None:
    """Prints a table with a row for each model, and one with a row for each pair of columns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the weights are")
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--images", type=int, default=2048, help=f"a multiple of {BATCH}")
    arguments = parser.parse_args()
    folder, judged = arguments.folder, _judge(arguments.images)
    table = Table(title=f"percent right of {arguments.images} held-out images")
    pairs = Table(title="the default method against the others, image by image")
    columns = ["eager", "fp32", *OURS, *(f"ORT {m}" for m in THEIRS)]
    for name in ("model", *columns):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name in ("model", "against", "mse alone", "other alone", "points", "95 %", "p"):
        pairs.add_column(name, justify="left" if name in ("model", "against") else "right")
    for name in arguments.models or MODELS:
        model = MODELS[name](CLASSES)
        state = torch.load(Path(folder, f"{name}.pt"), weights_only=True)
        model.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        )
        right: dict[str, np.ndarray] = {}
        for column, found in zip(columns, _row(model.eval(), judged), strict=True):
            right[column] = found
            print(f"{name}, {column}: {100 * found.mean():.2f} %", file=sys.stderr)
        table.add_row(name, *(f"{100 * found.mean():.2f}" for found in right.values()))
        for column in columns:
            if column != OURS[0]:
                pairs.add_row(name, column, *paired(right[OURS[0]], right[column]))
    console = Console(width=140)
    console.print(table)
    console.print(pairs)


def paired(ours: np.ndarray, other: np.ndarray) -> list[str]:
    """How two judgments of the same images differ: cells of the second table."""
    gained, lost = int((ours & ~other).sum()), int((other & ~ours).sum())
    count = len(ours) + 2
    up, down = (gained + 1) / count, (lost + 1) / count
    half = 1.96 * math.sqrt((up + down - (up - down) ** 2) / count)
    differing = gained + lost
    tail = sum(math.comb(differing, i) for i in range(min(gained, lost) + 1))
    chance = min(1.0, 2 * tail / 2**differing)
    low, high = (100 * (up - down + sign * half) for sign in (-1, 1))
    points = 100 * (gained - lost) / len(ours)
    interval = f"{low:+.2f} to {high:+.2f}"
    return [str(gained), str(lost), f"{points:+.2f}", interval, f"{chance:.2f}"]


def _row(model: nn.Module, judged: Judge) -> Iterator[np.ndarray]:
    with torch.inference_mode():
        yield judged(lambda x: model(torch.from_numpy(x)).numpy())
    image = edge_trt.Input(("b", 3, SIDE, SIDE), min=1, opt=32, max=64, name="image")
    yield judged(_bundle(edge_trt.compile(model, (image,))))
    for method in OURS:
        bundle = edge_trt.compile(
            model, (image,), precision="int8", calibration=samples, calibration_method=method
        )
        yield judged(_bundle(bundle))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        example = (torch.from_numpy(next(samples())),)
        dims = {0: torch.export.Dim("b", min=1, max=64)}
        program = torch.onnx.export(
            model, example, dynamo=True, dynamic_shapes=(dims,), verbose=False
        )
        program.save(path, external_data=False)
        for method in THEIRS:
            yield judged(_theirs(path, method))


def samples() -> Iterator[np.ndarray]:
    """Calibration data: batches of images."""
    for seed in range(16):
        yield batch(50_000 + seed, 32)[0].numpy()


def _judge(images: int) -> Judge:
    """What judges so many images, the same ones every time."""
    held_out = [batch(seed, BATCH) for seed in range(images // BATCH)]

    def judged(run: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        found: list[np.ndarray] = []
        for images, labels in held_out:
            for part, wanted in zip(images.split(32), labels.split(32), strict=True):
                found.append(run(part.numpy()).argmax(1) == wanted.numpy())
        return np.concatenate(found)

    return judged


def _bundle(bundle: edge_trt.Bundle) -> Callable[[np.ndarray], np.ndarray]:
    module = bundle.module()
    return lambda x: module(torch.from_numpy(x)).numpy()


def _theirs(path: Path, method: str) -> Callable[[np.ndarray], np.ndarray]:
    """What TensorRT could read too: symmetric int8, weights by output channel."""
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        def __init__(self) -> None:
            self._name = onnxruntime.InferenceSession(str(path)).get_inputs()[0].name
            self._batches = samples()

        def get_next(self) -> dict[str, Any] | None:
            images = next(self._batches, None)
            return None if images is None else {self._name: images}

    quantized = path.with_name(f"{method}.onnx")
    prepared = path.with_name("prepared.onnx")
    q.shape_inference.quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    q.quantize_static(
        prepared, quantized, Reader(), per_channel=True, quant_format=q.QuantFormat.QDQ,
        activation_type=q.QuantType.QInt8, weight_type=q.QuantType.QInt8,
        calibrate_method=q.CalibrationMethod[method],
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(quantized))
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
