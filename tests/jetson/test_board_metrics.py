# SPDX-License-Identifier: Apache-2.0
"""The state of a board in the runtime's metrics."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from edge_trt_jetson.telemetry import metrics as board
from edge_trt_runtime import Metrics
from tests.jetson.telemetry_trees import MACHINES, Machine, cpu_times, machine, plant, write
from tests.runtime.test_metrics import values

ORIN = machine("agx orin, R36")


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_gauges_of_a_board(machine: Machine, tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.add_provider(board.BoardMetrics(plant(machine, tmp_path)))
    text = metrics.text()
    found = values(text)
    assert found["edge_trt_board_watts"] == pytest.approx(machine.watts)
    assert found['edge_trt_clock_hertz{part="cpu"}'] == machine.cpu_khz * 1000
    assert 'edge_trt_temperature_celsius{zone="gpu"}' in found
    assert ('edge_trt_load{part="gpu"}' in found) == (machine.load is not None)
    assert found["edge_trt_memory_total_bytes"] == machine.tree.memory_kb * 1024
    # Each family is told once, and its lines follow each other.
    lines = [line for line in text.splitlines() if "{" in line or line.startswith("edge_trt_")]
    families = [line.split("{")[0].split()[0] for line in lines]
    kept = [f for f, before in zip(families, ["", *families], strict=False) if f != before]
    assert len(kept) == len(set(kept))
    assert text.count("# TYPE edge_trt_clock_hertz gauge") == 1


def test_dla_that_is_off_has_no_clock(tmp_path: Path) -> None:
    provider = board.BoardMetrics(plant(ORIN, tmp_path))
    clocks = {labels["part"]: value for name, _, labels, value in provider() if "clock" in name}
    assert (clocks["dla0"], clocks["dla1"]) == (1.6e9, 0.0)
    provider._after = 0.0
    powered = {r[2]["part"]: r[3] for r in provider() if r[0] == "edge_trt_powered"}
    assert powered == {"dla0": 0.0, "dla1": 0.0}  # the recorded times stand still
    provider.close()


def test_many_who_ask_share_a_look(tmp_path: Path, monkeypatch) -> None:
    plant(ORIN, tmp_path)
    provider = board.BoardMetrics(tmp_path)
    write(tmp_path, "proc/stat", cpu_times([*range(12)], 150, 950))
    assert not [r for r in provider() if r[0] == "edge_trt_load" and r[2] == {"part": "cpu"}]
    monkeypatch.setattr(provider, "_after", 0.0)
    (load,) = (r for r in provider() if r[0] == "edge_trt_load" and r[2] == {"part": "cpu"})
    assert load[3] == pytest.approx(0.5)


def test_throttling_is_counted(tmp_path: Path) -> None:
    provider = board.BoardMetrics(plant(machine("orin nano super"), tmp_path))
    assert [value for name, _, _, value in provider() if name == "edge_trt_throttling"] == [1.0]


def test_this_machine_is_watched() -> None:
    metrics = Metrics()
    assert metrics.watch_board()
    found = values(metrics.text())
    assert found["edge_trt_memory_total_bytes"] > found["edge_trt_memory_used_bytes"] > 0
    assert "edge_trt_throttling" not in found
    assert all(math.isfinite(value) for value in found.values())


def test_runtime_without_the_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "edge_trt_jetson.telemetry.metrics", None)
    metrics = Metrics()
    assert not metrics.watch_board()
    assert "edge_trt_board" not in metrics.text()


def test_provider_that_fails_leaves_the_rest_whole() -> None:
    metrics = Metrics()

    def failing():
        yield "good", "A gauge.", {}, 1.0
        raise OSError("the bus\nis stuck")

    metrics.add_provider(failing)
    metrics.add_provider(lambda: [("other", "A gauge.", {"a": 'x"y'}, 2.0)])
    text = metrics.text()
    assert "# a provider failed: OSError: the bus is stuck\n" in text
    assert "good" not in text
    assert 'other{a="x\\"y"} 2.0\n' in text
