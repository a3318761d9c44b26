# SPDX-License-Identifier: Apache-2.0
"""Measuring a small bundle on the CPU, with the sensors of a recorded Jetson."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_trt.bench import chart, machine, record
from edge_trt.bench.loads import concurrently, energy
from edge_trt.bench.measure import Plan, measure, together
from edge_trt_jetson.telemetry.sample import Memory, Sample
from edge_trt_jetson.telemetry.sampler import Sampler
from edge_trt_runtime import opening
from edge_trt_runtime.errors import EdgeTrtError, EngineError
from edge_trt_runtime.session import Session
from tests.cli import bundles
from tests.jetson import telemetry_trees

SHORT = Plan(seconds=0.2, warm_up=0.01, device="cpu", interval=0.02)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("bench") / "model.edge")


def quiet(stage: str, fraction: float, note: str) -> None:
    assert 0 <= fraction <= 1


@pytest.fixture(scope="module")
def orin(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> record.Record:
    root = telemetry_trees.plant(
        telemetry_trees.machine("agx orin, R36"), tmp_path_factory.mktemp("root")
    )
    plan = Plan(0.3, 0.01, device="cpu", interval=0.02, root=str(root))
    return measure(str(bundle), plan, quiet)


def test_what_a_record_holds(orin: record.Record, bundle: Path) -> None:
    assert orin.bundle["path"] == str(bundle)
    assert (orin.single.callers, orin.saturated.callers) == (1, 2)
    for load in (orin.single, orin.saturated):
        assert load.runs == sum(block.runs for block in load.blocks) >= 10
        assert sum(block.seconds for block in load.blocks) == pytest.approx(load.seconds, rel=0.2)
        assert load.latency.min <= load.latency.median <= load.latency.p99 <= load.latency.max
        assert load.seconds >= 0.3
    assert list(orin.segments) == ["main (host)"]
    assert orin.machine["board"] == "agx-orin-64gb"
    assert orin.conditions["power mode"].startswith("MAXN")
    assert "at most" in orin.conditions["memory"]
    assert orin.first_ms > 0
    assert orin.load_ms > 0


def test_energy_is_power_times_time_per_run(orin: record.Record) -> None:
    watts = telemetry_trees.machine("agx orin, R36").watts
    for load in (orin.single, orin.saturated):
        assert load.energy is not None
        assert load.energy.watts == pytest.approx(watts, rel=1e-3)
        assert load.energy.joules == pytest.approx(watts * load.seconds / load.runs, rel=0.2)
        assert load.energy.uncertainty is not None
        assert load.energy.uncertainty < 0.05 * load.energy.joules
        assert load.energy.missing == 0.0  # both ends were looked at
        assert "VDD_GPU_SOC" in load.energy.rails


def test_too_few_readings_have_no_uncertainty(orin: record.Record, tmp_path: Path) -> None:
    """A begin and an end make an energy; how sure it is they don't tell."""
    root = telemetry_trees.plant(telemetry_trees.machine("agx orin, R36"), tmp_path / "root")
    with Sampler(3600.0, root=root) as sampler:
        (first,) = sampler.samples()
        found = energy(sampler, first.time, sampler.mark(), 10)
    assert found is not None
    assert found.uncertainty is None
    path = tmp_path / "few.json"
    load = msgspec.structs.replace(orin.single, energy=found)
    record.write(msgspec.structs.replace(orin, single=load), str(path))
    again = record.read(path)
    assert isinstance(again, record.Record)
    assert again.single.energy == found


def test_a_file_and_back(orin: record.Record, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    record.write(orin, str(path))
    assert record.read(path) == orin
    there = json.loads(path.read_text())["trtexec"]
    assert there["Throughput"] == orin.single.throughput
    assert there["Latency"]["percentile(99%)"] == orin.single.latency.p99
    assert "GPU Compute Time" not in there


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ({"main": "gpu"}, True),
        ({"main": "gpu", "rest": "dla:1"}, True),
        ({"main": "gpu", "rest": "host"}, False),
        ({"main": "host"}, False),
        ({}, False),
    ],
)
def test_time_of_a_gpu_is_told_where_nothing_else_computed(
    orin: record.Record, places: dict[str, str], told: bool
) -> None:
    values = msgspec.structs.replace(orin, places=places).as_dict()
    assert ("GPU Compute Time" in values["trtexec"]) == told
    assert values["stages"]["compute"]
    if told:
        assert set(values["trtexec"]["GPU Compute Time"]) == set(values["trtexec"]["Latency"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no record"),
        ("[]", "is no record"),
        ('{"schema": 2}', "has schema 2, and this edge_trt reads 1"),
        ('{"schema": 1}', "is no record .* missing required field"),
    ],
)
def test_files_that_are_no_records(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(EdgeTrtError, match=problem):
        record.read(tmp_path / "x.json")


def test_a_record_without_runs(orin: record.Record, tmp_path: Path) -> None:
    load = msgspec.structs.replace(orin.single, blocks=[])
    record.write(msgspec.structs.replace(orin, single=load), str(tmp_path / "a.json"))
    with pytest.raises(EdgeTrtError, match="it holds no runs"):
        record.read(tmp_path / "a.json")


def test_a_file_is_there_whole_or_not_at_all(
    orin: record.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("edge_trt.bench.result_file.os.replace", full)
        with pytest.raises(EdgeTrtError, match="No space left"):
            record.write(orin, str(path))
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]
    link = tmp_path / "b.json"
    link.symlink_to(path)
    record.write(orin, str(link))
    assert link.is_symlink()
    assert record.read(path) == orin


def test_an_interrupt_waits_for_runs_in_work() -> None:
    said: list[str] = []

    def call() -> None:
        said.append("begun")
        if len(said) == 1:
            os.kill(os.getpid(), signal.SIGINT)  # which the main thread gets, while it waits
        time.sleep(0.15)
        said.append("ended")

    with pytest.raises(KeyboardInterrupt):
        concurrently([call], 5.0, "x", quiet)
    assert said[-1] == "ended"


def test_files_that_are_not_there(orin: record.Record, tmp_path: Path) -> None:
    with pytest.raises(EdgeTrtError, match="can't be read"):
        record.read(tmp_path / "x.json")
    for write in (record.write, chart.save):
        with pytest.raises(EdgeTrtError, match="can't be written"):
            write(orin, str(tmp_path / "no/a.html"))


def test_charts(orin: record.Record, tmp_path: Path) -> None:
    for ending, magic in ((".png", b"\x89PNG"), (".html", b"<!doctype"), (".svg", b"<svg")):
        chart.save(orin, str(tmp_path / f"a{ending}"))
        assert (tmp_path / f"a{ending}").read_bytes().startswith(magic)
    titles = [panel.title for panel in chart.panels(orin)]
    assert titles[:3] == [
        "Median latency of blocks of runs, one caller [ms]",
        "Median latency of blocks of runs, saturated [ms]",
        "Power [W]",
    ]
    text = (tmp_path / "a.svg").read_text()
    assert "VDD_CPU_CV" in text
    with pytest.raises(EdgeTrtError, match=r"unknown ending.*\.png, \.html, \.svg"):
        chart.save(orin, str(tmp_path / "a.bmp"))


def test_several_at_once(bundle: Path) -> None:
    loads, total = together([str(bundle), str(bundle)], SHORT, quiet)
    assert [load.callers for load in loads] == [2, 2]
    assert all(load.runs >= 10 for load in loads)
    assert (total.callers, total.runs) == (4, sum(load.runs for load in loads))


def test_each_bundle_has_its_dla_core(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores: list[int | None] = []

    def loading(*words: Any, dla_core: int | None, **more: Any) -> Session:
        cores.append(dla_core)
        return opening.load(*words, **more)

    monkeypatch.setattr("edge_trt.bench.measure.load", loading)
    plan = Plan(0.01, 0.0, device="cpu", interval=0.02, dla_cores=(0, 1))
    together([str(bundle), str(bundle)], plan, quiet)
    found = measure(str(bundle), plan, quiet, 1)
    assert cores == [0, 1, 1]
    # Which of several bundles is for a DLA is known to who gives one core for each: no error.
    assert found.doubts[-1] == (
        "--dla-core 1 changed nothing: this bundle runs on host here, not on a DLA"
    )


def test_sessions_load_the_bundle_anew(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Session] = []

    def loading(*words: Any, **more: Any) -> Session:
        opened.append(opening.load(*words, **more))
        return opened[-1]

    monkeypatch.setattr("edge_trt.bench.measure.load", loading)
    plan = Plan(0.01, 0.0, device="cpu", interval=0.02, repeat=3)
    stages: list[str] = []
    found = measure(str(bundle), plan, lambda stage, *_: stages.append(stage))
    assert len(opened) == len(found.sessions) == len(found.repeats) + 1 == 3
    assert all(one.single.runs >= 10 <= one.saturated.runs for one in found.sessions)
    assert {"one caller", "one caller, session 2", "2 callers, session 3"} <= {*stages}
    record.write(found, str(tmp_path / "a.json"))
    assert record.read(tmp_path / "a.json") == found


def test_a_run_that_fails_ends_it(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise EngineError("segment main: out of memory")

    monkeypatch.setattr("edge_trt_runtime.session.Session.run", fails)
    with pytest.raises(EngineError, match="out of memory"):
        together([str(bundle)], SHORT, quiet)


def test_doubts(orin: record.Record) -> None:
    hot = Sample(0.0, throttling=("the GPU is too hot",), memory=Memory(1, 1))
    slow = [record.Block(1, 1.0, 10.0), record.Block(1, 1.0, 11.0)]
    load = record.Load(1, 2, 2.0, orin.single.latency, slow)
    steady = record.Load(1, 2, 2.0, orin.single.latency, slow[:1] * 2)
    facts = {"clocks": "floating (gpu ...)", "cpu load before": "45%"}
    assert machine.doubts(facts, [hot, hot], [record.Repeat(load, steady)]) == [
        "the clocks move with the load: --lock-clocks (as root) holds them",
        "throttled while it ran: the GPU is too hot",
        "other programs kept the processor busy (45%)",
        "unsteady with one caller: blocks of runs differ by 6.7%",
    ]
    calm = [record.Repeat(steady, steady)]
    assert machine.doubts({"clocks": "locked (...)"}, [Sample(0.0)], calm) == []
    later = machine.doubts({"clocks": ""}, [], [*calm, record.Repeat(steady, load)])
    assert later == ["unsteady with saturated: blocks of runs differ by 6.7%"]


def test_cooling_down(monkeypatch: pytest.MonkeyPatch) -> None:
    now, degrees = [0.0], iter([61.0, 55.0, 49.5])
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(machine.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    looks = (Sample(0.0, temperatures={"gpu": t}) for t in degrees)
    assert machine.cool_down(lambda: next(looks), 50.0) == 2.0
    hot = Sample(0.0, temperatures={"gpu": 99.0})
    assert machine.cool_down(lambda: hot, 50.0, longest=30.0) == 30.0
    assert machine.cool_down(lambda: Sample(0.0), 50.0) == 0.0  # no zone tells anything
    assert "did not cool down to 50 C" in machine.still_hot(hot, 50.0)[0]
    assert "nothing here tells" in machine.still_hot(Sample(0.0), 50.0)[0]
    assert machine.still_hot(hot, None) == machine.still_hot(hot, 100.0) == []
