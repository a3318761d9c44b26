# SPDX-License-Identifier: Apache-2.0
"""Functions as one fallback block, with the values that it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from edge_trt.capture import Captured, capture
from edge_trt.conversion.registry import support
from edge_trt.fallback import Fallback, save_fallbacks
from edge_trt.lowering import lower
from edge_trt.partitioning import Partition, cut


class Of(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


@dataclass
class Alone:
    """A model that falls back as a whole."""

    captured: Captured
    partition: Partition

    def saved(self, choice: str = "auto") -> Fallback:
        (fallback,) = save_fallbacks(self.partition, self.captured, choice).values()
        return fallback


def alone(function: Any, *inputs: Any) -> Alone:
    captured = capture(Of(function).eval(), inputs)
    graph = lower(captured.program, supported=support)
    refused = {n: "for the test" for n in graph.graph.nodes if n.op == "call_function"}
    partition, _ = cut(graph, refused)
    return Alone(captured, partition)
