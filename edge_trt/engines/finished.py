# SPDX-License-Identifier: Apache-2.0
"""What finished plans say of themselves, beside what was wanted of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from edge_trt.engines.tensorrt import Flavour, PlanResult
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network
from edge_trt.network.layers import Dequantize, Quantize
from edge_trt.placement.actual import actual
from edge_trt_runtime.cuda import open_device
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.manifest import Detail
from edge_trt_runtime.tensorrt.choice import board_model
from edge_trt_runtime.tensorrt.engine import LoadedPlan
from edge_trt_runtime.tensorrt.library import Library

if TYPE_CHECKING:
    from edge_trt.engines.plans import Job, Plan

_MOVED = {
    "dla_refused": "TensorRT refuses on the DLA, so the GPU runs",
    "dla_fell_back": "TensorRT moved to the GPU while it built",
}
"""Details of a plan that name layers which are not where they were meant to be."""


def details_of(
    network: Network, result: PlanResult, flavour: Flavour, gpu: str
) -> dict[str, Detail]:
    """What the manifest says of a plan.

    Args:
        network: what it was built from.
        result: what the build gave.
        flavour: which TensorRT built it.
        gpu: compute capability that it was built for, if that matters.
    """
    details: dict[str, Detail] = {
        "version": flavour.version,
        "layers": result.layers,
        "emit_seconds": round(result.emit_seconds, 4),
        "build_seconds": round(result.build_seconds, 4),
    }
    if result.timing_cache:
        details["timing_cache"] = result.timing_cache
    if gpu:
        details["compute_capability"] = gpu
        # Another board with this GPU can load it too, and is not what it was tuned for.
        if model := board_model():
            details["built_on"] = model
    if result.placed is not None:
        if result.placed.layers:
            # Quantization is no layer of a plan: it is part of its neighbours, or at an edge.
            apart = {n.name for n in network.nodes if isinstance(n.layer, (Quantize, Dequantize))}
            layers = [name for name in result.placed.layers if name not in apart]
            details["dla_core"] = result.placed.core
            details["dla_layers"] = len(layers)
            details |= _inspected(result, layers, flavour)
        if refused := [node.name for node in result.placed.refused]:
            details["dla_refused"] = ", ".join(refused)
    return details


def _inspected(result: PlanResult, layers: Collection[str], flavour: Flavour) -> dict[str, Detail]:
    """What the finished engine says of its layers on a DLA; nothing where it can't be asked."""
    core = None if result.placed is None else result.placed.core
    library = Library(flavour.name, flavour.module, flavour.version)
    try:
        with open_device():
            plan = LoadedPlan(library, result.plan, "inspected", core)
            try:
                found = actual(layers, plan.layers())
            finally:
                plan.close()
    except EngineError:  # the recorded cases will tell why
        return {}
    if found is None:
        return {}
    details: dict[str, Detail] = {"dla_loadables": found.loadables}
    if found.fell_back:
        details["dla_fell_back"] = ", ".join(found.fell_back)
    return details


def check_moved(job: Job, plan: Plan) -> None:
    """Refuses an engine that leaves to the GPU what was to run on the DLA alone.

    Quantization at the edges is the GPU's in any case: tensors come and go in floats.

    Raises:
        BuildError: naming the first such layer.
    """
    if job.dla is None or not job.dla.insist:
        return
    moved = {name for key in _MOVED for name in str(plan.details.get(key, "")).split(", ")}
    for node in job.network.nodes:
        if node.name in moved and not isinstance(node.layer, (Quantize, Dequantize)):
            raise BuildError(
                f"layer {node.name} = {node.layer} ({node.origin}) does not run on the DLA: "
                "TensorRT moved it to the GPU while it built",
                layer=node.name,
                module=node.origin.module,
                hint="build with --dla auto, which leaves it to the GPU",
            )


def remarks_of(plans: Sequence[Plan]) -> list[str]:
    """Sentences on what is not as planned."""
    return [*_not_as_planned(plans), *_too_many_loadables(plans)]


def _not_as_planned(plans: Sequence[Plan]) -> list[str]:
    """Sentences on layers that were meant for a DLA, and are not there."""
    return [
        f"{plan.segment}{_stream(plan)}: {words} {plan.details[key]}"
        for plan in plans
        for key, words in _MOVED.items()
        if key in plan.details
    ]


def _too_many_loadables(plans: Sequence[Plan]) -> list[str]:
    """Sentences on targets whose engines have more loadables than a core holds."""
    found: Counter[str] = Counter()
    for plan in plans:
        found[plan.target] += int(plan.details.get("dla_loadables", 0))
    if not found.total():
        return []
    from edge_trt.placement.rules import LOADABLES

    return [
        f"the engines for {target} have {count} loadables together, and a DLA core holds "
        f"{LOADABLES}: if they can't be loaded, build again with --dla off or another "
        "--dla-objective"
        for target, count in found.items()
        if count > LOADABLES
    ]


def _stream(plan: Plan) -> str:
    """Which of two streams a plan is of, for sentences."""
    return f" in stream {plan.stream}" if "runs_per_second" in plan.details else ""
