# SPDX-License-Identifier: Apache-2.0
"""Opening a bundle as a pool, and another one in its place."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import BundleError, EngineError, Lane, Session
from tests.runtime.pool.stubs import SIZES, TWO, rows, until
from tests.support.bundles import relu_draft, self_tested


def test_one_lane_where_there_is_nothing_else(tmp_path: Path) -> None:
    path = self_tested(tmp_path)
    with edge_trt_runtime.load_pool(path, device="cpu") as pool:
        (lane,) = pool.lanes
        assert (lane.name, lane.stream, lane.places, lane.runs) == ("cpu", 1, [], 0)
        assert all(result.passed for result in pool.self_test()["cpu"])
        x = np.array([[-1, 0, 1, 2]], np.float32)
        np.testing.assert_array_equal(pool.run({"x": x})["output"], [[0, 0, 1, 2]])
        assert pool.submit({"x": x}).result()["output"].shape == (1, 4)
        out = np.empty_like(x)
        assert pool.run({"x": x}, out={"output": out})["output"] is out
        assert pool.lanes[0].runs == 3  # without the recorded cases
        assert pool.memory is None
        assert not pool.broken
        assert pool.signature == lane.session.signature
    assert not pool.lanes
    pool.close()
    for call in (pool.run, pool.submit, pool.stream):
        with pytest.raises(EngineError, match=r"the pool on .*m\.edge is closed: load the bundle"):
            call({"x": x})
    with pytest.raises(EngineError, match="closed"):
        pool.reload()


def test_files_are_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = relu_draft().write(tmp_path / "m.edge")
    compared: Counter[str] = Counter()
    original = edge_trt_runtime.OpenBundle.verify

    def verify(bundle: edge_trt_runtime.OpenBundle) -> None:
        compared[bundle.root] += 1
        original(bundle)

    monkeypatch.setattr(edge_trt_runtime.OpenBundle, "verify", verify)
    with edge_trt_runtime.load_pool(path, lanes=TWO) as pool:
        assert [lane.name for lane in pool.lanes] == ["cpu", "cpu (2)"]
    assert [*compared.values()] == [1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"lanes": []}, "lanes is empty: give one or more"),
        ({"lanes": ["gpu"]}, r"'gpu' is no lane: give lanes=\[Lane"),
        ({"lanes": [Lane(rate=0.0)]}, r"the rate of a lane is 0\.0: give a number above 0"),
        ({"lanes": [Lane(), Lane(stream=2)]}, "has no stream 2, its streams are 1: build it with"),
        ({"lanes": [Lane(stream=0)]}, "stream is 0: give 1 or more"),
        ({"lanes": [Lane(dla_core=2)]}, "dla_core is 2: give 0 or 1"),
        ({"dla_core": 0}, "dla_core is a matter of each lane"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"frames": 0}, "frames is 0"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    path = relu_draft().write(tmp_path / "m.edge")
    with pytest.raises(EngineError, match=problem):
        edge_trt_runtime.load_pool(path, **options)


def test_reloading_while_it_runs(tmp_path: Path) -> None:
    """No run fails; the new bundle runs in all lanes, and a bad one changes nothing."""
    path = self_tested(tmp_path)
    other = relu_draft().write(tmp_path / "other.edge")
    (tmp_path / "bad").mkdir()
    bad = self_tested(tmp_path / "bad", error=1.0)
    stop, errors = threading.Event(), list[BaseException]()
    x = np.array([[-1, 0, 1, 2]], np.float32)

    def ask() -> None:
        try:
            while not stop.is_set():
                np.testing.assert_array_equal(pool.run({"x": x})["output"], np.maximum(x, 0))
        except BaseException as error:
            errors.append(error)

    with edge_trt_runtime.load_pool(path, lanes=TWO) as pool:
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        old = pool.lanes[0].session
        for _ in range(5):
            pool.reload(other)
            pool.reload(path)
        with pytest.raises(EngineError, match="fails its self-test here"):
            pool.reload(bad)
        wide = relu_draft([1, 5]).write(tmp_path / "wide.edge")
        with pytest.raises(EngineError, match="can't take the place"):
            pool.reload(wide)
        until(lambda: all(lane.runs for lane in pool.lanes))
        stop.set()
        for thread in threads:
            thread.join(20)
        assert not errors
        assert pool.bundle.root == str(path)
        with pytest.raises(EngineError, match="closed"):
            old.run({"x": x})


def test_sessions_are_closed_where_one_can_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = relu_draft().write(tmp_path / "m.edge")
    closed: list[Session] = []
    monkeypatch.setattr(Session, "close", lambda session: closed.append(session))
    with pytest.raises(EngineError, match="unknown device"):
        edge_trt_runtime.load_pool(path, lanes=[Lane(), Lane(device="tpu")])
    assert len(closed) == 1


def test_a_bundle_that_is_exchanged_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lanes of two bundles would give one answer or the other."""
    path = relu_draft().write(tmp_path / "m.edge")
    other = relu_draft(["n", 4], {"n": SIZES}).write(tmp_path / "other.edge")
    opened: list[Session] = []

    def load(*arguments: Any, **options: Any) -> Session:
        opened.append(edge_trt_runtime.load(*arguments, **options))
        if len(opened) == 1:
            path.rename(tmp_path / "old.edge")
            other.rename(path)
        return opened[-1]

    monkeypatch.setattr("edge_trt_runtime.pool.opening.load", load)
    with pytest.raises(BundleError, match="was exchanged for another bundle while its lanes"):
        edge_trt_runtime.load_pool(path, lanes=TWO)
    for session in opened:
        with pytest.raises(EngineError, match="closed"):
            session.run({"x": rows(4)})
