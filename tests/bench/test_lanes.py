# SPDX-License-Identifier: Apache-2.0
"""Lanes of a bundle, measured alone and together, on a board that is made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edge_trt.bench import chart, compare, record
from edge_trt.bench.measure import Plan, measure, together
from edge_trt.cli import main
from edge_trt_runtime.errors import EdgeTrtError, EngineError
from tests.jetson import telemetry_trees
from tests.runtime.tensorrt.machine import Machine
from tests.runtime.tensorrt.test_pools import both
from tests.runtime.tensorrt.test_sessions import relu_plan
from tests.support.bundles import relu_draft


def quiet(stage: str, fraction: float, note: str) -> None:
    assert 0 <= fraction <= 1


def plan(root: Path | str = "/", **more: bool) -> Plan:
    return Plan(0.1, 0.0, device="cuda", interval=0.02, root=str(root), **more)


@pytest.fixture
def measured(machine: Callable[..., Machine], tmp_path: Path) -> record.Record:
    machine(cores=2)
    root = telemetry_trees.plant(telemetry_trees.machine("agx orin, R36"), tmp_path / "root")
    return measure(str(both().write(tmp_path / "m.edge")), plan(root), quiet)


def test_each_lane_alone_and_all_together(measured: record.Record, tmp_path: Path) -> None:
    assert measured.places == {"main": "dla:0"}
    lanes = measured.lanes
    assert lanes is not None
    found = [(lane.name, lane.stream, lane.places["main"]) for lane in lanes.each]
    assert found == [("dla:0", 1, "dla:0"), ("dla:1", 1, "dla:1"), ("gpu", 2, "gpu")]
    watts = telemetry_trees.machine("agx orin, R36").watts
    for lane in lanes.each:
        assert lane.alone.energy is not None
        assert lane.alone.energy.watts == pytest.approx(watts, rel=1e-3)
        assert lane.together.energy is None
        assert min(lane.alone.runs, lane.together.runs) >= 10
    assert lanes.total.runs == sum(lane.together.runs for lane in lanes.each)
    assert lanes.total.callers == 6
    energy = lanes.total.energy
    assert energy is not None
    seconds = lanes.total.seconds
    assert energy.joules == pytest.approx(watts * seconds / lanes.total.runs, rel=0.3)
    path = tmp_path / "a.json"
    record.write(measured, str(path))
    assert record.read(path) == measured


def test_a_record_of_before_there_were_lanes(measured: record.Record, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    old = measured.as_dict()
    del old["lanes"]
    path.write_text(json.dumps(old))
    assert record.read(path) == msgspec.structs.replace(measured, lanes=None)
    broken = measured.as_dict()
    broken["lanes"]["total"]["blocks"] = []
    path.write_text(json.dumps(broken))
    with pytest.raises(EdgeTrtError, match="it holds no runs"):
        record.read(path)


def test_lanes_are_compared_by_name(measured: record.Record) -> None:
    lanes = measured.lanes
    assert lanes is not None
    fewer = msgspec.structs.replace(lanes, each=lanes.each[1:])
    other = msgspec.structs.replace(measured, lanes=fewer)
    names = [row.name for row in compare.compare(measured, other)]
    assert names[-4:] == [
        "throughput, dla:1 alone [1/s]",
        "throughput, gpu alone [1/s]",
        "throughput, all lanes [1/s]",
        "energy per run, all lanes [J]",
    ]
    assert "lanes: dla:0 and dla:1 and gpu before, dla:1 and gpu after" in compare.differences(
        measured, other
    )
    without = msgspec.structs.replace(measured, lanes=None)
    assert not any("all lanes" in row.name for row in compare.compare(measured, without))
    assert compare.differences(measured, measured) == []


def test_lanes_are_drawn(measured: record.Record) -> None:
    panels = {panel.title: panel.curves for panel in chart.panels(measured)}
    for name in ("alone", "together"):
        curves = panels[f"Runs per second of each lane, {name}"]
        assert [curve.name for curve in curves] == ["dla:0", "dla:1", "gpu"]
        assert all(rate > 0 for curve in curves for _, rate in curve.points)


def test_lanes_are_printed_and_written(
    machine: Callable[..., Machine], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(cores=2)
    bundle, file = both().write(tmp_path / "m.edge"), tmp_path / "a.json"
    flags = ["--device", "cuda", "--seconds", "0.1", "--warm-up", "0"]
    assert main(["bench", str(bundle), *flags, "--json", str(file)]) == 0
    table = capsys.readouterr().out.partition("Lanes, saturated")[2].splitlines()
    rows = [words[0] for line in table if (words := line.split())]
    assert [row for row in rows if row in ("dla:0", "dla:1", "gpu", "all")] == [
        "dla:0", "dla:1", "gpu", "all",
    ]  # fmt: skip
    written = record.read(file)
    assert isinstance(written, record.Record)
    assert written.lanes is not None
    assert main(["bench", str(bundle), *flags, "--dla-core", "1"]) == 0
    out = capsys.readouterr().out
    assert "Lanes" not in out  # one core was asked for
    assert "changed nothing" not in out  # and used


def test_where_there_is_one_lane_nothing_more_is_measured(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine(cores=2)
    path = relu_draft().plan("main", relu_plan()).write(tmp_path / "gpu.edge")
    assert measure(str(path), plan(), quiet).lanes is None
    two = both().write(tmp_path / "two.edge")
    assert measure(str(two), plan(lanes=False), quiet).lanes is None


@pytest.mark.parametrize("step", ["load_pool", "lanes_here"])
def test_what_was_measured_stays_where_a_lane_fails(
    machine: Callable[..., Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    machine(cores=2)
    path = both().write(tmp_path / "m.edge")

    def refuse(*_: object, **__: object) -> None:
        raise EngineError("segment 'main' is for DLA core 1")

    monkeypatch.setattr(f"edge_trt.bench.lanes.{step}", refuse)
    found = measure(str(path), plan(), quiet)
    assert found.lanes is None
    assert found.doubts[-1] == "its lanes were not measured: segment 'main' is for DLA core 1"
    assert found.single.runs >= 10


def test_bundles_at_once_in_one_record(
    measured: record.Record, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine(cores=2)
    path = str(tmp_path / "m.edge")
    loads, total = together([path, path], plan(tmp_path / "root"), quiet)
    assert total.energy is not None
    joint = record.Joint(bundles=[measured, measured], together=loads, total=total)
    file = tmp_path / "joint.json"
    record.write(joint, str(file))
    assert record.read(file) == joint
    assert json.loads(file.read_text())["bundles"][1]["trtexec"]
    record.write(msgspec.structs.replace(joint, together=loads[:1]), str(file))
    with pytest.raises(EdgeTrtError, match="its bundles and loads are not as many"):
        record.read(file)
