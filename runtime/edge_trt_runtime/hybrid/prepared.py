# SPDX-License-Identifier: Apache-2.0
"""What all frames of a session share: the order, the layouts, and the loaded segments."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.executors import open_executor
from edge_trt_runtime.hybrid.memory import Layout, MemoryPlan, plan_memory
from edge_trt_runtime.hybrid.schedule import HOST, Op, Schedule, make_schedule, orders
from edge_trt_runtime.hybrid.sizes import greatest_size
from edge_trt_runtime.hybrid.turns import Turns
from edge_trt_runtime.marks import unmarked
from edge_trt_runtime.plan import Plan, Result, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.executors import Executor
    from edge_trt_runtime.hybrid.arrays import DeviceExecutor
    from edge_trt_runtime.hybrid.place import Place, Placement
    from edge_trt_runtime.loaded import Options
    from edge_trt_runtime.manifest import Manifest
    from edge_trt_runtime.marks import Mark
    from edge_trt_runtime.tensorrt.shared import Lease

log = logging.getLogger("edge_trt_runtime")

MAPPED_LIMIT = 256 << 10
"""Bytes up to which an integrated GPU reads and writes a value in the host's memory in place."""

APART_FROM = 1 << 20
"""Bytes from which a value is copied on a stream of its own, beside what another frame computes.
An event more costs microseconds, and a smaller copy is hardly longer than that."""


@dataclass
class Prepared:
    """A bundle on a device, ready for frames.

    Attributes:
        plan: Steps and slots.
        schedule: Operations in order.
        device_layout: Offsets of values in a frame's device memory.
        pinned_layout: Offsets of values in a frame's pinned memory.
        mapped: Slots that a device uses in pinned memory.
        apart: Slots that are copied on streams of their own.
        sizes: Greatest bytes by slot, of values that touch a device.
        dtypes: By slot, likewise.
        results: As the plan's, with a copy of everything that lies in a frame's memory.
        device_executors: By step.
        host_executors: By step.
        by_host: By step of a device: slots that it takes and gives in the host's memory.
        capturable: Steps that a CUDA graph may hold.
        variable: Steps some of whose outputs have shapes that only the data tells.
        use_graphs: Whether to capture at all.
        turns: Whose turn it is to compute, where copies are apart.
        mark: Makes calls of a run tell what they are.
        numbers: Of frames.
    """

    plan: Plan
    schedule: Schedule
    device_layout: Layout
    pinned_layout: Layout
    mapped: frozenset[int]
    apart: frozenset[int]
    by_host: dict[int, frozenset[int]]
    sizes: dict[int, int]
    dtypes: dict[int, np.dtype]
    results: tuple[Result, ...]
    device_executors: dict[int, DeviceExecutor] = field(default_factory=dict)
    host_executors: dict[int, Executor] = field(default_factory=dict)
    capturable: frozenset[int] = frozenset()
    variable: frozenset[int] = frozenset()
    use_graphs: bool = True
    turns: Turns = field(default_factory=Turns)
    mark: Mark = unmarked
    numbers: Iterator[int] = field(default_factory=count)

    def host_inputs(self, op: Op) -> list[int]:
        """Return the slots that an operation takes in the host's memory, on a device."""
        if op.kind != "segment" or op.subject not in self.by_host:
            return []
        slots = self.by_host[op.subject]
        return [slot for slot in self.plan.steps[op.subject].inputs if slot in slots]

    def scratch(self) -> dict[str, int]:
        """Return by lane of a device what the greediest of its segments needs while it runs."""
        most: dict[str, int] = {}
        for op in self.schedule.ops:
            if op.kind == "segment" and op.lane != HOST:
                size = self.device_executors[op.subject].scratch
                most[op.lane] = max(size, most.get(op.lane, 0))
        return most

    def memory(self, frames: int) -> MemoryPlan:
        """Return what as many frames take, each."""
        scratch = sum(self.scratch().values())
        return MemoryPlan(
            device=self.device_layout.size + scratch,
            unshared=self.device_layout.unshared + scratch,
            scratch=scratch,
            pinned=self.pinned_layout.size,
            frames=frames,
        )

    def give_up_graphs(self, error: Exception) -> None:
        """Go on without CUDA graphs, and say so once."""
        if self.use_graphs:
            self.use_graphs = False
            log.warning("runs go on without CUDA graphs, as one could not be captured: %s", error)

    def close(self) -> None:
        """Give back the engines; frames have to be closed before."""
        self.turns.close()
        for executor in self.device_executors.values():
            executor.close()
        self.device_executors.clear()
        self.host_executors.clear()


class Peculiar(NamedTuple):
    """Values that a step of a device treats in a way of its own, by their names.

    Attributes:
        by_host: It takes and gives them in the host's memory.
        variable: Only the data tells their shapes.
    """

    by_host: frozenset[str] = frozenset()
    variable: frozenset[str] = frozenset()


def prepare(
    manifest: Manifest,
    plan: Plan,
    lanes: Sequence[str],
    *,
    integrated: bool,
    frames: int = 1,
    in_place: bool = False,
    peculiar: Mapping[int, Peculiar] | None = None,
) -> Prepared:
    """Order a plan's steps over lanes, and lay out the memory of a frame.

    Args:
        manifest: Types and ranges of values.
        plan: What to run.
        lanes: The lane of every step; values of steps on devices have a greatest size.
        integrated: Whether devices can use the host's memory in place.
        frames: How many runs may be in flight: copies are apart where another one computes.
        in_place: Whether devices that can do so use large inputs of the run in place as well.
        peculiar: By step of a device: values that need care.
    """
    inputs = len(manifest.signature.inputs)
    sizes, dtypes = _types(manifest, plan, lanes)
    small = {s for s, size in sizes.items() if size <= MAPPED_LIMIT or (in_place and s < inputs)}
    mapped = frozenset(small if integrated else ()) & _on_both_sides(plan, lanes, inputs)
    by_host = _slots(plan, {n: p.by_host for n, p in (peculiar or {}).items()})
    variable = _slots(plan, {n: p.variable for n, p in (peculiar or {}).items()})
    mapped = mapped.difference(*variable.values()).union(*by_host.values())
    large = (slot for slot, size in sizes.items() if size >= APART_FROM and slot not in mapped)
    apart = frozenset(large if frames > 1 else ())
    met = {n: slots.intersection(plan.steps[n].inputs) for n, slots in by_host.items()}
    schedule = make_schedule(plan, lanes, inputs, mapped, apart, met)
    before = orders(schedule.ops)
    pinned = plan_memory(sizes, schedule.pinned_uses, before)
    results = tuple(
        result._replace(copy=result.copy or result.slot in pinned.offsets)
        for result in plan.results
    )
    return Prepared(
        plan=plan,
        schedule=schedule,
        device_layout=plan_memory(sizes, schedule.device_uses, before),
        pinned_layout=pinned,
        mapped=mapped,
        apart=apart,
        by_host=by_host,
        sizes=sizes,
        dtypes=dtypes,
        results=results,
    )


def load_executors(
    prepared: Prepared,
    bundle: OpenBundle,
    placement: Placement,
    device: Device,
    options: Options,
) -> None:
    """Load every segment where it was placed.

    Args:
        prepared: Gets the executors.
        bundle: Where programs and CPU engines are.
        placement: Where each step runs, and the plans that are loaded already.
        device: The GPU.
        options: How to load.

    Raises:
        EngineError: When one can't be loaded; those that were are given back.
    """
    try:
        for number, (step, where) in enumerate(
            zip(prepared.plan.steps, placement.places, strict=True)
        ):
            if where.lane == HOST:
                prepared.host_executors[number] = _open_on_host(
                    bundle, step, where, options.threads
                )
            elif where.segment in placement.leases:
                lease = placement.leases[where.segment]
                prepared.device_executors[number] = _open_plan(
                    bundle, step, where, lease, device, options
                )
            else:
                prepared.device_executors[number] = _open_on_device(bundle, step, device)
    except BaseException:
        prepared.close()
        raise
    executors = prepared.device_executors.items()
    prepared.capturable = frozenset(number for number, e in executors if e.capturable)
    prepared.variable = frozenset(number for number, e in executors if e.variable)


def _open_on_host(bundle: OpenBundle, step: Step, where: Place, threads: int | None) -> Executor:
    try:
        return open_executor(bundle, step, threads)
    except EngineError as error:
        if not where.reason:
            raise
        raise EngineError(
            f"segment {where.segment!r} can't run on the GPU ({where.reason}), and not on the "
            f"host either: {error.message}",
            segment=where.segment,
            hint=error.hint,
        ) from error


def _open_plan(
    bundle: OpenBundle,
    step: Step,
    where: Place,
    lease: Lease,
    device: Device,
    options: Options,
) -> DeviceExecutor:
    from edge_trt_runtime.tensorrt.executor import TensorRtExecutor

    manifest = bundle.manifest
    greatest = {spec.name: greatest_size(manifest, spec) or 0 for spec in step.segment.tensors}
    cache = options.plans.persistent_cache
    return TensorRtExecutor(
        lease, step, greatest, device, gpu=where.lane == "gpu", persistent_cache=cache
    )


def _open_on_device(bundle: OpenBundle, step: Step, device: Device) -> DeviceExecutor:
    from edge_trt_runtime.executors.torch_cuda import TorchCudaExecutor

    return TorchCudaExecutor(bundle, step, step.segment.program or "", device.ordinal)


def _types(
    manifest: Manifest, plan: Plan, lanes: Sequence[str]
) -> tuple[dict[int, int], dict[int, np.dtype]]:
    """Return greatest size and type of every value that a step on a device reads or writes."""
    sizes: dict[int, int] = {}
    dtypes: dict[int, np.dtype] = {}
    for step, lane in zip(plan.steps, lanes, strict=True):
        specs = {spec.name: spec for spec in step.segment.tensors}
        names = [*step.segment.inputs, *step.wanted]
        for name, slot in zip(names, [*step.inputs, *step.outputs], strict=True):
            size = greatest_size(manifest, specs[name])
            if lane != HOST and size is not None:
                sizes[slot] = size
                dtypes[slot] = NUMPY_DTYPES[specs[name].dtype]
    return sizes, dtypes


def _slots(plan: Plan, named: Mapping[int, frozenset[str]]) -> dict[int, frozenset[int]]:
    """Return slots by step for names by step; steps without any are left out."""
    found: dict[int, frozenset[int]] = {}
    for number, names in named.items():
        step = plan.steps[number]
        pairs = [
            *zip(step.segment.inputs, step.inputs, strict=True),
            *zip(step.wanted, step.outputs, strict=True),
        ]
        slots = frozenset(slot for name, slot in pairs if name in names)
        if slots:
            found[number] = slots
    return found


def _on_both_sides(plan: Plan, lanes: Sequence[str], inputs: int) -> frozenset[int]:
    """Return slots that the host writes and a device reads, or the other way round."""
    made_on_host = {*range(inputs)}
    read_on_host = {result.slot for result in plan.results}
    touched: set[int] = set()
    for step, lane in zip(plan.steps, lanes, strict=True):
        if lane == HOST:
            made_on_host.update(step.outputs)
            read_on_host.update(step.inputs)
        else:
            touched.update(step.inputs, step.outputs)
    return frozenset(touched & (made_on_host | read_on_host))
