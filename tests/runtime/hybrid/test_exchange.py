# SPDX-License-Identifier: Apache-2.0
"""Arrays of other libraries on the fake GPU: random graphs, orders, inputs and results."""

from __future__ import annotations

import gc
import random
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_trt_runtime.device_arrays import IDLE_BLOCKS, Blocks, DeviceArray
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.foreign import open_foreign
from edge_trt_runtime.hybrid.exchange import KEPT_ADDRESSES
from edge_trt_runtime.hybrid.frame import Frame
from edge_trt_runtime.inputs import Checked
from edge_trt_runtime.results import STAY
from tests.runtime.hybrid.test_frames import APART_FROM, Case, chain, inputs_of, on_device
from tests.support.fake_cuda import FakeDevice
from tests.support.foreign_arrays import Foreign, WithDlpack, WithInterface


class Caller:
    """Gives some inputs on the GPU, at few addresses, and wants some results there."""

    def __init__(self, device: FakeDevice, seed: int) -> None:
        self.device, self.draw = device, random.Random(seed)
        self.buffers: dict[tuple[int, int], list[Foreign]] = {}

    def lend(self, slot: int, value: np.ndarray) -> Any:
        if self.draw.random() < 0.4:
            return value
        known = self.buffers.setdefault((slot, value.shape[1]), [])
        if len(known) < 3 and self.draw.random() < 0.5:
            kind = self.draw.choice([WithDlpack, WithInterface])
            known.append(kind(self.device, value, offset=self.draw.choice([0, 0, 64])))
            buffer = known[-1]
        elif known:
            buffer = self.draw.choice(known)
            buffer.make(value)
        else:
            return value
        return open_foreign(buffer, "input", self.device)  # type: ignore[arg-type]

    def target(self, value: np.ndarray) -> Any:
        choice = self.draw.random()
        if choice < 0.3:
            return None
        if choice < 0.6:
            return STAY
        if choice < 0.7:
            return np.empty_like(value)
        return open_foreign(WithDlpack(self.device, value * 0), "out", self.device)  # type: ignore[arg-type]


def value_of(array: Any) -> np.ndarray:
    if isinstance(array, Foreign):
        return array.now()
    return array.numpy() if isinstance(array, DeviceArray) else array


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**9), integrated=st.booleans(), apart=st.booleans())
def test_any_order_with_arrays_on_the_gpu_gives_the_same(
    seed: int, integrated: bool, apart: bool
) -> None:
    case = Case(seed)
    device = FakeDevice(seed, integrated=integrated)
    caller = Caller(device, seed)
    with device, patch(APART_FROM, 0 if apart else 1 << 30):
        prepared = on_device(case, device, frames=2)
        if not prepared.device_executors:
            return  # that is a session of the CPU
        blocks = Blocks(device)  # type: ignore[arg-type]
        frame = Frame(device, prepared, blocks)  # type: ignore[arg-type]
        kept: list[tuple[Any, np.ndarray]] = []
        for run, n in enumerate([4, 4, 7, 4, 4, 7, 4, 4, 4]):
            inputs = inputs_of(case, n, run)
            lent = Checked(caller.lend(slot, value) for slot, value in enumerate(inputs))
            expected = case.expected(inputs)
            targets = [caller.target(value) for value in expected]
            kept += zip(frame.run(lent, targets), expected, strict=True)
            for got, right in kept[-8:]:  # earlier ones are still what they were
                np.testing.assert_array_equal(value_of(got), right)
        frame.close()
        blocks.close()
        prepared.close()
    theirs = [buffer for buffers in caller.buffers.values() for buffer in buffers]
    for buffer in [*theirs, *(got for got, _ in kept if isinstance(got, Foreign))]:
        buffer.free()
    del kept, got
    gc.collect()
    assert not device.allocations
    assert device.graphs == 0


def steady(runs: int, buffers: list[Any], device: FakeDevice, frame: Frame, **more: Any) -> None:
    for run in range(runs):
        buffer = buffers[run % len(buffers)]
        frame.run(Checked([open_foreign(buffer, "x", device)]), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("buffers", "offset", "calls"),
    [
        (1, 0, {"launch": 10}),  # read where it lies
        (KEPT_ADDRESSES, 0, {"launch": 10}),
        (KEPT_ADDRESSES + 5, 0, {"launch": 10, "copy": 5}),  # those that came first are bound
        (1, 64, {"launch": 10, "copy": 10}),  # TensorRT wants 256 bytes
    ],
)
def test_an_address_that_comes_again_is_read_where_it_lies(
    buffers: int, offset: int, calls: dict[str, int]
) -> None:
    case = chain(["gpu", "gpu"])
    value = inputs_of(case, 4, 0)[0]
    with FakeDevice() as device:
        prepared = on_device(case, device)
        frame = Frame(device, prepared, Blocks(device))  # type: ignore[arg-type]
        arrays = [WithInterface(device, value, offset=offset) for _ in range(buffers)]
        steady(4 * buffers, arrays, device, frame)
        bound = prepared.device_executors[0].calls  # type: ignore[attr-defined]
        device.counts.clear()
        steady(10, arrays, device, frame)
        assert prepared.device_executors[0].calls == bound  # type: ignore[attr-defined]
        counts = device.counts
        assert "upload" not in counts
        assert "allocate" not in counts
        assert {kind: counts.get(kind, 0) for kind in ("launch", "copy")} == {"copy": 0, **calls}
        for run in range(5):
            arrays[0].make(value + run)
            got = frame.run(Checked([open_foreign(arrays[0], "x", device)]))  # type: ignore[arg-type]
            np.testing.assert_array_equal(got[0], case.expected([value + run])[0])


def test_new_addresses_take_the_place_of_those_that_come_no_more() -> None:
    """A camera is opened again, three times, and has other buffers than before."""
    case = chain(["gpu", "gpu"])
    value = inputs_of(case, 4, 0)[0]
    with FakeDevice() as device:
        prepared = on_device(case, device)
        frame = Frame(device, prepared, Blocks(device))  # type: ignore[arg-type]
        for opened in range(3):
            value = value + opened
            ring = [WithInterface(device, value) for _ in range(KEPT_ADDRESSES)]
            steady(8 * len(ring), ring, device, frame)
            device.counts.clear()
            steady(10, ring, device, frame)
            counts = device.counts
            assert {kind: counts.get(kind, 0) for kind in ("launch", "copy")} == {
                "copy": 0, "launch": 10,
            }  # fmt: skip
            (got,) = frame.run(Checked([open_foreign(ring[0], "x", device)]))  # type: ignore[arg-type]
            np.testing.assert_array_equal(got, case.expected([value])[0])


def test_nothing_is_collected_while_a_graph_is_captured() -> None:
    case = chain(["gpu", "gpu"])
    collecting: list[bool] = []
    with FakeDevice() as device:

        def look(kind: str) -> None:
            if kind == "enqueue" and any(s.captured is not None for s in device.streams):
                collecting.append(gc.isenabled())

        device.fails = look
        frame = Frame(device, on_device(case, device), Blocks(device))  # type: ignore[arg-type]
        for run in range(3):
            frame.run(inputs_of(case, 4, run))
    assert collecting == [False, False]
    assert gc.isenabled()


def test_results_that_are_let_go_of_cost_no_allocation() -> None:
    case = chain(["gpu", "gpu"])
    inputs = inputs_of(case, 4, 0)
    with FakeDevice() as device:
        blocks = Blocks(device)  # type: ignore[arg-type]
        frame = Frame(device, on_device(case, device), blocks)  # type: ignore[arg-type]
        for _ in range(3):
            frame.run(inputs, [STAY])
        device.counts.clear()
        for _ in range(10):
            (result,) = frame.run(inputs, [STAY])
        del result
        assert device.counts.get("allocate", 0) <= 1  # the last one is held while the next is made
        assert "download" not in device.counts
        many = [frame.run(inputs, [STAY])[0] for _ in range(IDLE_BLOCKS + 9)]
        held = len(device.allocations)
        del many
        frame.run(inputs, [STAY])
        assert len(device.allocations) <= held - 8  # idle memory is kept for a few
        (last,) = frame.run(inputs, [STAY])
        frame.close()
        blocks.close()
        assert len(device.allocations) == 1
    np.testing.assert_array_equal(last.numpy(), case.expected(inputs)[0])
    del last
    assert not device.allocations


def test_idle_memory_is_given_back_where_memory_is_short() -> None:
    with FakeDevice() as device:
        blocks, stream = Blocks(device), device.stream()  # type: ignore[arg-type]

        def fail(kind: str) -> None:
            if kind == "allocate" and len(device.allocations) > 1:  # the new one counts
                device.allocations.popitem()
                raise EngineError("no memory")

        device.fails = fail
        take = partial(blocks.take, dtype=np.dtype(np.uint8), stream=stream)
        for size in (100, 1000, 10):
            array = take((size,))
            del array
        held = take((10,))
        with pytest.raises(EngineError, match="no memory"):
            take((1000,))
        blocks.close()
        assert len(device.allocations) == 1
    del held
    assert not device.allocations


@pytest.mark.parametrize("offset", [0, 64])
@pytest.mark.parametrize("integrated", [False, True])
def test_every_lane_waits_for_who_makes_an_input(integrated: bool, offset: int) -> None:
    """Each of two lanes reads an input of its own; streams of the owners may be late."""
    case = side_by_side(["gpu", "dla:0"])
    for seed in range(40):
        with FakeDevice(seed, integrated=integrated) as device:
            frame = Frame(device, on_device(case, device), Blocks(device))  # type: ignore[arg-type]
            inputs = inputs_of(case, 4, 0)
            arrays = [WithInterface(device, value, offset=offset) for value in inputs]
            for run in range(4):
                inputs = inputs_of(case, 4, run)
                for array, value in zip(arrays, inputs, strict=True):
                    array.make(value)
                lent = [open_foreign(array, "x", device) for array in arrays]  # type: ignore[arg-type]
                results = frame.run(Checked(lent))
                for got, right in zip(results, case.expected(inputs), strict=True):
                    np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize("apart", [False, True])
def test_a_result_over_an_input_is_written_when_nobody_reads_that(apart: bool) -> None:
    """The first lane's result goes to where the second one's input lies, as states do."""
    case = side_by_side(["gpu", "dla:0"])
    for seed in range(30):
        with FakeDevice(seed) as device, patch(APART_FROM, 0 if apart else 1 << 30):
            prepared = on_device(case, device, frames=2)
            frame = Frame(device, prepared, Blocks(device))  # type: ignore[arg-type]
            inputs = inputs_of(case, 4, 0)
            x, state = (WithInterface(device, value) for value in inputs)
            for run in range(4):
                inputs = inputs_of(case, 4, run)
                x.make(inputs[0])
                state.make(inputs[1])
                lent = [open_foreign(array, "x", device) for array in (x, state)]  # type: ignore[arg-type]
                _, other = frame.run(Checked(lent), [open_foreign(state, "out", device), None])  # type: ignore[arg-type]
                first, second = case.expected(inputs)
                np.testing.assert_array_equal(state.now(), first)
                np.testing.assert_array_equal(other, second)


def side_by_side(lanes: list[str]) -> Case:
    """A step on each lane, with an input and a result of its own."""
    case = chain(lanes)
    manifest = case.manifest
    segments = [
        replace(s, inputs=[f"x{i}"], tensors=[case.spec(f"x{i}"), case.spec(f"v{i}")])
        for i, s in enumerate(manifest.segments)
    ]
    case.results = {f"y{i}": f"v{i}" for i in range(len(lanes))}
    signature = replace(
        manifest.signature,
        inputs=[case.spec(f"x{i}") for i in range(len(lanes))],
        outputs=[case.spec(name) for name in case.results],
    )
    case.manifest = replace(manifest, segments=segments, results=case.results, signature=signature)
    return case


@pytest.mark.parametrize("lanes", [["gpu"], ["gpu", "host"]])
def test_a_result_waits_for_who_reads_what_was_there(lanes: list[str]) -> None:
    """A consumer lets go of a result while its stream still reads it."""
    case = chain(lanes)
    for seed in range(30):
        with FakeDevice(seed) as device:
            frame = Frame(device, on_device(case, device), Blocks(device))  # type: ignore[arg-type]
            inputs = inputs_of(case, 4, 0)
            (result,) = frame.run(inputs, [STAY])
            reader = WithInterface(device, np.zeros_like(inputs[0]))
            device.copy(reader.pointer, result.pointer, result.nbytes, reader.stream)
            del result
            frame.run(inputs_of(case, 4, 1), [STAY])
            reader.stream.synchronize()
            np.testing.assert_array_equal(reader.now(), case.expected(inputs)[0])
