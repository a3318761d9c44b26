# SPDX-License-Identifier: Apache-2.0
"""Suppression by class without PyTorch: few boxes and many, ties, and none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edge_trt.capture.torchvision_ops import provide_kernels
from tests.fallback.blocks import alone
from tests.fallback.test_vision import boxes

provide_kernels()


def suppress(boxes, scores, classes):
    import torchvision  # after its kernels are there

    kept = torchvision.ops.batched_nms(boxes, scores, classes, 0.5)
    return kept, scores[kept]


@pytest.mark.parametrize("count", [1, 60, 1000, 1001, 1500])
def test_batched_nms(count: int) -> None:
    classes = torch.randint(-2, 5, (count,))
    saved = alone(suppress, boxes(count), torch.rand(count), classes).saved()
    assert saved.runner == "onnxruntime", saved.why


def test_equal_scores_keep_the_order_of_the_boxes() -> None:
    scores = torch.randint(0, 4, (200,)) / 4
    saved = alone(suppress, boxes(200), scores, torch.randint(0, 3, (200,))).saved()
    assert saved.runner == "onnxruntime", saved.why


def test_boxes_of_one_score_are_cut_off_in_their_order() -> None:
    def best(boxes, classes):
        return suppress(boxes, boxes.new_ones(1500), classes)[0][:100]

    saved = alone(best, boxes(1500), torch.randint(0, 60, (1500,))).saved()
    assert saved.runner == "onnxruntime", saved.why


def test_no_box_passes() -> None:
    def none(boxes, scores, classes):
        chosen = torch.where(scores > 1e6)[0]
        return suppress(boxes[chosen], scores[chosen], classes[chosen])

    saved = alone(none, boxes(9), torch.rand(9), torch.randint(0, 3, (9,))).saved()
    assert saved.runner == "onnxruntime", saved.why


def test_a_torch_program_calls_no_operator_of_the_compiler(tmp_path: Path) -> None:
    inputs = boxes(60), torch.rand(60), torch.randint(0, 4, (60,))
    saved = alone(suppress, *inputs).saved("torch")
    file = tmp_path / "fallback.pt2"
    file.write_bytes(saved.torch or b"")
    program = torch.export.load(file)
    targets = {str(n.target) for n in program.graph.nodes}
    assert "torchvision.nms.default" in targets
    assert not [t for t in targets if t.startswith("edge_trt")]
    for got, expected in zip(program.module()(*inputs), suppress(*inputs), strict=True):
        assert torch.equal(got, expected)
