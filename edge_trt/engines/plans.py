# SPDX-License-Identifier: Apache-2.0
"""Builds the TensorRT plans that can be built on this machine, and says which can't, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_trt.engines.tensorrt import (
    BuildSettings,
    Flavour,
    build_plan,
    fingerprint,
    flavour_of,
    load_flavour,
)
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network
from edge_trt.options import CompileOptions
from edge_trt_runtime.manifest import Range


@dataclass(frozen=True, slots=True)
class Plan:
    """A TensorRT plan of one network for one target; `data` has the buffer protocol."""

    segment: str
    target: str
    flavour: str
    fingerprint: str
    data: bytes | memoryview
    details: dict[str, str | int | float | bool] = field(default_factory=dict)


def build_plans(
    networks: Sequence[Network],
    options: CompileOptions,
    ranges: Mapping[str, Range],
    step: Callable[[float, str], None],
) -> tuple[list[Plan], list[str]]:
    """One plan per network and target that has its TensorRT here.

    Args:
        networks: networks at their final precision.
        options: targets and builder settings.
        ranges: sizes that symbolic dimensions may take.
        step: called with (fraction of all plans, note).

    Returns:
        Plans, and a sentence per target whose plans have to be built elsewhere.

    Raises:
        BuildError: TensorRT refuses a network, or the flavour of target `rtx` is not installed.
    """
    settings = BuildSettings(
        optimization_level=options.optimization_level,
        workspace=options.workspace,
        timing_cache=options.timing_cache,
        ranges=ranges,
    )
    flavours, notes = _flavours(options.targets)
    jobs = [(target, flavour, n) for target, flavour in flavours.items() for n in networks]
    plans: list[Plan] = []
    for i, (target, flavour, network) in enumerate(jobs):

        def share(stage: str, fraction: float, note: str, i: int = i, target: str = target) -> None:
            done = 0.0 if stage == "emit" else fraction
            step((i + done) / len(jobs), f"{target}: {note or stage}")

        plans.append(_plan(network, target, flavour, settings, share))
    if options.timing_cache and not any(f.has_timing_cache for f in flavours.values()):
        notes.append(
            f"{options.timing_cache} is not used: no target here measures kernels"
        )
    return plans, notes


def _flavours(targets: Sequence[str]) -> tuple[dict[str, Flavour], list[str]]:
    """What builds here, by target, and why the others don't."""
    found: dict[str, Flavour] = {}
    notes: list[str] = []
    for target in targets:
        name = flavour_of(target)
        if name == "tensorrt_rtx":
            found[target] = load_flavour(name)
        elif target == "cuda":
            try:
                found[target] = load_flavour("tensorrt")
            except BuildError as error:
                notes.append(f"no engine for cuda: {error}")
        elif name is not None:
            notes.append(
                f"no engine for {target}: TensorRT measures kernels, so its plans are built on the "
                "board; the bundle is portable until then"
            )
    return found, notes


def _plan(
    network: Network,
    target: str,
    flavour: Flavour,
    settings: BuildSettings,
    progress: Callable[[str, float, str], None],
) -> Plan:
    result = build_plan(network, flavour=flavour, settings=settings, progress=progress)
    details: dict[str, str | int | float | bool] = {
        "version": flavour.version,
        "layers": result.layers,
        "emit_seconds": round(result.emit_seconds, 4),
        "build_seconds": round(result.build_seconds, 4),
    }
    if result.timing_cache:
        details["timing_cache"] = result.timing_cache
    name = fingerprint(target, flavour, settings)
    return Plan(network.name, target, flavour.name, name, result.plan, details)
