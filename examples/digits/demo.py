# SPDX-License-Identifier: Apache-2.0
"""`make demo`, the whole path on real data: train, compile, run without torch, compare."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from skimage import data as photographs

import edge_trt
from edge_trt.cli.console import progress_bar
from edge_trt.cli.report import print_report

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch_free  # noqa: E402
from data import splits  # noqa: E402
from model import trained  # noqa: E402
from program import console, show  # noqa: E402


@dataclass
class Outcome:
    """What a bundle gave, and what it cost."""

    outputs: np.ndarray
    latency: dict[str, float]
    layers: int
    coverage: float
    blocks: int
    build: float
    size: int


def main() -> None:
    """Digits first, then ResNet-50 on a photograph."""
    with tempfile.TemporaryDirectory() as folder:
        digits(Path(folder))
        photograph(Path(folder))
    console.print(
        "\nNext: edge_trt build examples/digits/model.py:create -o digits.edge --target cpu"
        "\n      edge_trt inspect digits.edge", highlight=False,
    )  # fmt: skip


def digits(folder: Path) -> None:
    """Accuracy on the held-out digits: eager PyTorch against fp32 and fp16 bundles."""
    console.rule("1. A CNN trained on handwritten digits (scikit-learn)")
    start = time.perf_counter()
    model = trained()
    _, (images, labels) = splits()
    console.print(f"trained (or read from its cache) in {time.perf_counter() - start:.1f} s")
    with torch.inference_mode():
        eager = model(torch.from_numpy(images)).numpy()
    outcomes: dict[str, Outcome] = {}
    for precision in ("fp32", "fp16"):
        bundle = folder / f"digits-{precision}.edge"
        seconds = build(f"{HERE / 'model.py'}:create", bundle, precision)
        outcomes[precision] = run(bundle, "image", images, seconds)
    columns: dict[str, Mapping[str, str | float]] = {
        "eager PyTorch": {"accuracy": accuracy(eager, labels)}
    }
    for precision, outcome in outcomes.items():
        got = outcome.outputs
        columns[f"bundle {precision}"] = {
            "accuracy": accuracy(got, labels),
            "agrees with eager": agreement(got, eager),
            **costs(outcome),
        }
    show(f"{len(labels)} held-out digits, run in a process without torch", columns)


def photograph(folder: Path) -> None:
    """ResNet-50 on scikit-image's photograph of a cat: top-5 against eager PyTorch."""
    console.rule("2. ResNet-50 on a photograph (scikit-image)")
    from edge_trt.capture.sources import load_source

    torch.manual_seed(0)
    source = load_source("torchvision:resnet50")
    model = calibrated(source.model)
    images = np.stack([prepare(photographs.chelsea()), prepare(photographs.coffee())])
    with torch.inference_mode():
        eager = model(torch.from_numpy(images)).numpy()
    columns: dict[str, Mapping[str, str | float]] = {
        "eager PyTorch": eager_latency(model, torch.from_numpy(images[:1]))
    }
    for precision in ("fp32", "fp16"):
        bundle = folder / f"resnet50-{precision}.edge"
        console.print(f"[bold]compiling ResNet-50 for cpu and rtx in {precision}")
        start = time.perf_counter()
        with progress_bar() as progress:
            compiled = edge_trt.compile(
                model,
                (torch.from_numpy(images[:1]),),
                target=("cpu", "rtx"),
                precision=precision,
                progress=progress,
            )
            compiled.save(bundle)
        outcome = run(bundle, "x", np.repeat(images, 5, axis=0), time.perf_counter() - start)
        print_report({k: v for k, v in compiled.report.items() if k != "kept_fp32"})
        got = outcome.outputs[::5]
        columns[f"bundle {precision}"] = {
            "best class as eager": agreement(got, eager),
            "five best as eager": top5(got, eager),
            "relative error": f"{np.abs(got - eager).max() / np.abs(eager).max():.1e}",
            **costs(outcome),
        }
    show("ResNet-50 (random weights) on two photographs, run without torch", columns)


def eager_latency(model: torch.nn.Module, image: torch.Tensor) -> dict[str, float]:
    """What eager PyTorch takes for one image, by the name of the row."""
    with torch.inference_mode():
        return torch_free.latency([timed(lambda: model(image)) for _ in range(12)][2:])


def calibrated(model: torch.nn.Module) -> torch.nn.Module:
    """Gives random weights the batch statistics of a photograph, so that no layer saturates."""
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.from_numpy(np.stack([prepare(photographs.astronaut())] * 2)))
    return model.eval()


def prepare(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] bytes -> [3, 224, 224] float32 as ImageNet models take it."""
    from skimage.transform import resize

    small = resize(image, (224, 224), anti_aliasing=True)
    normal = (small - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return normal.transpose(2, 0, 1).astype(np.float32)


def build(model: str, bundle: Path, precision: str) -> float:
    """`edge_trt build` as a user types it; returns seconds."""
    command = ["edge_trt", "build", model, "-o", str(bundle), "--precision", precision]
    command += ["--target", "cpu", "--target", "rtx"]
    shown = [p.replace(str(HERE), "examples/digits") if "/" in p else p for p in command]
    console.print(f"[bold]$ {' '.join([*shown[:4], bundle.name, *shown[5:]])}")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *command], check=True)
    return time.perf_counter() - start


def run(bundle: Path, name: str, samples: np.ndarray, build_seconds: float) -> Outcome:
    """Classifies every sample in a process that can't import torch."""
    answers = torch_free.answer(bundle, ({name: sample[None]} for sample in samples))
    report = json.loads((bundle / "report.json").read_text())
    return Outcome(
        np.concatenate([outputs["output"] for outputs in answers.outputs]),
        answers.latency,
        layers=sum(report["layers"].values()),
        coverage=report["coverage"]["by_calls"],
        blocks=len(report["coverage"]["blocks"]),
        build=build_seconds,
        size=sum(f.stat().st_size for f in bundle.rglob("*") if f.is_file()),
    )


def costs(o: Outcome) -> dict[str, str | float]:
    """What an outcome took, by the name of the row."""
    return {
        "operators in TensorRT": f"{o.coverage:.0%}, {o.blocks} block",
        "TensorRT layers": str(o.layers),
        "build": f"{o.build:.1f} s",
        "bundle size": f"{o.size / 1e6:.1f} MB",
        **o.latency,
    }


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def accuracy(logits: np.ndarray, labels: np.ndarray) -> str:
    """Share of right answers."""
    return f"{(logits.argmax(1) == labels).mean():.2%}"


def agreement(a: np.ndarray, b: np.ndarray) -> str:
    """How many first choices are the same."""
    return f"{int((a.argmax(1) == b.argmax(1)).sum())}/{len(a)}"


def top5(a: np.ndarray, b: np.ndarray) -> str:
    """How many of the five best classes both name, over all samples."""
    pairs = zip(np.argsort(-a, 1)[:, :5], np.argsort(-b, 1)[:, :5], strict=True)
    return f"{sum(len(set(x) & set(y)) for x, y in pairs)}/{5 * len(a)}"


if __name__ == "__main__":
    main()
