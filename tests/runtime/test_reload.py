# SPDX-License-Identifier: Apache-2.0
"""A session changes its bundle for another between two runs, or keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save

import edge_trt_runtime
from edge_trt_runtime import BundleError, EngineError, SelfTest
from edge_trt_runtime.manifest import ImageSpec, Range
from tests.support.bundles import Draft, node, relu_draft, spec

X = np.array([[-2, -1, 1, 2]], np.float32)


def draft(operator: str, *, answer: np.ndarray | None = None) -> Draft:
    """One layer; with an answer, a self-test that expects it."""
    one = relu_draft()
    one.segments, one.engines, one.files = [], [], {}
    one.network("main", ["x"], ["main.0"], [node(operator, "x", "main.0")])
    if answer is not None:
        one.files["s.safetensors"] = save({"0/in/x": X, "0/out/output": answer})
        one.self_test = SelfTest("s.safetensors", 1, rtol=1e-4, atol=1e-5)
    return one


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    return draft("Relu").write(tmp_path / "a.edge")


def answer(session: edge_trt_runtime.Session) -> list[float]:
    return session.run({"x": X})["output"][0].tolist()


def test_the_new_bundle_runs_afterwards(relu: Path, tmp_path: Path) -> None:
    negative = draft("Neg", answer=-X).write(tmp_path / "b.edge")
    with edge_trt_runtime.load(relu) as session:
        assert answer(session) == [0, 0, 1, 2]
        session.reload(negative)
        assert answer(session) == [2, 1, -1, -2]
        assert session.bundle.root == str(negative)
        draft("Abs").write(negative)  # in its place, as an updater does
        session.reload()
        assert answer(session) == [2, 1, 1, 2]
    with pytest.raises(EngineError, match="closed"):
        session.reload(relu)
    with pytest.raises(EngineError, match="closed"):
        session.run({"x": X})


def replaced(one: Draft, **fields: object) -> Draft:
    one.inputs = [msgspec.structs.replace(one.inputs[0], **fields)]
    return one


def other_output() -> Draft:
    one = relu_draft()
    one.outputs, one.results = [spec("y", [1, 4])], {"y": "main.0"}
    return one


PROBLEMS: dict[str, tuple[Callable[[], Draft], str]] = {
    "shape": (lambda: relu_draft([1, 5]), r"'x' is float32 of shape \[1, 5\], not float32 of sha"),
    "range": (lambda: relu_draft(["n", 4], {"n": Range(1, 2, 3)}), r"shape \['n', 4\], not float3"),
    "output": (other_output, "its outputs are y, not output"),
    "image": (
        lambda: replaced(relu_draft(), image=ImageSpec([0.5], [1.0])), "'x' is prepared in another"
    ),
    "answer": (
        lambda: draft("Neg", answer=X),
        "fails its self-test here: case 0, output 'output': .*: build it again on this machine",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_bundle_that_does_not_fit_changes_nothing(name: str, relu: Path, tmp_path: Path) -> None:
    make, message = PROBLEMS[name]
    path = make().write(tmp_path / "b.edge")
    with edge_trt_runtime.load(relu) as session:
        with pytest.raises(EngineError, match=message):
            session.reload(path)
        assert answer(session) == [0, 0, 1, 2]
        assert session.bundle.root == str(relu)


def test_sizes_have_to_be_the_same(tmp_path: Path) -> None:
    first = relu_draft(["n", 4], {"n": Range(1, 2, 3)}).write(tmp_path / "a.edge")
    second = relu_draft(["n", 4], {"n": Range(1, 2, 4)}).write(tmp_path / "b.edge")
    with (
        edge_trt_runtime.load(first) as session,
        pytest.raises(EngineError, match=r"its size 'n' is .*'max': 4.*, not .*'max': 3"),
    ):
        session.reload(second)


def test_a_damaged_bundle_changes_nothing(relu: Path, tmp_path: Path) -> None:
    path = draft("Neg").write(tmp_path / "b.edge")
    engine = path / "engines/cpu/main.onnx"
    engine.write_bytes(engine.read_bytes()[:-1] + b"!")
    with edge_trt_runtime.load(relu) as session:
        with pytest.raises(BundleError, match="was changed after the build"):
            session.reload(path)
        with pytest.raises(BundleError, match="does not exist"):
            session.reload(tmp_path / "none.edge")
        assert answer(session) == [0, 0, 1, 2]


def test_runs_of_other_threads_go_on(relu: Path, tmp_path: Path) -> None:
    negative = draft("Neg").write(tmp_path / "b.edge")
    known = {(0, 0, 1, 2), (2, 1, -1, -2)}
    found: set[tuple[float, ...]] = set()
    errors: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                found.add(tuple(answer(session)))
            except BaseException as error:
                errors.append(error)
                return

    with edge_trt_runtime.load(relu, threads=1) as session:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for path in [negative, relu] * 5:
            session.reload(path)
        over.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert found == known
