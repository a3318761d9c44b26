# SPDX-License-Identifier: Apache-2.0
"""Where the files of a bundle lie, for those who write and those who read it back."""

from __future__ import annotations

WEIGHTS = "weights.safetensors"
REPORT = "report.json"
RANGES = "ranges.json"
PLACEMENT = "placement.json"
SELF_TEST = "self_test.safetensors"
STATES = "states.safetensors"

ENDINGS = {"onnx": "onnx", "torch": "pt2"}
"""Endings of fallback programs by the kind of their segment."""


def network_path(segment: str) -> str:
    """The layers of a segment."""
    return f"networks/{segment}.json"


def program_path(segment: str, ending: str) -> str:
    """The program of a fallback segment: `onnx`, or `pt2` for PyTorch."""
    return f"fallback/{segment}.{ending}"


def onnx_path(segment: str) -> str:
    """The engine of a segment for the CPU."""
    return f"engines/cpu/{segment}.onnx"


def plan_path(segment: str, fingerprint: str, stream: int = 1) -> str:
    """The TensorRT engine of a segment, in one of the streams that run side by side."""
    suffix = f".stream{stream}" if stream > 1 else ""
    return f"engines/{fingerprint}/{segment}{suffix}.plan"
