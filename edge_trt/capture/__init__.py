# SPDX-License-Identifier: Apache-2.0
"""Capture: a model in any form -> ``torch.export.ExportedProgram`` and its signature.

``Input`` is there without torch; everything else loads torch at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edge_trt.capture.axes import Axis
from edge_trt.capture.images import ImageInput
from edge_trt.capture.inputs import Input

if TYPE_CHECKING:
    from edge_trt.capture.export import Captured, capture
    from edge_trt.capture.module_state import CaptureWarning
    from edge_trt.capture.operators import find_operators

__all__ = ["Axis", "CaptureWarning", "Captured", "ImageInput", "Input", "capture", "find_operators"]

_HOMES = {
    "CaptureWarning": "edge_trt.capture.module_state",
    "Captured": "edge_trt.capture.export",
    "capture": "edge_trt.capture.export",
    "find_operators": "edge_trt.capture.operators",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value
