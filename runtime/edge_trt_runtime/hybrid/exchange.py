# SPDX-License-Identifier: Apache-2.0
"""Arrays on the GPU that a run is given, and results that stay there.

A list of calls is bound to addresses, and graphs hold them too. So an input on the GPU is copied
to the frame's place for it, on the GPU, unless it comes at the same address again: then a list is
made that reads it where it lies, without any copy. A ring of camera buffers ends up with a list
for each buffer; a tensor that is somewhere else every time costs one copy on the GPU.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_trt_runtime.device_arrays import DeviceArray
from edge_trt_runtime.foreign import OnDevice
from edge_trt_runtime.hybrid.memory import ALIGNMENT
from edge_trt_runtime.hybrid.schedule import HOST
from edge_trt_runtime.results import STAY, Target, check_target, deliver, stays_on_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.device_arrays import Blocks
    from edge_trt_runtime.hybrid.prepared import Prepared

    _Shapes = tuple[tuple[int, ...], ...]
    _Addresses = tuple[tuple[int, int], ...]

KEPT_ADDRESSES = 4
"""How many sets of addresses a frame makes lists for; all others are copied."""

_REMEMBERED = 16
"""Sets of addresses that came last; what is not among them gives way to others."""


class Lent(NamedTuple):
    """What a list of calls does with arrays on the GPU.

    Attributes:
        inputs: By slot: the address that it reads, or 0 where it copies.
        results: By slot of a result that stays: whether it goes to the host as well.
    """

    inputs: tuple[tuple[int, int], ...] = ()
    results: tuple[tuple[int, bool], ...] = ()


class Exchange:
    """Moves a run's arrays within the GPU; a frame has one. The device must be current."""

    def __init__(
        self, device: Device, prepared: Prepared, streams: Mapping[str, Any], blocks: Blocks
    ) -> None:
        """Look up who reads what where.

        Args:
            device: The GPU.
            prepared: What runs.
            streams: Of the frame, by lane.
            blocks: Memory for results.
        """
        self._device = device
        self._results = prepared.results
        self._blocks = blocks
        self._streams = [*streams.values()]
        self._joined = device.event() if len(self._streams) > 1 else None
        ops = prepared.schedule.ops
        self._downloaded = {op.subject for op in ops if op.kind == "download"}
        steps = prepared.plan.steps
        on_host = (op.subject for op in ops if op.kind == "segment" and op.lane == HOST)
        self._read_on_host = {slot for number in on_host for slot in steps[number].inputs}
        self._read_on_host.update(slot for op in ops for slot in prepared.host_inputs(op))
        self._given = {result.slot for result in prepared.results}
        self._sources: dict[int, OnDevice] = {}
        self._targets: Sequence[Target] = ()
        self._placed: dict[int, Any] = {}
        self._late: set[int] = set()
        self._last: deque[tuple[_Shapes, _Addresses]] = deque(maxlen=_REMEMBERED)
        self._bound: set[tuple[_Shapes, _Addresses]] = set()

    def admit(
        self, inputs: Sequence[Any], targets: Sequence[Target]
    ) -> tuple[list[Any], Lent | None]:
        """Begin a run: wait for other libraries on our streams, and say what to do.

        Returns:
            The inputs, those that the host reads as numpy arrays, and what the run's list of calls
            has to do with the others and with results; None where that is nothing.
        """
        self._await([*inputs, *targets])
        values = [
            self.fetched(array) if slot in self._read_on_host or slot in self._given else array
            for slot, array in enumerate(inputs)
        ]
        self._sources = {slot: a for slot, a in enumerate(values) if type(a) is OnDevice}
        self._targets = targets
        self._late = _overlapping(targets, self._sources.values())
        lent = Lent(self._addresses(values), self._staying())
        return values, lent if lent.inputs or lent.results else None

    def on_host(self, inputs: Sequence[Any]) -> list[Any]:
        """Return inputs as numpy arrays."""
        self._await(inputs)
        return [self.fetched(array) for array in inputs]

    def fetched(self, array: Any) -> Any:
        """Return an input in the host's memory, copied where it lies on the GPU."""
        if type(array) is not OnDevice:
            return array
        copy = np.empty(array.shape, array.dtype)
        if copy.nbytes:
            self._streams[0].synchronize()  # it waits for the array's owner
            self._device.fetch(copy, array.pointer)
        return copy

    def copy_in(self, slot: int, pointer: int, stream: Any) -> None:
        """Queue the copy of an input to its place."""
        source = self._sources[slot]
        self._device.copy(pointer, source.pointer, source.nbytes, stream)

    def copy_in_now(self, slot: int, pointer: int) -> None:
        """Copy an input to its place, and wait for that: no lane waits for the host's."""
        self.copy_in(slot, pointer, self._streams[0])
        self._streams[0].synchronize()

    def copy_out(
        self, slot: int, shape: tuple[int, ...], dtype: np.dtype, pointer: int, stream: Any
    ) -> None:
        """Queue the copies of a value to where results are to stay.

        Raises:
            InputError: When an array of the caller is not like the result.
        """
        for number, (name, made, _) in enumerate(self._results):
            target = self._targets[number]
            if made == slot and stays_on_device(target):
                place = self._place(name, target, shape, dtype, stream)
                if number in self._late:  # something may still read an input that lies there
                    place = self._blocks.take(shape, dtype, stream)
                self._device.copy(place.pointer, pointer, place.nbytes, stream)
                self._placed[number] = place

    def deliver(self, values: Sequence[Any]) -> list[Any]:
        """Return the results of a run that is over; what the host made goes to the GPU now.

        Raises:
            InputError: When an array of the caller is not like the result.
        """
        arrays: list[Any] = []
        targets = self._targets or [None] * len(self._results)
        for number, (result, target) in enumerate(zip(self._results, targets, strict=True)):
            place: Any = self._placed.get(number)
            if place is not None and number in self._late:
                self._copy_late(place, target)
                place = target
            if place is None and stays_on_device(target):
                value = np.ascontiguousarray(values[result.slot])
                value = value.reshape(values[result.slot].shape)  # of no dimension, it made one
                stream = self._streams[0]
                place = self._place(result.name, target, value.shape, value.dtype, stream)
                stream.synchronize()  # until nobody reads what was there
                if value.nbytes:
                    self._device.put(place.pointer, value)
            if place is None:
                arrays += deliver(values, [result], [target])
            else:
                arrays.append(place if isinstance(place, DeviceArray) else place.owner)
        return arrays

    def end(self) -> None:
        """Let go of the run's arrays."""
        self._sources, self._targets = {}, ()
        self._placed.clear()
        self._late = set()

    def _copy_late(self, source: DeviceArray, target: Any) -> None:
        """Copy a result over an input of the run, which is over, and wait for that."""
        stream = self._streams[0]
        self._device.copy(target.pointer, source.pointer, source.nbytes, stream)
        stream.synchronize()

    def _await(self, arrays: Iterable[Any]) -> None:
        """Let all lanes wait for what other libraries have queued on their arrays."""
        first, *others = self._streams
        for array in arrays:
            if type(array) is OnDevice:
                array.join(self._device, first)
        if self._joined is not None:
            self._joined.record(first)
            for stream in others:
                self._device.wait(stream, self._joined)

    def _addresses(self, values: Sequence[Any]) -> _Addresses:
        """Return by slot which address to read; 0 is a copy."""
        addresses = tuple(
            (slot, array.pointer if array.pointer % ALIGNMENT == 0 else 0)
            for slot, array in self._sources.items()
        )
        if not any(pointer for _, pointer in addresses):
            return addresses
        key = (tuple([value.shape for value in values]), addresses)
        if key not in self._bound and not self._bind(key):
            addresses = tuple((slot, 0) for slot, _ in addresses)
        self._last.append(key)
        return addresses

    def _bind(self, key: tuple[_Shapes, _Addresses]) -> bool:
        """Whether a set of addresses gets a list of calls of its own from now on."""
        if key not in self._last:
            return False
        if len(self._bound) >= KEPT_ADDRESSES:
            # A camera that was opened again has other buffers, and its old ones come no more.
            self._bound.intersection_update(self._last)
        if len(self._bound) >= KEPT_ADDRESSES:
            return False
        self._bound.add(key)
        return True

    def _staying(self) -> tuple[tuple[int, bool], ...]:
        """Return the slots of results that stay, and which of them the host wants as well."""
        wanted: dict[int, list[bool]] = {}
        for result, target in zip(self._results, self._targets, strict=False):
            stays = stays_on_device(target)
            wanted.setdefault(result.slot, []).append(stays)
        return tuple(
            (slot, slot in self._read_on_host or not all(stay))
            for slot, stay in wanted.items()
            if any(stay) and slot in self._downloaded
        )

    def _place(
        self, name: str, target: Any, shape: tuple[int, ...], dtype: np.dtype, stream: Any
    ) -> Any:
        """Return where a result is to stay."""
        if target is STAY:
            return self._blocks.take(shape, dtype, stream)
        check_target(name, target, shape, dtype)
        return target


def _overlapping(targets: Sequence[Target], sources: Iterable[OnDevice]) -> set[int]:
    """Return which results go to memory that holds inputs, as a state that is kept in place."""
    spans = [(source.pointer, source.pointer + source.nbytes) for source in sources]
    return {
        number
        for number, target in enumerate(targets)
        if type(target) is OnDevice
        and any(
            start < target.pointer + target.nbytes and target.pointer < stop
            for start, stop in spans
        )
    }
