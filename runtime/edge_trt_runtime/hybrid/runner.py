# SPDX-License-Identifier: Apache-2.0
"""Running a bundle over a GPU and the host, several runs in flight."""

from __future__ import annotations

import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.device_arrays import Blocks
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.hybrid.choosing import faster
from edge_trt_runtime.hybrid.frame import Frame
from edge_trt_runtime.hybrid.prepared import Peculiar, Prepared, load_executors, prepare
from edge_trt_runtime.marks import unmarked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.hybrid.place import Placement
    from edge_trt_runtime.layers import RawTime
    from edge_trt_runtime.loaded import Options
    from edge_trt_runtime.marks import Mark
    from edge_trt_runtime.plan import Plan
    from edge_trt_runtime.results import Target
    from edge_trt_runtime.timing import Timing

_abandoned: list[object] = []
"""What hung runs may still use, or what belongs to the process that this one was forked from."""


class HybridRunner:
    """Segments where they were placed; several threads may run at once, each with a frame.

    Attributes:
        memory: What a frame takes.
    """

    def __init__(
        self,
        bundle: OpenBundle,
        plan: Plan,
        placement: Placement,
        device: Device,
        options: Options,
        mark: Mark = unmarked,
    ) -> None:
        """Load every segment, and allocate one frame.

        The runner owns the plans of the placement, and has given them back when it can't be made.

        Raises:
            EngineError: When a segment can't be loaded, or memory is short.
        """
        lanes = [where.lane for where in placement.places]
        with device:
            try:
                make = partial(
                    prepare,
                    bundle.manifest,
                    plan,
                    lanes,
                    integrated=device.integrated,
                    frames=options.frames,
                    peculiar=_peculiar(plan, placement),
                )
                prepared = make()
                in_place = make(in_place=True) if device.integrated else prepared
                prepared.use_graphs, prepared.mark = options.graphs, mark
                load_executors(prepared, bundle, placement, device, options)
            except BaseException:
                placement.release()
                raise
            blocks = Blocks(device)
            try:
                prepared = faster(device, prepared, in_place, blocks, bundle.manifest)
                self._frames = _Frames(device, prepared, blocks, options.frames)
                self._frames.add()
            except BaseException:
                prepared.close()
                raise
        self._device = device
        self.memory = prepared.memory(options.frames)
        self._close = weakref.finalize(self, _close, device, self._frames, prepared)

    def run(self, inputs: list[Any], targets: Sequence[Target] = ()) -> list[Any]:
        """Run once; inputs, results and their targets in the order of the signature.

        Raises:
            EngineError: When a segment fails, or the session was closed.
        """
        with self._device:
            frame = self._frames.take()
            try:
                return frame.run(inputs, targets)
            finally:
                self._frames.give(frame)

    def profile(self, inputs: list[Any]) -> list[Timing]:
        """Run once without graphs, waiting for each operation, and tell what it took.

        Raises:
            EngineError: As :meth:`run`.
        """
        with self._device:
            frame = self._frames.take()
            try:
                return frame.profile(inputs)
            finally:
                self._frames.give(frame)

    def layers(self, inputs: list[Any], runs: int) -> dict[str, list[RawTime]]:
        """Run some times without graphs, and tell by segment what its layers take.

        Raises:
            EngineError: As :meth:`run`.
        """
        with self._device:
            frame = self._frames.take()
            try:
                return frame.layers(inputs, runs)
            finally:
                self._frames.give(frame)

    def close(self) -> None:
        """Wait for runs in flight, and give everything back. Twice is fine."""
        self._close()

    def abandon(self) -> None:
        """Give nothing back, not even when the process ends: the device would not answer."""
        from edge_trt_runtime.tensorrt.shared import PLANS

        kept = self._close.detach()
        if kept is not None:
            PLANS.forget(self._device.ordinal)
            _abandoned.append(kept)


class _Frames:
    """The frames of a session: idle ones, and room for more up to a limit."""

    def __init__(self, device: Device, prepared: Prepared, blocks: Blocks, limit: int) -> None:
        self._device = device
        self._prepared = prepared
        self._blocks = blocks
        self._limit = limit
        self._idle: list[Frame] = []
        self._count = 0
        self._closed = False
        self._waiting = 0
        self._changed = threading.Condition()

    def add(self) -> None:
        """Make a frame."""
        self._idle.append(Frame(self._device, self._prepared, self._blocks))
        self._count += 1

    def take(self) -> Frame:
        """Return an idle frame; makes one, or waits for one. The device must be current."""
        if not self._closed:
            try:
                return self._idle.pop()  # the usual case, without a lock
            except IndexError:
                pass
        return self._make_or_wait()

    def _make_or_wait(self) -> Frame:
        with self._changed:
            self._waiting += 1
            try:
                while not self._idle and not self._closed:
                    if self._count < self._limit:
                        self.add()
                    else:
                        self._changed.wait()
                if self._closed:
                    raise EngineError("the session is closed", hint="load the bundle again")
                return self._idle.pop()
            finally:
                self._waiting -= 1

    def give(self, frame: Frame) -> None:
        """Take a frame back."""
        self._idle.append(frame)
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def close(self) -> None:
        """Wait until all frames are idle, and close them."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._waiting += 1
            while self._count:
                while self._idle:
                    self._idle.pop().close()
                    self._count -= 1
                if self._count:
                    self._changed.wait()
        self._blocks.close()


def _peculiar(plan: Plan, placement: Placement) -> dict[int, Peculiar]:
    """Return by step what its TensorRT plan does otherwise than others."""
    plans = {name: lease.plan for name, lease in placement.leases.items()}
    names = {number: step.segment.name for number, step in enumerate(plan.steps)}
    return {
        number: Peculiar(plans[name].on_host, plans[name].variable)
        for number, name in names.items()
        if name in plans
    }


def _close(device: Device, frames: _Frames, prepared: Prepared) -> None:
    if device.lost:
        _abandoned.append((frames, prepared))
        return
    with device:
        frames.close()
        prepared.close()
