# SPDX-License-Identifier: Apache-2.0
"""Whole models: one TensorRT block, nothing falls back, and the numbers are eager's.

The quick part runs always; all models, at fixed sizes and at ranges, with `-m slow`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import edge_trt
import edge_trt_runtime
from edge_trt_runtime.bundle import open_bundle
from tests.support.compare import relative_error
from tests.support.oracles import ORACLES, check
from tests.support.zoo import CORE, Entry

pytestmark = pytest.mark.rtx

QUICK = {
    "resnet18": 224,
    "mobilenet_v3_large": 224,
    "shufflenet_v2_x1_0": 224,
    "squeezenet1_1": 224,
    "regnet_y_400mf": 224,
    "timm:vit_tiny_patch16_224": 224,
    "timm:mobilenetv3_large_100": 224,
    "deeplabv3_mobilenet_v3_large": 96,
}
"""Models of the quick part with the sizes of their images."""

PRECISE = 1e-4
"""Largest relative error in fp32."""


@pytest.mark.parametrize("name", QUICK)
def test_quick(name: str, tmp_path: Path) -> None:
    entry = dataclasses.replace(CORE[name], size=QUICK[name])
    assert_bundle(entry, tmp_path, (1,))
    assert_oracles(entry)


@pytest.mark.slow
@pytest.mark.parametrize("name", CORE)
def test_fixed_sizes(name: str, tmp_path: Path) -> None:
    assert_bundle(CORE[name], tmp_path, (1,))
    assert_oracles(CORE[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", CORE)
def test_ranges(name: str, tmp_path: Path) -> None:
    """Least, usual, largest, and one between that nothing was made for."""
    assert_bundle(CORE[name], tmp_path, (1, 2, 5, 3))


def test_the_list_is_whole() -> None:
    assert len(CORE) == 25
    assert QUICK.keys() <= CORE.keys()


def assert_bundle(entry: Entry, folder: Path, batches: tuple[int, ...]) -> None:
    """From `compile` to the session, with a plan; several batch sizes make the first a range."""
    model = entry.build()
    image: object = entry.example()
    if len(batches) > 1:
        shape = ("batch", 3, entry.size, entry.size)
        image = edge_trt.Input(shape, min=batches[0], opt=batches[1], max=batches[2])
    bundle = edge_trt.compile(model, (image,), target=("cpu", "rtx"), self_test=1)
    path = bundle.save(folder / "m.edge")

    assert [part.network is not None for part in bundle.parts] == [True]
    assert bundle.coverage["by_calls"] == bundle.coverage["by_flops"] == 1.0
    assert bundle.coverage["refusals"] == []
    assert bundle.notes == []
    (plan,) = [e for e in open_bundle(path).manifest.engines if e.target == "rtx"]
    assert (path / plan.path).stat().st_size > 0

    for batch in batches:
        assert worst_error(entry, model, path, entry.example(batch, seed=batch)) < PRECISE
    assert all(result.passed for result in edge_trt_runtime.run_self_test(path))


def worst_error(entry: Entry, model: torch.nn.Module, path: Path, image: torch.Tensor) -> float:
    """Largest relative error of the outputs, which must not all be the same number."""
    with torch.no_grad():
        eager = model(image)
    expected = list(eager.values()) if isinstance(eager, dict) else [eager]
    with edge_trt_runtime.load(path) as session:
        (spec,) = session.signature.inputs
        outputs = list(session.run({spec.name: image.numpy()}).values())
    assert len(outputs) == len(expected)
    assert all(float(tensor.std()) > 0 for tensor in expected)
    pairs = zip(outputs, expected, strict=True)
    return max(relative_error(torch.from_numpy(got), tensor) for got, tensor in pairs)


def assert_oracles(entry: Entry) -> None:
    """What TensorRT was handed is what eager computes, read back through its own interface."""
    report = check(entry.build(), (entry.example(),), rtol=PRECISE)
    assert report.ran == list(ORACLES)
    assert report.skipped == {}
