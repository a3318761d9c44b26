# SPDX-License-Identifier: Apache-2.0
"""Where the files of a bundle lie, for those who write and those who read it back."""

from __future__ import annotations

WEIGHTS = "weights.safetensors"
REPORT = "report.json"
SELF_TEST = "self_test.safetensors"


def network_path(segment: str) -> str:
    """The layers of a segment."""
    return f"networks/{segment}.json"


def program_path(segment: str) -> str:
    """The torch program of a fallback segment."""
    return f"fallback/{segment}.pt2"


def onnx_path(segment: str) -> str:
    """The engine of a segment for the CPU."""
    return f"engines/cpu/{segment}.onnx"


def plan_path(segment: str, fingerprint: str) -> str:
    """The TensorRT engine of a segment."""
    return f"engines/{fingerprint}/{segment}.plan"
