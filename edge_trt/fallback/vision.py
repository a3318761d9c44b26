# SPDX-License-Identifier: Apache-2.0
"""ONNX forms of what detectors suppress overlapping boxes with."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset20 as onnx_op

from edge_trt.capture import torchvision_detection
from edge_trt.fallback.operators import FLOAT
from edge_trt.fallback.translations import onnx_converter

op: Any = onnx_op
LOWEST = torch.finfo(torch.float32).min
FEW = 4000
"""Up to so many coordinates torchvision moves the boxes of each class apart on the CPU."""


def nms(dets: Any, scores: Any, iou_threshold: float) -> Any:
    """Greedy suppression, the best first."""
    chosen = _suppressed(dets, op.Unsqueeze(scores, [0]), iou_threshold)
    return op.Gather(chosen, op.Constant(value_int=2), axis=1)


def _suppressed(boxes: Any, scores: Any, iou_threshold: float, *threshold: Any) -> Any:
    """Places (0, class, box); a box whose corners are the wrong way round has no area for PyTorch.

    ONNX would put its corners right.
    """
    lower, upper = op.Split(boxes, num_outputs=2, axis=1)
    boxes = op.Concat(lower, op.Max(lower, upper), axis=1)
    every = op.Constant(value_ints=[2**63 - 1])
    overlap = op.Constant(value_floats=[iou_threshold])
    batch = op.Unsqueeze(boxes, [0]), op.Unsqueeze(scores, [0])
    return op.NonMaxSuppression(*batch, every, overlap, *threshold)


@onnx_converter(torchvision_detection.batched_nms)
def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """As torchvision on the CPU: few boxes are moved apart by class, many suppressed by class.

    Moved boxes are rounded, so the two are not the same near the threshold. Results are in the
    order of their scores, equal ones in the order of the boxes.
    """
    few = op.LessOrEqual(op.Size(boxes), op.Constant(value_int=FEW))
    lowest = op.Constant(value_floats=[LOWEST])  # for the maximum of no boxes
    highest = op.ReduceMax(op.Concat(op.Reshape(boxes, [-1]), lowest, axis=0), keepdims=0)
    apart = op.Mul(op.Cast(idxs, to=FLOAT), op.Add(highest, op.Constant(value_float=1.0)))
    moved = op.Where(few, op.Add(boxes, op.Unsqueeze(apart, [1])), boxes)
    by_class = op.Where(_members(few, idxs), op.Max(scores, lowest), _infinite())
    places = op.Gather(
        _suppressed(moved, by_class, iou_threshold, _infinite()), op.Constant(value_int=2), axis=1
    )
    in_order, _ = op.TopK(places, op.Shape(places), axis=0, largest=0, sorted=1)
    _, order = op.TopK(op.Gather(scores, in_order), op.Shape(places), axis=0, largest=1, sorted=1)
    return op.Gather(in_order, order)


def _members(few: Any, idxs: Any) -> Any:
    """[classes, boxes]: which box is of which class; all are of one class where they are few."""
    zero = op.Constant(value_ints=[0])
    classes = op.Where(few, zero, idxs)
    # One more, so that there is a class where there are no boxes.
    _, _, number, _ = op.Unique(op.Concat(classes, zero, axis=0), axis=0, sorted=1)
    count = op.Add(op.ReduceMax(number, keepdims=0), op.Constant(value_int=1))
    every = op.Range(op.Constant(value_int=0), count, op.Constant(value_int=1))
    number = op.Slice(number, [0], [-1], [0])
    return op.Equal(op.Unsqueeze(every, [1]), op.Unsqueeze(number, [0]))


def _infinite() -> Any:
    """Less than the score of any box."""
    return op.Constant(value_floats=[float("-inf")])


def torchvision_forms() -> dict[Any, Any]:
    """Forms of torchvision's operators, if it has been imported by now."""
    packet = getattr(torch.ops.torchvision, "nms", None)
    return {} if packet is None else {packet.default: nms}
