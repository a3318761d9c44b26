# SPDX-License-Identifier: Apache-2.0
"""torchvision's detectors on photographs: images in, boxes, labels and scores out, as eager."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import nn

import edge_trt
from edge_trt.capture.torchvision_ops import provide_kernels
from tests.support.detections import in_any_order
from tests.support.zoo.detectors import spread
from tests.support.zoo.randomise import randomise

provide_kernels()
SIZE = 224
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["torchvision"] = None
import numpy as np, edge_trt_runtime
with edge_trt_runtime.load(sys.argv[1]) as session:
    (spec,) = session.signature.inputs
    for number, image in enumerate(np.load(sys.argv[2])):
        np.savez(f"{sys.argv[3]}{number}.npz", **session.run({spec.name: image}))
"""


def photographs() -> torch.Tensor:
    """Pieces of three photographs, [3, 3, SIZE, SIZE] from 0 to 1."""
    images = [
        f()[50 : 50 + SIZE, 100 : 100 + SIZE] for f in (data.astronaut, data.coffee, data.cat)
    ]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255


def detector(name: str, score_thresh: float) -> nn.Module:
    """With random weights that find many boxes on the photographs."""
    torch.manual_seed(0)
    models = importlib.import_module("torchvision.models.detection")
    model = getattr(models, name)(weights=None, weights_backbone=None).eval()
    randomise(model, (list(photographs()),))
    scored = model if hasattr(model, "score_thresh") else model.roi_heads
    scored.score_thresh = score_thresh
    return model


def run_without_torch(bundle: edge_trt.Bundle, folder: Path) -> list[dict[str, np.ndarray]]:
    """What the bundle finds on each photograph."""
    bundle.save(folder / "m.edge")
    np.save(folder / "images.npy", photographs().numpy())
    command = [sys.executable, "-c", WITHOUT_TORCH, "m.edge", "images.npy", "found"]
    subprocess.run(command, check=True, cwd=folder)
    return [dict(np.load(folder / f"found{number}.npz")) for number in range(3)]


@pytest.mark.slow
def test_a_detector_of_two_stages_finds_what_eager_finds(tmp_path: Path) -> None:
    models = importlib.import_module("torchvision.models.detection")
    torch.manual_seed(0)
    options = {"min_size": SIZE, "box_score_thresh": 0.05}  # at the size of the photographs
    model = models.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, **options
    ).eval()
    randomise(model, (list(photographs()),))
    spread(model, (list(photographs()),))
    bundle = edge_trt.compile(model, ([photographs()[0]],), fallback="onnxruntime")
    blocks: list[Any] = bundle.coverage["blocks"]
    assert [block["kind"] for block in blocks] == ["tensorrt", "fallback"]
    for got, image in zip(run_without_torch(bundle, tmp_path), photographs(), strict=True):
        with torch.inference_mode():
            expected = list(model([image])[0].values())
        assert len(expected[0]) > 20
        assert in_any_order([torch.from_numpy(x) for x in got.values()], expected) < 1e-4


def assert_found(found: dict[str, np.ndarray], expected: dict[str, torch.Tensor]) -> None:
    """The same boxes in the same order."""
    for got, (name, wanted) in zip(found.values(), expected.items(), strict=True):
        assert got.shape == tuple(wanted.shape), name
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-3, atol=2e-3, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "score_thresh"),
    [("ssdlite320_mobilenet_v3_large", 0.03)],
)
def test_a_detector_finds_what_eager_finds(name: str, score_thresh: float, tmp_path: Path) -> None:
    model = detector(name, score_thresh)
    bundle = edge_trt.compile(model, ([photographs()[0]],), fallback="onnxruntime")
    blocks: list[Any] = bundle.coverage["blocks"]
    assert [block["kind"] for block in blocks] == ["tensorrt", "fallback"]
    assert bundle.coverage["by_flops"] > 0.99
    (suppression,) = (r for r in bundle.coverage["refusals"] if "batched_nms" in r["op"])
    assert "NMS layer" in suppression["reason"]
    found = run_without_torch(bundle, tmp_path)
    with torch.inference_mode():
        expected = [model([image])[0] for image in photographs()]
    assert max(len(e["scores"]) for e in expected) > 20
    for got, wanted in zip(found, expected, strict=True):
        assert_found(got, wanted)
