# SPDX-License-Identifier: Apache-2.0
"""torchvision's operators, declared here where its compiled extension does not load.

torchvision's Python code names its own operators while it is imported. A torchvision built for
another torch (a CUDA build beside a CPU torch, say) can't load the extension that registers them,
and then the import itself fails, although classification models never call one. Declaring the
missing schemas lets those models through, and what the shapes of their results are lets
torch.export trace a detector; kernels in plain PyTorch give the answers that a bundle is compared
with. Nothing is declared when the extension loads.

Schemas: the signatures in torchvision's operator documentation and meta registrations.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edge_trt.capture.torchvision_kernels import KERNELS

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from types import ModuleType

_GRID = "float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_SIZE = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_WINDOW = (
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, "
    "SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask"
)
_DEFORM = "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias"

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align(Tensor input, Tensor rois, {_GRID}, int sampling_ratio, bool aligned) -> Tensor",
    (
        f"_roi_align_backward(Tensor grad, Tensor rois, {_GRID}, {_SIZE}, int sampling_ratio, "
        "bool aligned) -> Tensor"
    ),
    f"roi_pool(Tensor input, Tensor rois, {_GRID}) -> (Tensor, Tensor)",
    f"_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, {_GRID}, {_SIZE}) -> Tensor",
    f"ps_roi_align(Tensor input, Tensor rois, {_GRID}, int sampling_ratio) -> (Tensor, Tensor)",
    (
        f"_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, {_GRID}, "
        f"int sampling_ratio, {_SIZE}) -> Tensor"
    ),
    f"ps_roi_pool(Tensor input, Tensor rois, {_GRID}) -> (Tensor, Tensor)",
    (
        f"_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, {_GRID}, "
        f"{_SIZE}) -> Tensor"
    ),
    f"deform_conv2d({_DEFORM}, {_WINDOW}) -> Tensor",
    (
        f"_deform_conv2d_backward(Tensor grad, {_DEFORM}, {_WINDOW}) "
        "-> (Tensor, Tensor, Tensor, Tensor, Tensor)"
    ),
)

ASKERS = ("torchvision.extension", "torchvision.ops.roi_align")
"""Modules with a function of their own that says whether there are operators."""

_libraries: list[torch.library.Library] = []  # a Library undoes its definitions when it dies
_declared: list[str] = []


def _pooled(
    input: torch.Tensor, rois: torch.Tensor, scale: float, height: int, width: int, *_: object
) -> torch.Tensor:
    """A pooled map [channels, height, width] of each region."""
    return input.new_empty(rois.shape[0], input.shape[1], height, width)


def _pooled_with_places(
    input: torch.Tensor, rois: torch.Tensor, scale: float, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    pooled = _pooled(input, rois, scale, height, width)
    return pooled, torch.empty_like(pooled, dtype=torch.int32)


def _pooled_by_place(
    input: torch.Tensor, rois: torch.Tensor, scale: float, height: int, width: int, *_: object
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each cell of the grid has channels of its own."""
    channels = input.shape[1] // (height * width)
    pooled = input.new_empty(rois.shape[0], channels, height, width)
    return pooled, torch.empty_like(pooled, dtype=torch.int32)


def _convolved(
    input: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor, *_: object
) -> torch.Tensor:
    return input.new_empty(input.shape[0], weight.shape[0], *offset.shape[2:])


_SHAPES = {
    "roi_align": _pooled,
    "roi_pool": _pooled_with_places,
    "ps_roi_align": _pooled_by_place,
    "ps_roi_pool": _pooled_by_place,
    "deform_conv2d": _convolved,
}
"""torchvision tells these shapes together with its kernels only; that of nms it tells always."""


@contextmanager
def declared_on_import() -> Generator[None]:
    """Declare the missing schemas at the moment that something inside imports torchvision."""
    finder = _OnImport()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _OnImport(importlib.abc.MetaPathFinder):
    """Sees the import of torchvision coming, and leaves finding it to the others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Declare what is missing; always answer that somebody else finds the module."""
        if fullname == "torchvision":
            declare_missing_operators()
        return None


@cache
def declare_missing_operators() -> tuple[str, ...]:
    """Declare torchvision's schemas that torch lacks, unless torchvision brings the operators.

    Returns:
        Names of the operators declared here.
    """
    if "torchvision" in sys.modules or _extension_loads():
        return ()
    library = torch.library.Library("torchvision", "FRAGMENT")
    _libraries.append(library)
    declared: list[str] = []
    for schema in SCHEMAS:
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
            declared.append(name)
    for name in _SHAPES.keys() & set(declared):
        torch.library.register_fake(f"torchvision::{name}", _SHAPES[name], lib=library)
    for name in KERNELS.keys() & set(declared):
        library.impl(name, KERNELS[name], "CPU")
    _declared.extend(declared)
    return tuple(declared)


@cache
def provide_kernels() -> None:
    """Import torchvision so that its functions run here, also where its extension does not load."""
    with declared_on_import():
        importlib.import_module("torchvision")
    for asker in ASKERS if declared_here() else ():
        sys.modules[asker]._has_ops = lambda: True  # type: ignore[attr-defined]


def declared_here() -> bool:
    """Whether operators were declared because torchvision's extension does not load."""
    return bool(_declared)


def _extension_loads() -> bool:
    """Load torchvision's extension the way torchvision will, and say whether that worked.

    When it works, torchvision's own attempt finds the library loaded and registers nothing twice.
    """
    package = importlib.machinery.PathFinder.find_spec("torchvision")
    if package is None or not package.submodule_search_locations:
        return True  # nothing installed: nothing to help
    folder = Path(next(iter(package.submodule_search_locations)))
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        library = folder / f"_C{suffix}"
        if library.is_file():
            try:
                torch.ops.load_library(str(library))
            except OSError:
                return False
            return True
    return False
