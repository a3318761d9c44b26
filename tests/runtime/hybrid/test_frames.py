# SPDX-License-Identifier: Apache-2.0
"""Random graphs over random lanes on the fake GPU, in random orders, against plain evaluation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_trt_runtime.device_arrays import Blocks
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.hybrid.frame import KEPT_SHAPES, Frame
from edge_trt_runtime.hybrid.prepared import Prepared, prepare
from edge_trt_runtime.hybrid.schedule import HOST, orders
from edge_trt_runtime.hybrid.turns import Turns
from edge_trt_runtime.manifest import Manifest, Range, Segment, Signature, TensorSpec
from edge_trt_runtime.plan import Plan, make_plan
from tests.support.fake_cuda import FakeDevice, FakeExecutor

LANES = ["gpu", "gpu", "dla:0", HOST]
APART_FROM = "edge_trt_runtime.hybrid.prepared.APART_FROM"
Function = Callable[[list[np.ndarray]], list[np.ndarray]]


def mixing(number: int, count: int) -> Function:
    """A function whose every output depends on every input and on the step."""

    def function(inputs: list[np.ndarray]) -> list[np.ndarray]:
        total = sum((i + 1) * array for i, array in enumerate(inputs)) + number
        return [(total * (k + 1) % 9973).astype(np.int64) for k in range(count)]

    return function


class Case:
    """A random graph with its lanes."""

    def __init__(self, seed: int, *, host_only: bool = False) -> None:
        draw = random.Random(seed)
        self.dim = Range(1, 4, 8)
        values = [f"x{i}" for i in range(draw.randint(1, 3))]
        inputs = [self.spec(name) for name in values]
        self.functions: list[Function] = []
        segments: list[Segment] = []
        self.lanes: list[str] = []
        for number in range(draw.randint(1, 9)):
            ins = [draw.choice(values[-6:]) for _ in range(draw.randint(1, 3))]
            outs = [f"v{number}_{k}" for k in range(draw.randint(1, 3))]
            values += outs
            self.functions.append(mixing(number, len(outs)))
            self.lanes.append(HOST if host_only else draw.choice(LANES))
            segments.append(
                Segment(
                    name=f"s{number}",
                    kind="network",
                    device="gpu",
                    inputs=ins,
                    outputs=outs,
                    tensors=[self.spec(name) for name in dict.fromkeys([*ins, *outs])],
                )
            )
        chosen = [draw.choice(values) for _ in range(draw.randint(1, 4))]
        self.results = {f"y{i}": name for i, name in enumerate(chosen)}
        signature = Signature(
            inputs=inputs,
            outputs=[self.spec(name) for name in self.results],
            dims={"n": self.dim},
        )
        self.manifest = Manifest(
            producer="test",
            precision="fp32",
            targets=[],
            signature=signature,
            segments=segments,
            results=self.results,
        )

    @staticmethod
    def spec(name: str) -> TensorSpec:
        return TensorSpec(name, "int64", [50, "n"])

    def expected(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        values = dict(zip([s.name for s in self.manifest.signature.inputs], inputs, strict=True))
        for segment, function in zip(self.manifest.segments, self.functions, strict=True):
            outputs = function([values[name] for name in segment.inputs])
            values.update(zip(segment.outputs, outputs, strict=True))
        return [values[name] for name in self.results.values()]


class HostExecutor:
    def __init__(self, function: Function, wanted: list[int]) -> None:
        self.function, self.wanted = function, wanted

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        outputs = self.function(inputs)
        return [outputs[i] for i in self.wanted]


def on_device(case: Case, device: FakeDevice, frames: int = 1) -> Prepared:
    """The case, prepared, with executors of its functions; steps that nothing reads are dropped."""
    plan: Plan = make_plan(case.manifest)
    number_of = {segment.name: i for i, segment in enumerate(case.manifest.segments)}
    numbers = [number_of[step.segment.name] for step in plan.steps]
    lanes = [case.lanes[n] for n in numbers]
    prepared = prepare(case.manifest, plan, lanes, integrated=device.integrated, frames=frames)
    capturable: set[int] = set()
    for i, (step, n, lane) in enumerate(zip(plan.steps, numbers, lanes, strict=True)):
        wanted = [step.segment.outputs.index(name) for name in step.wanted]
        host = HostExecutor(case.functions[n], wanted)
        if lane == HOST:
            prepared.host_executors[i] = host
        else:
            prepared.device_executors[i] = FakeExecutor(device, host.run)
            if lane == "gpu":
                capturable.add(i)
    prepared.capturable = frozenset(capturable)
    return prepared


def inputs_of(case: Case, n: int, seed: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 9973, (50, n)) for _ in case.manifest.signature.inputs]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9), integrated=st.booleans(), apart=st.booleans())
def test_any_order_that_cuda_allows_gives_the_same(
    seed: int, integrated: bool, apart: bool
) -> None:
    case = Case(seed)
    device = FakeDevice(seed, integrated=integrated)
    with device, patch(APART_FROM, 0 if apart else 1 << 30):
        prepared = on_device(case, device, frames=2)
        frame = Frame(device, prepared, Blocks(device))  # type: ignore[arg-type]
        for run, n in enumerate([4, 4, 4, 7, 4, 7, 7]):
            inputs = inputs_of(case, n, run)
            results = frame.run(inputs)
            for got, expected in zip(results, case.expected(inputs), strict=True):
                np.testing.assert_array_equal(got, expected)
            for array in results:  # they belong to the caller
                array[...] = -1
        frame.close()
        prepared.close()
    assert not device.allocations
    assert device.graphs == 0
    assert all(e.closed for e in [*prepared.device_executors.values()])  # type: ignore[attr-defined]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_values_that_may_live_at_once_do_not_overlap(seed: int) -> None:
    case = Case(seed)
    device = FakeDevice(seed)
    with device:
        prepared = on_device(case, device)
    before = orders(prepared.schedule.ops)
    for layout, uses in (
        (prepared.device_layout, prepared.schedule.device_uses),
        (prepared.pinned_layout, prepared.schedule.pinned_uses),
    ):
        for one, offset in layout.offsets.items():
            end = offset + prepared.sizes[one]
            assert end <= layout.size
            for other, start in layout.offsets.items():
                stop = start + prepared.sizes[other]
                if one < other and offset < stop and start < end:
                    apart = [
                        all(before[uses[b][0]] >> use & 1 for use in uses[a])
                        for a, b in ((one, other), (other, one))
                    ]
                    assert any(apart)


def chain(lanes: list[str]) -> Case:
    """Steps one after the other, each on its lane, from x0 to the last."""
    case = Case(0)
    names = ["x0", *(f"v{i}" for i in range(len(lanes)))]
    segments = [
        Segment(
            name=f"s{i}",
            kind="network",
            device="gpu",
            inputs=[names[i]],
            outputs=[names[i + 1]],
            tensors=[case.spec(names[i]), case.spec(names[i + 1])],
        )
        for i in range(len(lanes))
    ]
    case.lanes = lanes
    case.functions = [mixing(i, 1) for i in range(len(lanes))]
    case.results = {"y": names[-1]}
    case.manifest = Manifest(
        producer="test",
        precision="fp32",
        targets=[],
        signature=Signature(
            inputs=[case.spec("x0")], outputs=[case.spec("y")], dims={"n": case.dim}
        ),
        segments=segments,
        results=case.results,
    )
    return case


def frame_of(case: Case, device: FakeDevice, frames: int = 1) -> tuple[Frame, Prepared]:
    prepared = on_device(case, device, frames)
    return Frame(device, prepared, Blocks(device)), prepared  # type: ignore[arg-type]


STEADY: dict[str, tuple[list[str], dict[str, int]]] = {
    "one segment is one launch": (["gpu"], {"launch": 1, "drain": 1}),
    "so are twenty": (["gpu"] * 20, {"launch": 1, "drain": 1}),
    "the host between two waits once in the middle": (
        ["gpu", HOST, "gpu"],
        {"launch": 2, "drain": 2},
    ),
    "DLA is not captured, and waits by an event": (
        ["gpu", "dla:0", "gpu"],
        {"launch": 2, "record": 2, "wait": 2, "enqueue": 1, "queue": 1, "drain": 1},
    ),
}


@pytest.mark.parametrize("name", STEADY)
def test_a_steady_run_makes_these_calls_and_no_others(name: str) -> None:
    lanes, calls = STEADY[name]
    with FakeDevice() as device:
        case = chain(lanes)
        frame, _ = frame_of(case, device)
        for run in range(2):
            frame.run(inputs_of(case, 4, run))
        device.counts.clear()
        for run in range(10):
            frame.run(inputs_of(case, 4, run))
    assert device.counts == {kind: 10 * count for kind, count in calls.items()}


def test_large_values_are_copied_on_streams_of_their_own() -> None:
    with FakeDevice() as device, patch(APART_FROM, 50 * 8 * 8):
        case = chain(["gpu", "gpu"])
        frame, prepared = frame_of(case, device, frames=2)
        assert [(op.kind, op.lane) for op in prepared.schedule.ops] == [
            ("stage", HOST), ("upload", "copy-in"), ("segment", "gpu"), ("segment", "gpu"),
            ("download", "copy-out"), ("finish", HOST),
        ]  # fmt: skip
        for run in range(3):
            frame.run(inputs_of(case, 4, run))
        device.counts.clear()
        frame.run(inputs_of(case, 4, 3))
        assert device.counts == {
            "upload": 1, "launch": 1, "download": 1, "queue": 2,
            "record": 3, "wait": 2, "drain": 1,
        }  # fmt: skip
        alone = on_device(case, device, frames=1)
    assert not alone.apart
    assert {op.lane for op in alone.schedule.ops} == {HOST, "gpu"}


@pytest.mark.parametrize("seed", range(20))
def test_frames_compute_in_the_order_in_which_they_were_launched(seed: int) -> None:
    order: list[int] = []
    with FakeDevice(seed) as device:
        turns, streams = Turns(), [device.stream() for _ in range(3)]

        def launch(frame: int) -> Callable[[], None]:
            def work() -> None:
                streams[frame].queue(lambda: order.append(frame))

            return turns.in_turn(work, device, streams[frame], device.event())  # type: ignore[arg-type]

        calls = [launch(frame) for frame in range(3)]
        expected = [random.Random(seed + i).randrange(3) for i in range(12)]
        for frame in expected:
            calls[frame]()
        for stream in streams:
            stream.synchronize()
    assert order == expected


def test_a_launch_that_fails_does_not_hold_up_the_next() -> None:
    with FakeDevice() as device:
        turns, stream = Turns(), device.stream()

        def fail() -> None:
            raise EngineError("injected")

        with pytest.raises(EngineError, match="injected"):
            turns.in_turn(fail, device, stream, device.event())()  # type: ignore[arg-type]
        done: list[int] = []
        turns.in_turn(lambda: done.append(1), device, stream, device.event())()  # type: ignore[arg-type]
    assert done


SHORT: dict[str, tuple[list[str], bool]] = {
    "devices alone": (["gpu", "dla:0", "gpu"], True),
    "the host between devices": (["gpu", HOST, "gpu"], True),
    "the host reads inputs": ([HOST, "gpu"], False),
    "the host makes results": (["gpu", HOST], False),
    "one segment of the host makes what another one reads": (["gpu", HOST, HOST, "gpu"], False),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_steady_run_takes_the_short_way_where_the_host_needs_no_values(name: str) -> None:
    lanes, short = SHORT[name]
    with FakeDevice() as device:
        case = chain(lanes)
        frame, _ = frame_of(case, device)
        for run in range(5):
            inputs = inputs_of(case, 4, run)
            np.testing.assert_array_equal(frame.run(inputs)[0], case.expected(inputs)[0])
        (recipe,) = frame._recipes.values()  # pyright: ignore[reportPrivateUsage]
        assert (recipe.copies is not None) == short
        target = np.empty((50, 4), np.int64)
        assert frame.run(inputs, [target])[0] is target
        np.testing.assert_array_equal(target, case.expected(inputs)[0])


def test_a_capture_that_fails_is_done_without_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(kind: str) -> None:
        if kind == "capture":
            raise EngineError("not today")

    with FakeDevice() as device:
        case = chain(["gpu", HOST, "gpu"])
        frame, _ = frame_of(case, device)
        device.fails = fail
        for run in range(4):
            inputs = inputs_of(case, 4, run)
            np.testing.assert_array_equal(frame.run(inputs)[0], case.expected(inputs)[0])
    assert [record.getMessage() for record in caplog.records] == [
        "runs go on without CUDA graphs, as one could not be captured: not today"
    ]


@pytest.mark.parametrize("kind", ["upload", "enqueue", "download", "record", "wait"])
@pytest.mark.parametrize("run", [0, 1, 2])
def test_a_run_after_one_that_failed_is_right(kind: str, run: int) -> None:
    with FakeDevice() as device:
        case = chain(["gpu", "dla:0", HOST, "gpu"])
        frame, prepared = frame_of(case, device)
        prepared.use_graphs = False  # so that every run makes every call
        for number in range(4):
            inputs = inputs_of(case, 4, number)
            if number == run:
                device.fails = failing(kind)
                with pytest.raises(EngineError, match="injected"):
                    frame.run(inputs)
                device.fails = lambda kind: None
            np.testing.assert_array_equal(frame.run(inputs)[0], case.expected(inputs)[0])
        frame.close()
    assert not device.allocations


def failing(what: str) -> Callable[[str], None]:
    def fail(kind: str) -> None:
        if kind == what:
            raise EngineError("injected")

    return fail


def test_lists_of_calls_are_kept_for_a_few_shapes() -> None:
    with FakeDevice() as device:
        case = chain(["gpu"])
        case.dim = Range(1, 4, KEPT_SHAPES + 3)
        case.manifest = chain_with(case.manifest, case.dim)
        frame, prepared = frame_of(case, device)
        executor: Any = prepared.device_executors[0]
        for n in [*range(1, KEPT_SHAPES + 4), 1, 1]:
            inputs = inputs_of(case, n, n)
            np.testing.assert_array_equal(frame.run(inputs)[0], case.expected(inputs)[0])
        assert executor.calls == KEPT_SHAPES


def chain_with(manifest: Manifest, dim: Range) -> Manifest:
    from msgspec.structs import replace

    return replace(manifest, signature=replace(manifest.signature, dims={"n": dim}))
