# SPDX-License-Identifier: Apache-2.0
"""What became of a placement: the layers of the finished engine against the plan.

TensorRT moves layers to the GPU without a word, in spite of what it answered before. The engine
inspector is what tells it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_trt_runtime.tensorrt.profiling import EngineLayer

_BETWEEN = re.compile(r"\s*(?:\+|\|\||,|\.\.\.|[{}\[\]()])\s*|ForeignNode|PWN|\s+")
"""What stands between the names of layers that were fused into one."""


@dataclass(frozen=True, slots=True)
class Actual:
    """What the engine says.

    Attributes:
        loadables: how many layers of it run on a DLA.
        fell_back: layers that were meant for the DLA, and run on the GPU.
    """

    loadables: int
    fell_back: tuple[str, ...]


def actual(wanted: Collection[str], layers: Sequence[EngineLayer]) -> Actual | None:
    """Compares an engine with what TensorRT was asked for.

    Args:
        wanted: names of the layers that were set to run on a DLA.
        layers: of the engine, as far as they are described.

    Returns:
        What is there; None where nothing is described.
    """
    if not layers:
        return None
    computing = [layer for layer in layers if not layer.on_dla and not _is_copy(layer)]
    on_gpu = {name for layer in computing for name in _names(layer.Name)}
    fell_back = tuple(name for name in wanted if name in on_gpu)
    return Actual(sum(layer.on_dla for layer in layers), fell_back)


def _is_copy(layer: EngineLayer) -> bool:
    """Whether it brings a tensor into another format, as before and after every loadable."""
    return layer.LayerType == "Reformat" or layer.Name.startswith("Reformatting CopyNode")


def _names(fused: str) -> list[str]:
    return [name for name in _BETWEEN.split(fused) if name]
