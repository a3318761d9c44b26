# SPDX-License-Identifier: Apache-2.0
"""Splits a lowered graph into what TensorRT runs and what falls back, and says why."""

from edge_trt.partitioning.blocks import Block, Partition, cut
from edge_trt.partitioning.report import (
    BlockSummary,
    Coverage,
    Refusal,
    forbid,
    summarize,
    with_runners,
)
from edge_trt.partitioning.support import refusals

__all__ = [
    "Block",
    "BlockSummary",
    "Coverage",
    "Partition",
    "Refusal",
    "cut",
    "forbid",
    "refusals",
    "summarize",
    "with_runners",
]
