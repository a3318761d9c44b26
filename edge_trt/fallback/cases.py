# SPDX-License-Identifier: Apache-2.0
"""What the blocks of a model are given when the model gets random inputs of several sizes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from edge_trt.capture.export import Captured
from edge_trt.lowering.eager import vary
from edge_trt.partitioning.blocks import Partition

LARGEST = 8
"""How many times the elements of the usual sizes the greatest sizes may have to be tried too."""

PATIENCE = 20.0
"""Seconds after which no further inputs are tried, in making them and in comparing."""

Sizes = Mapping[str, int]
"""Size by the signature's name."""


def block_inputs(partition: Partition, captured: Captured) -> dict[str, list[list[Any]]]:
    """For every fallback block, the arguments that it gets from several random inputs.

    Random numbers at the border itself would be no boxes, no probabilities and no indices, so they
    go in where the model expects them. A block that PyTorch can't run here ends that case: those
    behind it get nothing.
    """
    found: dict[str, list[list[Any]]] = {
        b.name: [] for b in partition.blocks if b.kind == "fallback"
    }
    start = time.perf_counter()
    for inputs in _inputs(captured):
        if any(found.values()) and time.perf_counter() - start > PATIENCE:
            break
        values: dict[str, Any] = dict(zip(captured.input_names, inputs, strict=True))
        for block in partition.blocks:
            arguments = [values[name] for name in block.inputs]
            if block.kind == "fallback":
                found[block.name].append(arguments)
            try:
                with torch.inference_mode():
                    results = block.module(*arguments)
            except Exception:  # whatever an operator's kernel raises, such as that it has none
                break
            values.update(zip(block.outputs, results, strict=True))
    return found


def _inputs(captured: Captured) -> Iterator[Sequence[torch.Tensor]]:
    """Inputs at the usual sizes, twice, then at the least, at odd ones between, at the greatest."""
    yield captured.examples
    for seed, sizes in enumerate(_sizes(captured), start=1):
        yield vary(_resized(captured, sizes), seed)


def _sizes(captured: Captured) -> list[Sizes]:
    dims = captured.signature.dims
    usual = {name: r.opt for name, r in dims.items()}
    if not dims:
        return [usual]
    least = {name: r.min for name, r in dims.items()}
    between = {name: min(max(r.min, (r.min + r.opt) // 2 | 1), r.max) for name, r in dims.items()}
    greatest = {name: r.max for name, r in dims.items()}
    many = math.prod(max(r.max / max(r.opt, 1), 1) for r in dims.values())
    return [usual, least, between, *([greatest] if many <= LARGEST else [])]


def _resized(captured: Captured, sizes: Sizes) -> list[torch.Tensor]:
    """The examples at other sizes: repeated or cut, so that indices stay in range."""
    by_symbol = {symbol: sizes[name] for symbol, name in captured.symbols.items() if name in sizes}
    nodes = {n.name: n for n in captured.program.graph.find_nodes(op="placeholder")}
    return [
        _fitted(example, nodes[name].meta["val"].shape, by_symbol)
        for name, example in zip(captured.input_names, captured.examples, strict=True)
    ]


def _fitted(example: torch.Tensor, shape: Sequence[Any], sizes: Sizes) -> torch.Tensor:
    for axis, size in enumerate(shape):
        if isinstance(size, torch.SymInt) and example.shape[axis]:
            expression = size.node.expr
            known = {s: sizes[str(s)] for s in expression.free_symbols if str(s) in sizes}
            wanted = (
                int(expression.subs(known)) if len(known) == len(expression.free_symbols) else 0
            )
            if wanted:
                places = torch.arange(wanted) % example.shape[axis]
                example = example.index_select(axis, places)
    return example
