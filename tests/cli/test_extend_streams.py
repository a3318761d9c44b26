# SPDX-License-Identifier: Apache-2.0
"""Two placements that share GPU and DLA, each built as an engine of its own on a made-up board."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt as compiler
from edge_trt.engines import room
from edge_trt_runtime import load, load_pool, run_self_test
from edge_trt_runtime.__main__ import main as runtime
from edge_trt_runtime.bundle import open_bundle
from edge_trt_runtime.describe import format_size
from edge_trt_runtime.manifest import Engine
from edge_trt_runtime.tensorrt import choice
from tests.cli.conftest import Command
from tests.cli.made_up_jetson import SHAPE, TARGET, Jetson, make_jetson
from tests.runtime.tensorrt import conftest
from tests.support.fake_tensorrt import FUNCTIONS, FakeTensorRt

machine = conftest.machine
Make = Callable[..., Jetson]


def layers(first: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(first, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()
    )


class Parts(nn.Module):
    """Two networks that DLAs take, a fallback between, and one that is nothing for them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = layers(16), layers(64)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Computes something."""
        middle = torch.erf(self.first(x))
        last = torch.erf(self.second(middle))
        return middle, torch.softmax(last, 1)


def compiled(model: nn.Module, folder: Path, **options: Any) -> Path:
    given: dict[str, Any] = {"target": TARGET, "precision": "fp16", "dla": "auto"}
    given |= {"dla_objective": "throughput", "self_test": 0, **options}
    return compiler.compile(model.eval(), (torch.zeros(SHAPE),), **given).save(folder / "m.edge")


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(layers(16), tmp_path_factory.mktemp("streams"))


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    return compiled(Parts(), folder, fallback_ops=("aten.erf.default",), min_block_size=1)


@pytest.fixture
def bundle(placed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(placed, tmp_path / "m.edge"))


@pytest.fixture
def make(tmp_path: Path, machine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Make:
    def board(bundle: Path, **more: Any) -> Jetson:
        return make_jetson(bundle, tmp_path, machine, monkeypatch, **more)

    return board


def engines(bundle: Path) -> list[Engine]:
    return open_bundle(bundle).manifest.engines


def summary(bundle: Path) -> list[tuple[str, int, bool]]:
    """Segment, stream, and whether a DLA is used, of each engine in the order of the manifest."""
    return [(e.segment, e.stream, "dla_core" in e.details) for e in engines(bundle)]


def rows(text: str, title: str) -> list[list[str]]:
    """The words of each row of a table that was printed."""
    lines = text.partition(title)[2].partition("All figures are estimates")[0].splitlines()
    return [line.split() for line in lines if line.strip().startswith("block")]


def test_both_are_built(make: Make, bundle: Path, edge_trt: Command) -> None:
    (planned,) = compiler.load(bundle).placement["targets"][TARGET]["networks"]
    rate = {len(s["assignment"]["regions"]): s["runs_per_second"] for s in planned["streams"]}
    title = f"Engines for {TARGET}"
    before = rows(edge_trt("inspect", bundle, "--placement").out, title)
    assert [row[-3:] for row in before] == [["not", "built", "yet"]] * 2
    jetson = make(bundle, cores=2)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert len(jetson.built) == 2
    assert summary(bundle) == [("block0", 1, True), ("block0", 2, False)]
    first, second = engines(bundle)
    assert first.details["runs_per_second"] == rate[3]
    assert second.details["runs_per_second"] == rate[1]
    for shown in (done.out, edge_trt("inspect", bundle, "--placement").out):
        assert rows(shown, title) == [
            ["block0", "1", f"{rate[3]:g}", "3", "1", "built", "3"],
            ["block0", "2", f"{rate[1]:g}", "0", "0", "built", "0", "0"],
        ]


def test_a_network_without_a_second_placement_has_one_engine(
    make: Make, hybrid: Path, tmp_path: Path, edge_trt: Command
) -> None:
    bundle = Path(shutil.copytree(hybrid, tmp_path / "m.edge"))
    make(bundle, cores=2)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert summary(bundle) == [
        ("block0", 1, True), ("block0", 2, False),
        ("block1", 1, True), ("block1", 2, False),
        ("block2", 1, False),
    ]  # fmt: skip
    rates = [{e.details.get("runs_per_second") for e in engines(bundle) if e.stream == n}
             for n in (1, 2)]  # fmt: skip
    assert len(rates[0] - {None}) == len(rates[1]) == 1  # those of the bundle, not of a segment
    assert "runs_per_second" not in engines(bundle)[-1].details


def test_a_plan_that_is_made_again_has_two(make: Make, bundle: Path, edge_trt: Command) -> None:
    before = compiler.load(bundle).placement["targets"][TARGET]["networks"][0]["streams"]
    make(bundle, cores=1)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert "layers are placed again" in done.out
    assert summary(bundle) == [("block0", 1, True), ("block0", 2, False)]
    planned = min(s["runs_per_second"] for s in before)
    assert engines(bundle)[0].details["runs_per_second"] == pytest.approx(planned / 2, rel=0.01)


@pytest.mark.parametrize(("objective", "cores"), [("latency", 2), ("energy", 2), ("throughput", 0)])
def test_one_engine_where_nothing_runs_beside_it(
    make: Make, tmp_path: Path, edge_trt: Command, objective: str, cores: int
) -> None:
    bundle = compiled(layers(16), tmp_path, dla_objective=objective)
    make(bundle, cores=cores)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    (engine,) = engines(bundle)
    assert engine.stream == 1
    assert "runs_per_second" not in engine.details


def test_an_interrupted_build_goes_on_with_the_second(
    make: Make, bundle: Path, edge_trt: Command
) -> None:
    jetson = make(bundle, cores=2)
    jetson.interrupt_at = 1
    stopped = edge_trt("build", bundle, "--untested")
    assert stopped.status == 130
    assert "1 engine is kept in" in stopped.err
    jetson.interrupt_at = None
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert len(jetson.built) == 2
    assert summary(bundle) == [("block0", 1, True), ("block0", 2, False)]
    assert all("runs_per_second" in engine.details for engine in engines(bundle))


def test_what_moved_is_told_of_its_stream(make: Make, bundle: Path, edge_trt: Command) -> None:
    jetson = make(bundle, cores=2)
    inside = "{ForeignNode[conv2d...relu]}"
    jetson.layers = {inside: "aten.conv2d", "conv2d_1": "aten.conv2d"}
    jetson.on_dla = [inside]
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    first, second = engines(bundle)
    assert (first.details["dla_loadables"], first.details["dla_fell_back"]) == (1, "conv2d_1")
    assert not {"dla_loadables", "dla_fell_back"} & second.details.keys()
    assert "block0 in stream 1: TensorRT moved to the GPU while it built conv2d_1" in done.out
    assert "block0 in stream 2" not in done.out
    shown, _ = rows(done.out, f"Engines for {TARGET}")
    assert " ".join(shown[5:]) == "built 2 1 [1]"
    assert "[1] block0, stream 1: moved to the GPU: conv2d_1" in done.out


def test_what_is_refused_altogether_is_told(
    make: Make, bundle: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(bundle, cores=2)
    monkeypatch.setattr(FakeTensorRt, "_can_run_on_DLA", lambda *_, **__: False, raising=False)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert summary(bundle) == [("block0", 1, False), ("block0", 2, False)]
    refused = "block0 in stream 1: TensorRT refuses on the DLA, so the GPU runs conv2d, relu,"
    assert refused in done.out


def test_more_loadables_than_a_core_holds_are_told(
    make: Make, bundle: Path, edge_trt: Command
) -> None:
    jetson = make(bundle, cores=2)
    jetson.on_dla = [f"{{ForeignNode[part{n}]}}" for n in range(17)]
    jetson.layers = dict.fromkeys(jetson.on_dla, "aten.conv2d")
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert f"the engines for {TARGET} have 17 loadables together, and a DLA core holds 16" in (
        " ".join(done.out.split())
    )


def test_an_older_plan_for_a_pipeline_is_made_again(
    make: Make, bundle: Path, edge_trt: Command
) -> None:
    """One core held what two were to share."""
    older = compiler.load(bundle)
    (network,) = older.placement["targets"][TARGET]["networks"]
    network["streams"] = []
    names = [name for region in network["assignment"]["regions"] for name in region["layers"]]
    parts = [{"device": f"dla:{n // 10}", "layers": [f"part{n}"]} for n in range(20 - len(names))]
    parts += [{"device": "dla:1", "layers": [name]} for name in names]
    network["assignment"] |= {"cores": "pipeline", "regions": parts}
    older.save(bundle)
    make(bundle, cores=2)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert "placed again: the plan was for 20 loadables, and 14 are planned for a core" in (
        " ".join(done.out.split())
    )
    (after,) = compiler.load(bundle).placement["targets"][TARGET]["networks"]
    assert (after["assignment"]["cores"], after["loadables"]) == ("split", 1)
    assert summary(bundle) == [("block0", 1, True), ("block0", 2, False)]


@pytest.fixture
def tested(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Jetson]:
    """A bundle with recorded cases, and a board whose engines compute what its model does."""
    model = layers(16)

    def eager(inputs: list[np.ndarray]) -> list[np.ndarray]:
        with torch.no_grad():
            return [model(torch.from_numpy(inputs[0])).numpy()]

    monkeypatch.setitem(FUNCTIONS, "eager", eager)
    monkeypatch.setitem(FUNCTIONS, "zeros", lambda inputs: [0 * eager(inputs)[0]])
    bundle = compiled(model, tmp_path, self_test=2)
    jetson = make(bundle, cores=2)
    jetson.function = "eager"
    return bundle, jetson


def test_recorded_cases_run_in_each_stream(
    tested: tuple[Path, Jetson], edge_trt: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, jetson = tested
    done = edge_trt("build", bundle)
    assert done.status == 0, done.err
    assert jetson.trt.deserialized.count(None) == 1  # stream 2 on the GPU
    assert 0 in jetson.trt.deserialized  # stream 1 on a core
    shown = edge_trt("verify", bundle)
    assert shown.status == 0, shown.err
    assert (shown.out.count("passed"), shown.out.count("in stream 2")) == (4, 2)
    assert {r.stream for r in run_self_test(bundle)} == {1, 2}
    assert runtime([str(bundle), "--verify"]) == 0
    assert capsys.readouterr().out.count(" in stream 2: passed") == 2
    assert edge_trt("verify", bundle, "--device", "cpu").status == 1  # it has no such engine


def test_a_pool_runs_what_was_built(tested: tuple[Path, Jetson], edge_trt: Command) -> None:
    bundle, _ = tested
    assert edge_trt("build", bundle).status == 0
    first, second = (float(e.details["runs_per_second"]) for e in engines(bundle))
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    with load_pool(bundle, device="cuda") as pool:
        lanes = [(lane.name, lane.stream, lane.rate) for lane in pool.lanes]
        (result,) = pool.run({"input": x}).values()
    assert lanes == [("dla:0", 1, first / 2), ("dla:1", 1, first / 2), ("gpu", 2, second)]
    (eager,) = FUNCTIONS["eager"]([x])
    np.testing.assert_array_equal(result, eager)


@pytest.mark.parametrize(("number", "where"), [(0, ":"), (1, " in stream 2:")])
def test_wrong_results_of_either_stream_are_not_written(
    tested: tuple[Path, Jetson], edge_trt: Command, number: int, where: str
) -> None:
    bundle, jetson = tested
    before = (bundle / "manifest.json").read_bytes()
    jetson.functions[number] = "zeros"
    done = edge_trt("build", bundle)
    assert done.status == 1
    assert "fail 2 of the recorded cases" in done.err
    assert f"of 0{where}" in done.err
    assert (bundle / "manifest.json").read_bytes() == before


def test_what_a_board_built_runs_there_and_not_the_engines_of_another(
    tested: tuple[Path, Jetson], make: Make, edge_trt: Command, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Both boards have the same GPU and TensorRT, so that either could run these engines."""
    bundle, _ = tested
    model = tmp_path / "model"
    model.write_bytes(b"AGX\0")
    monkeypatch.setattr(choice, "MODEL", str(model))
    assert edge_trt("build", bundle).status == 0
    other = make(bundle, cores=2, board_tree="orin nx 16gb flashed as orin nano")
    model.write_bytes(b"NX\0")
    other.function = "zeros"
    done = edge_trt("build", bundle)
    assert done.status == 1
    assert "fail 4 of the recorded cases" in done.err
    other.function = "eager"
    assert edge_trt("build", bundle).status == 0
    found = [(engine.target, engine.stream) for engine in engines(bundle)]
    assert found == [("orin-nx-16gb", 1), ("orin-nx-16gb", 2), (TARGET, 1), (TARGET, 2)]
    made = [engine.details["built_on"] for engine in engines(bundle)]
    assert made == ["NX", "NX", "AGX", "AGX"]


@pytest.mark.parametrize(
    ("tree", "cores", "target", "lanes"),
    [
        ("orin nx 16gb flashed as orin nano", 2, "orin-nx-16gb", ["dla:0", "dla:1", "gpu"]),
        ("orin nano 8gb devkit", 0, "orin-nano-8gb", ["gpu"]),
    ],
)
def test_no_engine_of_another_board_runs_beside_those_of_this_one(
    tested: tuple[Path, Jetson], make: Make, edge_trt: Command, tmp_path: Path, tree: str,
    cores: int, target: str, lanes: list[str],
) -> None:  # fmt: skip
    """Neither its plans on DLA, where this board has none, nor its second stream, nor its rates."""
    bundle, first = tested
    first.function = "zeros"  # so that a run of one of its engines shows
    assert edge_trt("build", bundle, "--untested").status == 0
    other = make(bundle, cores=cores, board_tree=tree)
    other.function = "eager"
    done = edge_trt("build", bundle)
    assert done.status == 0, done.err
    shown = edge_trt("verify", bundle)
    assert shown.status == 0, shown.err
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    (eager,) = FUNCTIONS["eager"]([x])
    with load(bundle, device="cuda:0") as session:
        np.testing.assert_array_equal(session.run({"input": x})["output"], eager)
    rates = [e.details.get("runs_per_second") for e in engines(bundle) if e.target == target]
    with load_pool(bundle, device="cuda") as pool:
        assert [lane.name for lane in pool.lanes] == lanes
        assert sum(lane.rate for lane in pool.lanes) == pytest.approx(
            sum(float(rate or 1.0) for rate in rates)
        )
        for result in pool.map([{"input": x}] * 8):
            np.testing.assert_array_equal(result["output"], eager)
    record = tmp_path / "bench.json"
    done = edge_trt("bench", bundle, "--seconds", "0.1", "--warm-up", "0", "--json", record)
    assert done.status == 0, done.err
    measured = json.loads(record.read_text())
    assert measured["places"] == {"block0": lanes[0]}
    each = measured["lanes"]["each"] if measured["lanes"] else []
    assert [lane["name"] for lane in each] == (lanes if len(lanes) > 1 else [])
    assert (0 in other.trt.deserialized) is bool(cores)


@pytest.mark.parametrize(("plans", "status"), [(1.5, 1), (2.5, 0)])
def test_the_disk_has_room_for_both(
    make: Make, bundle: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch,
    plans: float, status: int,
) -> None:  # fmt: skip
    (network,) = compiler.load(bundle).networks
    weights = sum(t.data.nbytes for t in network.constants() if t.data is not None)
    make(bundle, cores=2)
    real = shutil.disk_usage
    monkeypatch.setattr(
        room.shutil, "disk_usage", lambda path: real(path)._replace(free=int(plans * weights))
    )
    done = edge_trt("build", bundle, "--untested")
    assert done.status == status, done.err
    assert ("the plans need about" in done.err) == bool(status)
    assert f"the plans need about {format_size(2 * weights)}" in done.out  # told before
    assert "TensorRT: 10.3.0, regime weak, 2 DLA cores" in done.out
