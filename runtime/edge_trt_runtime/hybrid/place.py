# SPDX-License-Identifier: Apache-2.0
"""Which lane runs a segment, and why it is the host where it is."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, NamedTuple

from edge_trt_runtime.hybrid.schedule import HOST
from edge_trt_runtime.hybrid.sizes import greatest_size

if TYPE_CHECKING:
    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.manifest import Segment


class Place(NamedTuple):
    """Where a segment runs.

    Attributes:
        segment: Its name.
        lane: ``gpu``, ``dla:0``, ``dla:1`` or ``host``.
        reason: Why it is the host; empty on a device, and where a fallback belongs there.
    """

    segment: str
    lane: str
    reason: str = ""


def place(bundle: OpenBundle, segment: Segment, device: Device) -> Place:
    """Choose the lane of a segment on a machine with a GPU."""
    if segment.kind == "onnx":
        return Place(segment.name, HOST)
    if segment.kind == "network":
        return Place(segment.name, HOST, _no_plan(bundle, segment, device))
    problem = _open_sizes(bundle, segment) or _no_torch(device)
    return Place(segment.name, HOST if problem else "gpu", problem)


def _no_plan(bundle: OpenBundle, segment: Segment, device: Device) -> str:
    engines = [e for e in bundle.manifest.engines if e.segment == segment.name]
    plans = [engine.target for engine in engines if engine.flavour != "onnx"]
    if plans:
        return f"its plans are for {', '.join(plans)}, and this is {device.describe()}"
    return f"the bundle has no plan for {device.describe()}"


def _open_sizes(bundle: OpenBundle, segment: Segment) -> str:
    """Say which value keeps a segment from having its memory planned."""
    for spec in segment.tensors:
        if spec.value is not None:
            return f"it takes {spec.name}, a size that changes from run to run, as a number"
        if greatest_size(bundle.manifest.signature, spec) is None:
            return f"the bundle does not say how large {spec.name} can be"
    return ""


def _no_torch(device: Device) -> str:
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    from edge_trt_runtime.executors.torch_cuda import why_not

    return why_not(device.ordinal)
