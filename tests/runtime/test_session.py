# SPDX-License-Identifier: Apache-2.0
"""Sessions: what goes in, what comes out, in which order, and who owns it."""

from __future__ import annotations

import gc
import os
import threading
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError, InputError, Range
from edge_trt_runtime.executors.onnx import OnnxExecutor
from edge_trt_runtime.manifest import Engine
from tests.support.bundles import Draft, node, relu_draft, spec


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    return relu_draft().write(tmp_path / "relu.edge")


def chain(length: int, shape: list[int | str]) -> Draft:
    """``x -> Add(x, x) -> ...``, every step a segment of its own."""
    values = [f"s{i}.0" for i in range(length)]
    draft = Draft(
        inputs=[spec("x", shape)],
        outputs=[spec("output", shape)],
        results={"output": values[-1]},
        values=[spec(value, shape) for value in values],
    )
    for i, value in enumerate(values):
        source = values[i - 1] if i else "x"
        draft.network(f"s{i}", [source], [value], [node("Add", f"{source} {source}", value)])
    return draft


def test_runs_a_bundle(relu: Path) -> None:
    x = np.array([[-1, 0, 2, -3]], np.float32)
    with edge_trt_runtime.load(relu) as session:
        assert session.signature.inputs[0].name == "x"
        assert [segment.name for segment in session.segments] == ["main"]
        assert session.manifest.producer == "edge-trt 0.1.0"
        outputs = session.run({"x": x})
    assert list(outputs) == ["output"]
    np.testing.assert_array_equal(outputs["output"], [[0, 0, 2, 0]])


def test_outputs_are_fresh_and_outlive_the_session(relu: Path) -> None:
    x = np.ones((1, 4), np.float32)
    session = edge_trt_runtime.load(relu)
    first = session.run({"x": x})["output"]
    first[:] = 7
    second = session.run({"x": x})["output"]
    session.close()
    del session
    gc.collect()
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, np.full((1, 4), 7))
    np.testing.assert_array_equal(second, x)


@pytest.mark.parametrize("layout", ["transposed", "reversed", "read-only", "unaligned", "subclass"])
def test_any_memory_layout_is_accepted(relu: Path, layout: str) -> None:
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    if layout == "transposed":
        given = np.asfortranarray(np.repeat(x, 2, axis=0))[::2]
    elif layout == "reversed":
        given = np.ascontiguousarray(x[:, ::-1])[:, ::-1]
    elif layout == "read-only":
        given = x.copy()
        given.flags.writeable = False
    elif layout == "unaligned":
        given = np.frombuffer(b"\0" + x.tobytes(), np.float32, offset=1).reshape(1, 4)
    else:
        given = x.view(np.recarray)
    before = given.copy()
    with edge_trt_runtime.load(relu) as session:
        output = session.run({"x": given})["output"]
    assert type(output) is np.ndarray
    np.testing.assert_array_equal(output, x)
    np.testing.assert_array_equal(given, before)


def test_an_input_can_be_an_output_and_a_value_can_be_two(tmp_path: Path) -> None:
    draft = relu_draft()
    draft.outputs = [spec(name, [1, 4]) for name in ("a", "b", "same", "again")]
    draft.results = {"a": "main.0", "b": "main.0", "same": "x", "again": "x"}
    x = np.array([[-1, 0, 2, -3]], np.float32)
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        outputs = session.run({"x": x})
    assert list(outputs) == ["a", "b", "same", "again"]
    np.testing.assert_array_equal(outputs["same"], x)
    arrays = [x, *outputs.values()]
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[:i])
    outputs["a"][:] = 5
    np.testing.assert_array_equal(outputs["b"], [[0, 0, 2, 0]])


def test_a_bundle_without_segments_passes_its_input_through(tmp_path: Path) -> None:
    draft = Draft([spec("x", [2])], [spec("output", [2])], {"output": "x"})
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        x = np.ones(2, np.float32)
        assert not np.shares_memory(session.run({"x": x})["output"], x)


def test_segments_run_in_order_with_values_shared_by_several(tmp_path: Path) -> None:
    shape: list[int | str] = [3]
    draft = Draft(
        inputs=[spec("x", shape), spec("y", shape)],
        outputs=[spec("out", shape), spec("early", shape)],
        results={"out": "c.0", "early": "a.0"},
        values=[spec(name, shape) for name in ("a.0", "a.1", "b.0", "c.0")],
    )
    draft.network("a", ["x"], ["a.0", "a.1"], [node("Relu", "x", "a.0"), node("Neg", "x", "a.1")])
    draft.network("b", ["a.0", "y"], ["b.0"], [node("Sub", "a.0 y", "b.0")])
    draft.network(
        "c", ["y", "b.0", "x"], ["c.0"], [node("Mul", "b.0 x", "t"), node("Add", "t y", "c.0")]
    )
    x, y = np.array([-1, 2, 3], np.float32), np.array([5, 6, 7], np.float32)
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        outputs = session.run({"y": y, "x": x})
    np.testing.assert_array_equal(outputs["out"], (np.maximum(x, 0) - y) * x + y)
    np.testing.assert_array_equal(outputs["early"], np.maximum(x, 0))


def test_dead_intermediates_are_dropped_during_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = []
    run = OnnxExecutor.run

    def watch(self: OnnxExecutor, inputs: list[np.ndarray]) -> list[np.ndarray]:
        outputs = run(self, inputs)
        alive.extend(weakref.ref(output) for output in outputs)
        most.append(sum(ref() is not None for ref in alive))
        return outputs

    monkeypatch.setattr(OnnxExecutor, "run", watch)
    with edge_trt_runtime.load(chain(6, [8]).write(tmp_path / "m.edge")) as session:
        output = session.run({"x": np.ones(8, np.float32)})["output"]
    np.testing.assert_array_equal(output, np.full(8, 64))
    assert len(most) == 6
    assert max(most) <= 3  # a step's input and output, and the previous step's last reference


@pytest.mark.parametrize("size", [1, 3, 8])
def test_dynamic_sizes(tmp_path: Path, size: int) -> None:
    draft = relu_draft(["n", 4], {"n": Range(1, 4, 8)})
    x = np.random.default_rng(size).standard_normal((size, 4)).astype(np.float32)
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))
        with pytest.raises(InputError, match=r"size 9 in dimension 0, which must be 1\.\.8"):
            session.run({"x": np.zeros((9, 4), np.float32)})


def test_output_shapes_are_never_evaluated(tmp_path: Path) -> None:
    draft = relu_draft()
    draft.outputs = [spec("output", ["__import__('os').abort()", "?"])]
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].shape == (1, 4)


def test_many_threads_share_a_session(tmp_path: Path) -> None:
    path = chain(3, ["n", 16]).write(tmp_path / "m.edge")
    wrong: list[object] = []

    def work(session: edge_trt_runtime.Session, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(50):
                x = rng.standard_normal((int(rng.integers(1, 9)), 16)).astype(np.float32)
                if not np.array_equal(session.run({"x": x})["output"], x * 8):
                    wrong.append(seed)
        except Exception as error:  # it would be lost in a thread
            wrong.append(error)

    with edge_trt_runtime.load(path, threads=1) as session:
        threads = [threading.Thread(target=work, args=(session, seed)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_closing_lets_a_run_in_flight_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, closed = threading.Event(), threading.Event()
    run = OnnxExecutor.run

    def slow(self: OnnxExecutor, inputs: list[np.ndarray]) -> list[np.ndarray]:
        entered.set()
        assert closed.wait(10)
        return run(self, inputs)

    monkeypatch.setattr(OnnxExecutor, "run", slow)
    session = edge_trt_runtime.load(chain(3, [2]).write(tmp_path / "m.edge"))
    outputs: list[np.ndarray] = []
    thread = threading.Thread(
        target=lambda: outputs.append(session.run({"x": np.ones(2, np.float32)})["output"])
    )
    thread.start()
    assert entered.wait(10)
    session.close()
    closed.set()
    thread.join(10)
    np.testing.assert_array_equal(outputs, [[8, 8]])


def test_a_closed_session_says_so(relu: Path) -> None:
    session = edge_trt_runtime.load(relu)
    session.close()
    session.close()
    with pytest.raises(EngineError, match="is closed: load the bundle again"):
        session.run({"x": np.ones((1, 4), np.float32)})
    assert session.signature.inputs[0].name == "x"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:x"}, "unknown device 'cuda:x'"),
        ({"device": "dla:0"}, "device 'dla:0' can't be loaded on its own"),
        ({"frames": 0}, "frames is 0: give 1 or more"),
        ({"device": "cqu"}, "unknown device 'cqu': did you mean 'cpu'"),
        ({"threads": 0}, "threads is 0: give 1 or more"),
        ({"threads": 1.5}, r"threads is 1\.5: give 1 or more, or None"),
        ({"frames": "2"}, "frames is '2': give 1 or more"),
        *(
            ({"watchdog": seconds}, rf"watchdog is {seconds!r}: give seconds above 0, or None")
            for seconds in (0, -1.0, float("inf"), float("nan"), "2")
        ),
    ],
)
def test_bad_options(relu: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(EngineError, match=message.replace("(", r"\(")):
        edge_trt_runtime.load(relu, **options)  # type: ignore[arg-type]


def test_only_engines_for_something_else(tmp_path: Path) -> None:
    draft = relu_draft()
    draft.files = {"engines/abc/main.plan": b"plan"}
    draft.engines = [
        Engine(
            segment="main",
            target="rtx",
            flavour="tensorrt_rtx",
            fingerprint="abc",
            path="engines/abc/main.plan",
        )
    ]
    with pytest.raises(EngineError) as caught:
        edge_trt_runtime.load(draft.write(tmp_path / "m.edge"))
    assert "has engines for rtx only" in str(caught.value)
    remedy = "build it also with --target cpu, or run it on the GPU that they are for"
    assert str(caught.value).endswith(remedy)
    assert caught.value.segment == "main"


def test_no_engine_yet(tmp_path: Path) -> None:
    draft = relu_draft()
    draft.files, draft.engines = {}, []
    with pytest.raises(EngineError, match="has no engine yet: finish it with `edge_trt build"):
        edge_trt_runtime.load(draft.write(tmp_path / "m.edge"))


def test_a_value_that_numpy_lacks(tmp_path: Path) -> None:
    draft = relu_draft()
    draft.inputs = [spec("x", [1, 4], "bfloat16")]
    with pytest.raises(EngineError, match="value 'x' of the signature is bfloat16, which numpy"):
        edge_trt_runtime.load(draft.write(tmp_path / "m.edge"))


def test_a_segment_that_nothing_reads_is_not_loaded(tmp_path: Path) -> None:
    draft = relu_draft()
    draft.values.append(spec("idle.0", [1, 4]))
    draft.network("idle", ["main.0"], ["idle.0"], [node("NoSuchOperator", "main.0", "idle.0")])
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4


def test_submitted_runs_give_what_run_gives(relu: Path) -> None:
    with edge_trt_runtime.load(relu, frames=3) as session:
        cases = [{"x": np.full((1, 4), n, np.float32)} for n in range(-5, 5)]
        futures = [session.submit(case) for case in cases]
        for case, future in zip(cases, futures, strict=True):
            np.testing.assert_array_equal(future.result(10)["output"], np.maximum(case["x"], 0))
        with pytest.raises(InputError, match="'y'"):
            session.submit({"y": cases[0]["x"]}).result(10)
    with pytest.raises(EngineError, match="is closed"):
        session.submit(cases[0])


@pytest.mark.parametrize("watchdog", [None, 5.0])
def test_a_forked_child_has_threads_of_its_own(relu: Path, watchdog: float | None) -> None:
    x = {"x": np.ones((1, 4), np.float32)}
    session = edge_trt_runtime.load(relu, threads=1, watchdog=watchdog)
    session.submit(x).result(10)
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python, that other threads are there
        child = os.fork()
    if not child:
        try:
            for _ in range(2):
                session.submit(x).result(2)
            session.run(x)
            session.close()
            os.write(write, b"well")
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"well"
    os.close(read)
    os.waitpid(child, 0)
    assert session.run(x)["output"].sum() == 4
    session.close()


def test_as_many_submitted_runs_at_once_as_frames_and_closing_cancels_the_rest(
    relu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Semaphore(0), threading.Event()
    run = OnnxExecutor.run

    def slow(self: OnnxExecutor, inputs: list[np.ndarray]) -> list[np.ndarray]:
        entered.release()
        assert go.wait(10)
        return run(self, inputs)

    monkeypatch.setattr(OnnxExecutor, "run", slow)
    session = edge_trt_runtime.load(relu, frames=2)
    x = {"x": np.ones((1, 4), np.float32)}
    futures = [session.submit(x) for _ in range(5)]
    assert entered.acquire(timeout=10)
    assert entered.acquire(timeout=10)
    assert not entered.acquire(timeout=0.05)
    closing = threading.Thread(target=session.close)
    closing.start()
    while not futures[-1].cancelled():
        assert closing.is_alive()
    go.set()
    closing.join(10)
    assert [future.cancelled() for future in futures] == [False, False, True, True, True]
    assert all(future.result()["output"].sum() == 4 for future in futures[:2])
