# SPDX-License-Identifier: Apache-2.0
"""Types of the values that pass between blocks, as the manifest writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.origin import origin_of
from edge_trt.errors import UnsupportedError
from edge_trt.network.graph import Network
from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from edge_trt.partitioning.blocks import Block


def describe(block: Block, symbols: Mapping[str, str]) -> list[TensorSpec]:
    """The types of a block's inputs and outputs, in order.

    Args:
        block: a block of a partition.
        symbols: torch's names of symbolic sizes -> the signature's.

    Raises:
        UnsupportedError: a value is of a type that numpy lacks, so no session could pass it on.
    """
    graph = block.module.graph
    nodes: list[Any] = [n for n in graph.nodes if n.op == "placeholder"]
    (results,) = graph.output_node().args
    nodes += results if isinstance(results, (tuple, list)) else [results]
    names = [*block.inputs, *block.outputs]
    context = Context(Network(block.name), symbols)
    return [_spec(n, node, context) for n, node in zip(names, nodes, strict=True)]


def _spec(name: str, node: fx.Node, context: Context) -> TensorSpec:
    value: Any = node.meta["val"]
    if not isinstance(value, torch.Tensor):
        size = context.dim_of(value) if isinstance(value, (int, torch.SymInt)) else None
        return TensorSpec(name, "int64", [], value=size)
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in NUMPY_DTYPES:
        where = f" ({origin_of(node)})" if node.op == "call_function" else ""
        raise UnsupportedError(
            f"{name}{where} passes between blocks as {dtype}, which numpy lacks",
            hint="cast to float32 before the operator that falls back, and back behind it",
        )
    return TensorSpec(name, dtype, [context.dim_of(s) for s in value.shape])
