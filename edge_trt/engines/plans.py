# SPDX-License-Identifier: Apache-2.0
"""Builds the TensorRT plans that can be built on this machine, and says which can't, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edge_trt.engines.board import this_gpu, why_not_here
from edge_trt.engines.finished import check_moved, details_of, remarks_of
from edge_trt.engines.kept_plans import KeptFile, KeptPlans
from edge_trt.engines.plan_file import PlanFile
from edge_trt.engines.room import check_room
from edge_trt.engines.tensorrt import (
    BuildSettings,
    Flavour,
    build_plan,
    check_installed,
    fingerprint,
    flavour_of,
    load_flavour,
    newer_than_tested,
    with_timing_cache,
)
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network
from edge_trt.network.types import Dim
from edge_trt.options import CompileOptions
from edge_trt_runtime.manifest import Detail, Range
from edge_trt_runtime.tensorrt.messages import Messages, logging_to

if TYPE_CHECKING:
    from edge_trt.engines.tensorrt.dla import OnDla
    from edge_trt.placement.native import OnBoard

    PlacedHere = Callable[[str, Flavour, int | None], OnBoard]
    """What a board builds, by target, TensorRT, and how many DLA cores that offers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A TensorRT plan of one network for one target.

    Attributes:
        segment: name of the network.
        target: what it is for.
        flavour: which TensorRT built it.
        fingerprint: what it needs of the machine that loads it.
        data: its bytes.
        details: figures of the build.
        file: where it lies already, in a folder that is deleted after the build.
        stream: which of the placements that run side by side it belongs to.
    """

    segment: str
    target: str
    flavour: str
    fingerprint: str
    data: bytes | memoryview
    details: dict[str, Detail] = field(default_factory=dict[str, Detail])
    file: PlanFile | KeptFile | None = None
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """A plan that is to be built: of a network, for a target, with what of it goes to a DLA.

    `stream` and `rate` say that it is one of two that run side by side, and how often.
    """

    target: str
    flavour: Flavour
    network: Network
    dla: OnDla | None = None
    stream: int = 1
    rate: float | None = None

    @property
    def told(self) -> dict[str, Detail]:
        """What the plan is told of, whoever built it."""
        return {} if self.rate is None else {"runs_per_second": float(f"{self.rate:.3g}")}


@dataclass(frozen=True, slots=True)
class Plans:
    """What a build gave.

    Attributes:
        built: a plan per network and target.
        missing: the targets whose plans have to be built elsewhere, and why.
        remarks: sentences on options without effect.
    """

    built: list[Plan]
    missing: dict[str, str]
    remarks: list[str]


def build_plans(
    networks: Sequence[Network],
    options: CompileOptions,
    ranges: Mapping[str, Range],
    step: Callable[[float, str], None],
    profiles: Sequence[Mapping[str, Range]] = (),
    sizes: Mapping[str, Dim] | None = None,
    kept: KeptPlans | None = None,
    placed: PlacedHere | None = None,
) -> Plans:
    """Builds one plan per network and target that has its TensorRT here.

    Args:
        networks: networks at their final precision.
        options: targets and builder settings.
        ranges: sizes that symbolic dimensions may take.
        step: called with (fraction of all plans, note).
        profiles: narrower ranges to tune for, each by a profile of its own.
        sizes: what the inputs of networks are that hold a size.
        kept: where plans are written, and those of an interrupted build are taken from; without it
            they stay in memory.
        placed: what to build for a board in place of the networks, by target, TensorRT, and how
            many DLA cores it offers.

    Raises:
        BuildError: TensorRT refuses a network, it is not installed on the machine that a target
            names, or memory or disk are too small.
    """
    settings = BuildSettings(
        optimization_level=options.optimization_level,
        workspace=options.workspace,
        timing_cache=options.timing_cache,
        ranges=ranges,
        profiles=tuple(profiles),
        sizes=sizes or {},
        weight_streaming=options.weight_streaming,
    )
    flavours, missing = _flavours(options.targets)
    measuring = any(flavour.needs_gpu for flavour in flavours.values())
    folder = kept.folder if kept else None
    remarks = check_room(networks, folder) if measuring else []
    jobs, told = _jobs(networks, flavours, placed)
    if measuring and len(jobs) > len(networks):  # forms for a DLA are larger than their plans
        ready = {network.name: network for network in networks}
        check_room([ready[job.network.name] for job in jobs], folder)
    plans: list[Plan] = []
    for i, job in enumerate(jobs):

        def share(stage: str, fraction: float, note: str, i: int = i, job: Job = job) -> None:
            done = 0.0 if stage == "emit" else fraction
            stream = f", stream {job.stream}" if job.rate is not None else ""
            step((i + done) / len(jobs), f"{job.target}{stream}: {note or stage}")

        chosen = replace(settings, dla=job.dla)
        plans.append(_plan(job, chosen, share, kept))
        check_moved(job, plans[-1])
    told += [*newer_than_tested(flavours.values()), *remarks_of(plans)]
    return Plans(plans, missing, [*remarks, *told, *_without_effect(options, flavours)])


def _jobs(
    networks: Sequence[Network], flavours: Mapping[str, Flavour], placed: PlacedHere | None
) -> tuple[list[Job], list[str]]:
    """The plans to build, and sentences on what is not as planned."""
    jobs: list[Job] = []
    remarks: list[str] = []
    for target, flavour in flavours.items():
        if placed is None or not flavour.needs_gpu:
            jobs += [Job(target, flavour, network) for network in networks]
            continue
        here = placed(target, flavour, dla_cores(flavour))
        remarks += here.remarks
        for network in networks:  # stream 1 first: runtimes that know no streams take that
            forms = here.forms.get(network.name, ())
            jobs += [Job(target, flavour, f.network, f.dla, f.stream, f.rate) for f in forms]
            if not forms:
                jobs.append(Job(target, flavour, network))
    return jobs, remarks


def check_targets(targets: Sequence[str]) -> None:
    """Refuses what `build_plans` would refuse for want of a builder, before work is spent.

    Raises:
        BuildError: the flavour of target `rtx` is not installed.
    """
    for target in targets:
        if flavour_of(target) == "tensorrt_rtx":
            check_installed("tensorrt_rtx")


def _flavours(targets: Sequence[str]) -> tuple[dict[str, Flavour], dict[str, str]]:
    """What builds here, by target, and why the others don't.

    Raises:
        BuildError: the flavour of target `rtx`, or of the board that this is, is not installed.
    """
    found: dict[str, Flavour] = {}
    missing: dict[str, str] = {}
    for target in targets:
        name = flavour_of(target)
        if name == "tensorrt_rtx":
            found[target] = load_flavour(name)
        elif target == "cuda":
            try:
                found[target] = load_flavour("tensorrt")
            except BuildError as error:
                missing[target] = f"no engine for cuda: {error}"
        elif name is not None and (why := why_not_here(target)):
            missing[target] = f"no engine for {target}: {why}"
        elif name is not None:
            found[target] = load_flavour(name)
    return found, missing


def _without_effect(options: CompileOptions, flavours: Mapping[str, Flavour]) -> list[str]:
    """Sentences on builder settings that nothing reads."""
    notes: list[str] = []
    if all(flavour_of(target) is None for target in options.targets):
        given = {
            "workspace": options.workspace,
            "optimization_level": options.optimization_level,
            "weight_streaming": options.weight_streaming or None,
        }
        targets = ", ".join(options.targets)
        notes += [
            f"{name} is not used: target {targets} has no TensorRT"
            for name, value in given.items()
            if value is not None
        ]
    if options.timing_cache and not any(f.has_timing_cache for f in flavours.values()):
        notes.append(f"{options.timing_cache} is not used: no target here measures kernels")
    return notes


def _plan(
    job: Job,
    settings: BuildSettings,
    progress: Callable[[str, float, str], None],
    kept: KeptPlans | None,
) -> Plan:
    network, flavour = job.network, job.flavour
    gpu = this_gpu() if flavour.needs_gpu else ""
    name = fingerprint(job.target, flavour, settings, gpu=gpu)
    settings = with_timing_cache(settings, flavour, gpu)

    def made(
        data: bytes | memoryview,
        details: dict[str, Detail],
        file: PlanFile | KeptFile | None = None,
    ) -> Plan:
        told = {**details, **job.told}
        return Plan(network.name, job.target, flavour.name, name, data, told, file, job.stream)

    if kept is None:
        result = build_plan(network, flavour=flavour, settings=settings, progress=progress)
        return made(result.plan, details_of(network, result, flavour, gpu))
    if (found := kept.find(network.name, name, job.stream)) is not None:
        progress("build", 1.0, f"{network.name} was built before")
        return made(found[0].read(), found[1], found[0])
    with kept.begin(network.name, name, job.stream) as file:
        result = build_plan(
            network, flavour=flavour, settings=settings, progress=progress, file=file
        )
    details = details_of(network, result, flavour, gpu)
    kept.keep(file, network.name, name, details, job.stream)
    return made(result.plan, details, file)


def dla_cores(flavour: Flavour) -> int | None:
    """How many DLA cores a TensorRT offers; None where it can't be asked."""
    if not this_gpu():  # without a driver its objects are hollow
        return None
    with logging_to(flavour.module, Messages()) as log:
        return int(flavour.module.Runtime(log).num_DLA_cores)
