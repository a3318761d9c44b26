# SPDX-License-Identifier: Apache-2.0
"""ResNet-50 on photographs that scikit-image carries, compiled from Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch_free  # this and `program` are in the folder above, which main.py puts on the path
from measuring import agreement, costs, run
from program import console, show
from skimage import data as photographs

import edge_trt
from edge_trt.cli.console import progress_bar
from edge_trt.cli.report import print_report


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


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


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


def top5(a: np.ndarray, b: np.ndarray) -> str:
    """How many of the five best classes both name, over all samples."""
    pairs = zip(np.argsort(-a, 1)[:, :5], np.argsort(-b, 1)[:, :5], strict=True)
    return f"{sum(len(set(x) & set(y)) for x, y in pairs)}/{5 * len(a)}"
