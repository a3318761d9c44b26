# SPDX-License-Identifier: Apache-2.0
"""Types of the values that pass between blocks, as the manifest writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.conversion.context import Context
from edge_trt.network.graph import Network
from edge_trt_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from edge_trt.partitioning.blocks import Block


def describe(block: Block, symbols: Mapping[str, str]) -> list[TensorSpec]:
    """The types of a block's inputs and outputs, in order.

    Args:
        block: a block of a partition.
        symbols: torch's names of symbolic sizes -> the signature's.
    """
    graph = block.module.graph
    nodes: list[Any] = [n for n in graph.nodes if n.op == "placeholder"]
    (results,) = graph.output_node().args
    nodes += results if isinstance(results, (tuple, list)) else [results]
    names = [*block.inputs, *block.outputs]
    context = Context(Network(block.name), symbols)
    return [_spec(n, node.meta["val"], context) for n, node in zip(names, nodes, strict=True)]


def _spec(name: str, value: Any, context: Context) -> TensorSpec:
    if not isinstance(value, torch.Tensor):
        size = context.dim_of(value) if isinstance(value, (int, torch.SymInt)) else None
        return TensorSpec(name, "int64", [], value=size)
    dtype = str(value.dtype).removeprefix("torch.")
    return TensorSpec(name, dtype, [context.dim_of(s) for s in value.shape])
