# SPDX-License-Identifier: Apache-2.0
"""A torch program for the device calls no operator of the compiler, which is not there."""

from __future__ import annotations

from typing import Any

import torch

from edge_trt.capture import torchvision_detection
from edge_trt.partitioning import program
from edge_trt.partitioning.blocks import Block


def without_our_operators(block: Block, why: str) -> bool:
    """Lets a block call functions of torch and torchvision in the place of our operators.

    ::

        before  edge_trt.batched_nms(boxes, scores, classes, 0.5)
        after   torchvision.nms(boxes + apart, scores, 0.5)   # once the block is exported again

    Args:
        block: the block, which is changed.
        why: why ONNX Runtime does not run it.

    Returns:
        Whether it called any.

    Raises:
        UnsupportedError: one of them is nothing in torch.
    """
    calls = [n for n in block.module.graph.nodes if str(n.target).startswith("edge_trt.")]
    for node in calls:
        if node.target not in _FUNCTIONS:
            name = node.target._schema.name
            raise program.refusal(block, f"only ONNX Runtime has {name} ({why})")
        node.target = _FUNCTIONS[node.target]
    block.module.recompile()
    return bool(calls)


def _batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """As torchvision traces it: the boxes of each class are moved to where no other's are."""
    highest = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max()  # there may be no boxes
    apart = idxs.to(boxes.dtype) * (highest + 1)
    return torch.ops.torchvision.nms(boxes + apart[:, None], scores, iou_threshold)


_FUNCTIONS = {torchvision_detection.batched_nms: _batched_nms}
