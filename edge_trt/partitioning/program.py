# SPDX-License-Identifier: Apache-2.0
"""A fallback block as a torch program (`.pt2`), for a device that has torch."""

from __future__ import annotations

import io
from typing import Any

import torch

from edge_trt.conversion.origin import origin_of
from edge_trt.errors import UnsupportedError
from edge_trt.partitioning.blocks import Block


def export_program(block: Block) -> bytes:
    """Exports a fallback block for `torch.export.load`.

    Raises:
        UnsupportedError: torch.export does not take the block; the message says where it is.
    """
    placeholders = [n for n in block.module.graph.nodes if n.op == "placeholder"]
    examples = tuple(_example(n.meta["val"]) for n in placeholders)
    shapes = tuple(_dynamic(n.meta["val"]) for n in placeholders)
    try:
        program = torch.export.export(block.module, examples, dynamic_shapes=shapes, strict=False)
        file = io.BytesIO()
        torch.export.save(program, file)
    except Exception as error:  # torch.export raises many kinds of errors
        first = origin_of(block.calls[0])
        raise UnsupportedError(
            f"the fallback block that starts with {first} can't be saved as a torch program: "
            f"{str(error).splitlines()[0]}",
            hint="keep the whole module out with fallback_modules, or rewrite it",
        ) from error
    return file.getvalue()


def _example(value: Any) -> Any:
    """A tensor of the captured sizes; values do not matter, and zeros are safe as indices."""
    if not isinstance(value, torch.Tensor):
        return 2
    sizes = [s if isinstance(s, int) else int(s.node.hint or 2) for s in value.shape]
    return torch.zeros(sizes, dtype=value.dtype)


def _dynamic(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return torch.export.Dim.DYNAMIC
    auto = torch.export.Dim.AUTO
    axes = {i: auto for i, s in enumerate(value.shape) if not isinstance(s, int)}
    return axes or None
