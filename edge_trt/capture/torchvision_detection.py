# SPDX-License-Identifier: Apache-2.0
"""torchvision's detectors in a form that torch.export takes, as long as they are traced.

`batched_nms` asks how many boxes there are before it decides how to suppress, which a graph can't
ask, so it becomes one operator. SSD selects the best boxes of each class in a loop over classes, a
thousand calls on tensors of unknown sizes, so it becomes one selection for all classes, whose sizes
are known. Both give what torchvision gives. Detectors that pool regions: `torchvision_regions`.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from edge_trt.capture.torchvision_ops import ASKERS, declared_here
from edge_trt.capture.torchvision_regions import regions_of_any_number

if TYPE_CHECKING:
    from collections.abc import Generator


library = torch.library.Library("edge_trt", "FRAGMENT")
library.define(
    "batched_nms(Tensor boxes, Tensor scores, Tensor idxs, float iou_threshold) -> Tensor"
)


def _kept(boxes: torch.Tensor, *_: Any) -> torch.Tensor:
    count = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty(count, dtype=torch.int64)


torch.library.register_fake("edge_trt::batched_nms", _kept, lib=library)


batched_nms: Any = torch.ops.edge_trt.batched_nms.default
"""torchvision's function of this name as an operator, which tracing does not look into."""


@contextmanager
def traceable_detectors() -> Generator[None]:
    """Let torch.export trace torchvision's detectors inside the block, if it is loaded at all."""
    if "torchvision.ops.boxes" not in sys.modules:
        yield
        return
    boxes = sys.modules["torchvision.ops.boxes"]
    _keep_original(boxes.batched_nms)
    with (
        patch.object(boxes, "batched_nms", batched_nms),
        patch.object(sys.modules["torchvision.ops"], "batched_nms", batched_nms),
        regions_of_any_number(),
        _selecting_by_class(),
        _extension_assumed(),
    ):
        yield


@cache
def _keep_original(function: Any) -> None:
    """Give the operator torchvision's own function, which is what eager programs run.

    It leaves open in which order boxes of equal scores come, and which are cut off behind the best:
    here it is the order of the boxes, as in ONNX.
    """

    def kernel(boxes: torch.Tensor, scores: torch.Tensor, *rest: Any) -> torch.Tensor:
        with _extension_assumed():
            kept = function(boxes, scores, *rest).sort()[0]
        return kept[scores[kept].sort(stable=True, descending=True)[1]]

    library.impl("batched_nms", kernel, "CPU")


@contextmanager
def _selecting_by_class() -> Generator[None]:
    """Replace the loop over classes of `SSD.postprocess_detections`."""
    if "torchvision.models.detection.ssd" not in sys.modules:
        yield
        return
    ssd = importlib.import_module("torchvision.models.detection.ssd").SSD
    with patch.object(ssd, "postprocess_detections", _postprocess):
        yield


@contextmanager
def _extension_assumed() -> Generator[None]:
    """Let calls of declared operators through, which torchvision would refuse."""
    with ExitStack() as patches:
        for asker in ASKERS if declared_here() else ():
            if asker in sys.modules:
                patches.enter_context(patch.object(sys.modules[asker], "_has_ops", lambda: True))
        yield


def _postprocess(
    self: Any,
    head_outputs: dict[str, torch.Tensor],
    image_anchors: list[torch.Tensor],
    image_shapes: list[tuple[int, int]],
) -> list[dict[str, torch.Tensor]]:
    """SSD's boxes of each image, scores and labels, best first, as torchvision computes them."""
    probabilities = head_outputs["cls_logits"].softmax(-1)
    given = zip(
        head_outputs["bbox_regression"], probabilities, image_anchors, image_shapes, strict=True
    )
    found: list[dict[str, torch.Tensor]] = []
    for regression, scores, anchors, shape in given:
        boxes = _clipped(self.box_coder.decode_single(regression, anchors), shape)
        boxes, scores, labels = _best_of_each_class(self, boxes, scores)
        kept = batched_nms(boxes, scores, labels, self.nms_thresh)
        kept = kept[: self.detections_per_img]
        found.append({"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]})
    return found


def _best_of_each_class(
    self: Any, boxes: torch.Tensor, scores: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes [n, 4], scores [n] and labels [n] of candidates, class by class, the best first.

    What is below the threshold sorts behind everything else and is dropped after the selection,
    which so has the same size for every image.
    """
    by_class = scores[:, 1:].mT  # the first is the background
    passing = torch.where(by_class > self.score_thresh, by_class, -torch.inf)
    best, places = passing.topk(min(self.topk_candidates, boxes.shape[0]), dim=1)
    labels = torch.arange(1, scores.shape[-1], device=scores.device)[:, None].expand_as(places)
    chosen = torch.where((best > -torch.inf).flatten())[0]
    places = places.flatten()[chosen]
    return boxes[places], best.flatten()[chosen], labels.flatten()[chosen]


def _clipped(boxes: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Boxes with their corners inside the image."""
    height, width = shape
    return torch.stack(
        [boxes[:, i].clamp(min=0, max=(width, height)[i % 2]) for i in range(4)], dim=1
    )
