# SPDX-License-Identifier: Apache-2.0
"""Plans are loaded once, kept under a budget, and given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError, Session
from edge_trt_runtime.hybrid.runner import _abandoned  # pyright: ignore[reportPrivateUsage]
from edge_trt_runtime.tensorrt.budget import parse_bytes
from edge_trt_runtime.tensorrt.shared import PLANS
from tests.runtime.tensorrt.machine import Machine
from tests.support.bundles import relu_draft
from tests.support.fake_tensorrt import plan_bytes


def write(folder: Path, memory: int) -> Path:
    """A bundle whose plan differs from others by what it needs."""
    data = plan_bytes("relu", {"x": [1, 4]}, {"main.0": [1, 4]}, memory=memory)
    return relu_draft().plan("main", data).write(folder / f"{memory}.edge")


def load(path: Path) -> Session:
    session = edge_trt_runtime.load(path, device="cuda")
    assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4
    return session


def loaded() -> list[int]:
    """How many sessions each loaded plan has."""
    return [engine.sessions for engine in edge_trt_runtime.engines()]


def test_two_sessions_share_a_plan(machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = machine()
    path = write(tmp_path, 1000)
    with load(path) as first, load(path):
        (engine,) = edge_trt_runtime.engines()
        assert (engine.segment, engine.device, engine.lane, engine.sessions) == (
            "main", "cuda:0", "gpu", 2,
        )  # fmt: skip
        assert engine.size == (path / "engines/cuda/main.plan").stat().st_size
        first.close()
        assert loaded() == [1]
        first.close()  # twice is fine
        assert loaded() == [1]
    assert loaded() == []
    assert len(here.trt.deserialized) == 1


def test_with_a_budget_the_least_recently_used_goes(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = machine()
    a, b, c = (write(tmp_path, size) for size in (1001, 1002, 1003))
    size = (a / "engines/cuda/main.plan").stat().st_size
    PLANS.budget = 2 * size
    for path in (a, b, a):
        load(path).close()
    assert len(here.trt.deserialized) == 2
    assert loaded() == [0, 0]
    load(c).close()  # b has to go
    load(a).close()
    assert len(here.trt.deserialized) == 3
    load(b).close()
    assert len(here.trt.deserialized) == 4


def test_a_call_sets_the_budget_for_those_that_come(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine()
    PLANS.budget = 0  # as the environment may have said
    a, b = (write(tmp_path, size) for size in (1001, 1002))
    size = (a / "engines/cuda/main.plan").stat().st_size
    edge_trt_runtime.load(a, device="cuda", memory_budget=2 * size).close()
    load(b).close()
    assert loaded() == [0, 0]
    edge_trt_runtime.load(b, device="cuda", memory_budget=f"{size}B").close()
    assert [engine.sessions for engine in edge_trt_runtime.engines()] == [0]


def test_plans_in_use_are_not_evicted(machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = machine()
    a, b = (write(tmp_path, size) for size in (1001, 1002))
    PLANS.budget = (a / "engines/cuda/main.plan").stat().st_size + 1
    message = r"segment 'main' takes .* MB, and plans in use leave 0\.0 of .*EDGE_TRT_MEMORY_BUDGET"
    with load(a), pytest.raises(EngineError, match=message):
        load(b)
    load(b).close()
    assert not here.device.allocations


def test_a_failed_load_leaves_nothing(
    machine: Callable[..., Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine()

    def fail(kind: str) -> None:
        if kind == "allocate":
            raise EngineError("no memory")

    here.device.fails = fail
    with pytest.raises(EngineError, match="no memory"):
        edge_trt_runtime.load(write(tmp_path, 1000), device="cuda")
    assert loaded() == []

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("edge_trt_runtime.hybrid.runner.prepare", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        edge_trt_runtime.load(write(tmp_path, 1000), device="cuda")
    assert loaded() == []


def test_a_session_may_be_collected_while_another_one_loads(
    machine: Callable[..., Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine()
    old = [load(write(tmp_path, 1000))]
    path = write(tmp_path, 1001)
    plain = here.trt.Runtime.deserialize_cuda_engine

    def collecting(*arguments: Any) -> Any:
        while old:  # as the garbage collector does, at any line
            del old[0]
        return plain(*arguments)

    monkeypatch.setattr(here.trt.Runtime, "deserialize_cuda_engine", collecting)
    loading = threading.Thread(target=lambda: old.append(load(path)), daemon=True)
    loading.start()
    loading.join(5)
    assert not loading.is_alive()
    assert loaded() == [1]
    old.clear()
    assert not here.device.allocations


def test_a_forked_child_gives_nothing_back(machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = machine()
    PLANS.budget = 10**6
    load(write(tmp_path, 1000)).close()
    session = load(write(tmp_path, 1001))
    result = session.run({"x": np.ones((1, 4), np.float32)}, device_outputs=True)["output"]
    held = len(here.device.allocations)
    here.device.lost = True
    session.close()
    del session, result
    PLANS.close_idle()
    assert len(here.device.allocations) == held
    assert loaded() == [0, 1]
    here.device.lost = False
    _abandoned.pop()
    PLANS.forget(0)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("2GB", 2 * 10**9),
        ("1.5 GiB", 3 << 29),
        ("512mb", 512 * 10**6),
        ("1k", 1000),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text, "it") == size


@pytest.mark.parametrize("text", ["", "much", "-1", "1TB", "1e9"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(EngineError, match=r"VAR is .*, which is no size: give one such as 2GB"):
        parse_bytes(text, "VAR")
