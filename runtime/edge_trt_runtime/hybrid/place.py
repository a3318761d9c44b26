# SPDX-License-Identifier: Apache-2.0
"""Which lane runs a segment, and why it is the host where it is."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING, NamedTuple

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.hybrid.schedule import HOST
from edge_trt_runtime.hybrid.sizes import greatest_size

if TYPE_CHECKING:
    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.manifest import Segment
    from edge_trt_runtime.plan import Plan
    from edge_trt_runtime.tensorrt.budget import PlanOptions
    from edge_trt_runtime.tensorrt.shared import Lease

log = logging.getLogger("edge_trt_runtime")


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


class Placement(NamedTuple):
    """Where the steps of a plan run.

    Attributes:
        places: By step.
        leases: TensorRT's plans that were loaded for them, by segment.
    """

    places: list[Place]
    leases: dict[str, Lease]

    @property
    def uses_device(self) -> bool:
        """Whether anything runs on the device at all."""
        return any(where.lane != HOST for where in self.places)

    def release(self) -> None:
        """Give back the plans that no executor has given back."""
        for lease in self.leases.values():
            lease.release()


def place_all(
    bundle: OpenBundle, plan: Plan, device: Device, options: PlanOptions, *, insist: bool
) -> Placement:
    """Choose the lane of every step of a plan; the device must be current.

    Args:
        bundle: Where engines are.
        plan: The steps.
        device: The GPU.
        options: How to run plans.
        insist: Whether a plan that fits and that TensorRT refuses is an error; otherwise its
            segment runs on the host, and a warning says so.

    Raises:
        EngineError: As ``insist`` says, and when a plan lacks what an option asks for.
    """
    placement = Placement([], {})
    try:
        for step in plan.steps:
            where = _place(bundle, step.segment, device)
            if step.segment.kind == "network" and where.lane != HOST:
                where, lease = _with_plan(bundle, step.segment, where, device, options, insist)
                if lease is not None:
                    placement.leases[where.segment] = lease
            placement.places.append(where)
    except BaseException:
        placement.release()
        raise
    return placement


def _with_plan(
    bundle: OpenBundle,
    segment: Segment,
    where: Place,
    device: Device,
    options: PlanOptions,
    insist: bool,
) -> tuple[Place, Lease | None]:
    """Load the segment's plan, or move the segment to the host."""
    from edge_trt_runtime.tensorrt.choice import find_plan, lane_of, load_plan
    from edge_trt_runtime.tensorrt.engine import UnfitOptionError

    found = find_plan(bundle, segment, device, options.stream)
    if isinstance(found, str):
        return Place(segment.name, HOST, found), None
    where = where._replace(lane=lane_of(found[0], segment, options))
    try:
        return where, load_plan(bundle, segment, *found, device, options)
    except EngineError as error:
        if insist or isinstance(error, UnfitOptionError):
            raise
        log.warning("%s; it runs on the CPU", error)
        return Place(segment.name, HOST, str(error)), None


def _place(bundle: OpenBundle, segment: Segment, device: Device) -> Place:
    if segment.kind == "onnx":
        return Place(segment.name, HOST)
    if segment.kind == "network":
        problem = _open_sizes(bundle, segment)
        return Place(segment.name, HOST if problem else segment.device, problem)
    problem = _numbers(segment) or _open_sizes(bundle, segment) or _no_torch(device)
    return Place(segment.name, HOST if problem else "gpu", problem)


def _numbers(segment: Segment) -> str:
    """Say which number a PyTorch program takes; a TensorRT plan takes it in the host's memory."""
    for spec in segment.tensors:
        if spec.value is not None:
            return f"it takes {spec.name}, a size that changes from run to run, as a number"
    return ""


def _open_sizes(bundle: OpenBundle, segment: Segment) -> str:
    """Say which value keeps a segment from having its memory planned."""
    for spec in segment.tensors:
        if greatest_size(bundle.manifest, spec) is None:
            return f"the bundle does not say how large {spec.name} can be"
    return ""


def _no_torch(device: Device) -> str:
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    from edge_trt_runtime.executors.torch_cuda import why_not

    return why_not(device.ordinal)
