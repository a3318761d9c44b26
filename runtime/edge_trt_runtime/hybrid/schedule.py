# SPDX-License-Identifier: Apache-2.0
"""The static order of a run: copies, segments and the events between lanes.

A lane is something that works in order: a CUDA stream of the GPU or of a DLA core, or the host
thread that issues everything. What the host does itself is over when it goes on, so nobody waits
for the host by an event; everybody else who reads across lanes does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from edge_trt_runtime.plan import Plan

HOST = "host"
"""The lane of the issuing thread: staging, segments of ONNX Runtime, the end of a run."""

COPY_IN, COPY_OUT = "copy-in", "copy-out"
"""Lanes of copies that are worth one: they run while a lane works on another frame."""

Kind = Literal["stage", "upload", "segment", "download", "meet", "finish"]


class Op(NamedTuple):
    """One operation of a run.

    Attributes:
        kind: ``stage`` copies an input to pinned memory, ``upload`` and ``download`` copy between
            pinned and device memory, ``segment`` runs a step, ``meet`` waits for values that the
            next step takes in the host's memory, ``finish`` waits for every lane.
        lane: Where it is queued.
        subject: The value's slot for copies, the number of the step for ``segment``, else 0.
        waits: Numbers of earlier operations on other lanes that have to be over first.
        signals: Whether an event follows it, because another lane waits for it, or the host while
            more is queued behind it. Otherwise the host waits for the whole lane, which is as
            long, and one call less.
    """

    kind: Kind
    lane: str
    subject: int
    waits: tuple[int, ...] = ()
    signals: bool = False


class Schedule(NamedTuple):
    """All operations in the order in which the host issues them, and what they do to values.

    Attributes:
        ops: The operations.
        device_uses: By slot: operations on the value in device memory, its writer first.
        pinned_uses: The same in pinned memory.
    """

    ops: tuple[Op, ...]
    device_uses: dict[int, list[int]]
    pinned_uses: dict[int, list[int]]


def make_schedule(
    plan: Plan,
    lanes: Sequence[str],
    inputs: int,
    mapped: Collection[int] = (),
    apart: Collection[int] = (),
    by_host: Mapping[int, Collection[int]] | None = None,
) -> Schedule:
    """Put a plan in order.

    Args:
        plan: Steps in an order in which every value is made before it is read.
        lanes: The lane of every step.
        inputs: How many slots hold inputs of the run; they are the first.
        mapped: Slots that live in pinned memory which the devices read in place: uncopied.
        apart: Slots that are copied on lanes of their own, beside what the devices compute.
        by_host: By step of a device: slots that it takes in the host's memory while the host
            queues it; they are ``mapped``.
    """
    maker = _Maker(plan, lanes, inputs, frozenset(mapped), frozenset(apart))
    for number, step in enumerate(plan.steps):
        maker.meet((by_host or {}).get(number, ()))
        if lanes[number] == HOST:
            maker.add_host_step(number, step.inputs, step.outputs)
        else:
            maker.add_device_step(number, step.inputs, step.outputs)
    return maker.finish()


def orders(ops: Sequence[Op]) -> list[int]:
    """Return for every operation the set of those that are surely over when it starts.

    Sets are bit masks of operation numbers. What is not in the set may run at the same time, in
    whatever order a test would like best to break us with.
    """
    order = _Order()
    for op in ops:
        order.add(op.lane, op.waits)
    return order.before


class _Order:
    """What is surely over when an operation starts, operation by operation."""

    def __init__(self) -> None:
        self.before: list[int] = []
        self._last: dict[str, int] = {}

    def known(self, lane: str) -> int:
        """Return what is over, without any event, when the next operation of a lane starts."""
        known = 0
        for name in (lane, HOST):  # the host had finished its own work when it issued this
            if name in self._last:
                known |= self.with_past(self._last[name])
        return known

    def with_past(self, number: int) -> int:
        """Return an operation and all before it."""
        return self.before[number] | 1 << number

    def is_last(self, number: int, lane: str) -> bool:
        """Whether nothing was queued on an operation's lane after it."""
        return self._last[lane] == number

    def add(self, lane: str, waits: Sequence[int]) -> None:
        """Append an operation."""
        before = self.known(lane)
        for number in waits:
            before |= self.with_past(number)
        self._last[lane] = len(self.before)
        self.before.append(before)


class _Maker:
    """Appends operations, and remembers after which one a value is where."""

    def __init__(
        self,
        plan: Plan,
        lanes: Sequence[str],
        inputs: int,
        mapped: frozenset[int],
        apart: frozenset[int],
    ) -> None:
        self._lanes = lanes
        self._mapped = mapped
        self._apart = apart
        self._ops: list[Op] = []
        self._order = _Order()
        self._on_host: dict[int, int | None] = dict.fromkeys(range(inputs))  # None: from the start
        self._on_device: dict[int, int] = {}
        self._device_uses: dict[int, list[int]] = {}
        self._pinned_uses: dict[int, list[int]] = {}
        self._inputs = inputs
        self._results = dict.fromkeys(result.slot for result in plan.results)
        self._device_readers = _readers(plan, lanes, on_host=False)
        self._host_readers = _readers(plan, lanes, on_host=True)
        for slot in range(inputs):
            if slot in self._device_readers:
                self._stage(slot)

    def meet(self, slots: Collection[int]) -> None:
        """Let the host wait until it can read values that devices make."""
        made = [self._on_host[slot] for slot in slots]
        waits = [op for op in made if op is not None and self._ops[op].lane != HOST]
        if waits:
            self._add("meet", HOST, 0, waits)

    def add_host_step(self, number: int, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Append a step of the host; what devices read of it goes to pinned memory."""
        waits = [self._on_host[slot] for slot in inputs]
        op = self._add("segment", HOST, number, [wait for wait in waits if wait is not None])
        for slot in inputs:
            self._note(self._pinned_uses, slot, op)
        for slot in outputs:
            self._on_host[slot] = op
            if slot in self._device_readers:
                self._pinned_uses[slot] = [op]
                if slot in self._mapped:
                    self._on_device[slot] = op

    def add_device_step(self, number: int, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Append uploads that are missing, the step, and downloads that the host waits for."""
        lane = self._lanes[number]
        waits = [self._to_device(slot, lane) for slot in dict.fromkeys(inputs)]
        op = self._add("segment", lane, number, waits)
        for slot in inputs:
            self._use_on_device(slot, op)
        for slot in outputs:
            self._on_device[slot] = op
            if slot in self._mapped:
                self._pinned_uses[slot] = [op]
                self._on_host[slot] = op
            else:
                self._device_uses[slot] = [op]
            if slot in self._host_readers:
                self._to_host(slot)

    def finish(self) -> Schedule:
        """Append downloads of results, and the end."""
        for slot in self._results:
            if slot in self._on_device and slot not in self._on_host:
                self._to_host(slot)
        last = {op.lane: number for number, op in enumerate(self._ops)}
        end = self._add("finish", HOST, 0, [last[lane] for lane in last if lane != HOST])
        for slot in self._results:
            self._note(self._pinned_uses, slot, end)
        return Schedule(tuple(self._ops), self._device_uses, self._pinned_uses)

    def _stage(self, slot: int) -> None:
        op = self._add("stage", HOST, slot, [])
        self._pinned_uses[slot] = [op]
        if slot in self._mapped:
            self._on_device[slot] = op

    def _to_device(self, slot: int, lane: str) -> int:
        if slot not in self._on_device:
            op = self._add("upload", COPY_IN if slot in self._apart else lane, slot, [])
            self._note(self._pinned_uses, slot, op)
            self._device_uses[slot] = [op]
            self._on_device[slot] = op
        return self._on_device[slot]

    def _to_host(self, slot: int) -> None:
        if slot in self._on_host:
            return
        made = self._on_device[slot]
        lane = COPY_OUT if slot in self._apart else self._ops[made].lane
        op = self._add("download", lane, slot, [made])
        self._device_uses[slot].append(op)
        self._pinned_uses[slot] = [op]
        self._on_host[slot] = op

    def _use_on_device(self, slot: int, op: int) -> None:
        self._note(self._pinned_uses if slot in self._mapped else self._device_uses, slot, op)

    @staticmethod
    def _note(uses: dict[int, list[int]], slot: int, op: int) -> None:
        if slot in uses:
            uses[slot].append(op)

    def _add(self, kind: Kind, lane: str, index: int, after: Sequence[int]) -> int:
        """Append an operation that waits for those of ``after`` that nothing else orders."""
        known = self._order.known(lane)
        waits: list[int] = []
        for number in sorted(set(after), reverse=True):  # the latest know of the others
            if not known >> number & 1:
                waits.append(number)
                known |= self._order.with_past(number)
                if lane != HOST or not self._order.is_last(number, self._ops[number].lane):
                    self._ops[number] = self._ops[number]._replace(signals=True)
        self._order.add(lane, waits)
        self._ops.append(Op(kind, lane, index, tuple(sorted(waits))))
        return len(self._ops) - 1


def _readers(plan: Plan, lanes: Sequence[str], *, on_host: bool) -> set[int]:
    """Return the slots that steps on the host, or on devices, read."""
    return {
        slot
        for step, lane in zip(plan.steps, lanes, strict=True)
        if (lane == HOST) == on_host
        for slot in step.inputs
    }
