# SPDX-License-Identifier: Apache-2.0
"""A bundle that was placed for one board and is finished on another, or placed there by flags.

The boards are made up. TensorRT's API is judged call by call; nothing of a DLA is shown.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

import edge_trt as compiler
from edge_trt_runtime.bundle import open_bundle
from tests.cli.conftest import Command
from tests.cli.made_up_jetson import ORIN, TARGET, Jetson, compiled, configuration, make_jetson
from tests.runtime.tensorrt import conftest

machine = conftest.machine
pytestmark = pytest.mark.filterwarnings("ignore:.*samples? set the ranges.*")
Make = Callable[..., Jetson]
NX, NANO, THOR = "orin nx 16gb flashed as orin nano", "orin nano 8gb devkit", "agx thor devkit"
PLACED_AGAIN = (
    "layers are placed again: the plan was for Jetson AGX Orin 64GB, and this is Jetson Orin NX "
)
ON_GPU = "everything runs on the GPU: "


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What hosts made, for an AGX Orin unless the name says otherwise."""
    made: dict[str, dict[str, Any]] = {
        "auto": {}, "only": {"dla": "only"}, "with gelu": {"gelu": True},
        "for cpu": {"target": "cpu"},
        "unplaced": {"dla": None, "dla_objective": "latency", "int8_scheme": "dense"},
        "fp32": {"precision": "fp32"},
        "fp32, unplaced": {"precision": "fp32", "dla": None, "dla_objective": "latency"},
    }  # fmt: skip
    return {
        name: compiled(tmp_path_factory.mktemp("made"), **options) for name, options in made.items()
    }


@pytest.fixture
def board(
    bundles: dict[str, Path],
    tmp_path: Path,
    machine: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[Jetson, Path]]:
    def make(made: str, board_tree: str, version: str, cores: int) -> tuple[Jetson, Path]:
        bundle = Path(shutil.copytree(bundles[made], tmp_path / "m.edge", dirs_exist_ok=True))
        return (
            make_jetson(
                bundle, tmp_path, machine, monkeypatch, version=version, cores=cores,
                board_tree=board_tree,
            ),
            bundle,
        )  # fmt: skip

    return make


Board = Callable[[str, str, str, int], tuple[Jetson, Path]]


def flat(text: str) -> str:
    """Without the line ends of a narrow terminal."""
    return " ".join(text.split())


def placed_notes(out: str) -> list[str]:
    """What a build says of a placement that is not the one of the bundle."""
    notes = [line for line in out.splitlines() if line.startswith("Note: ")]
    return [note for note in notes if "no engine for" not in note]


@pytest.mark.parametrize(
    ("made", "tree", "version", "cores", "target", "remark"),
    [
        ("auto", NX, "10.3.0", 2, "orin-nx-16gb", f"{PLACED_AGAIN}16GB: TensorRT 10.3.0 serves 2"),
        ("auto", NX, "10.3.0", 1, "orin-nx-16gb", f"{PLACED_AGAIN}16GB: TensorRT 10.3.0 serves 1"),
        ("only", NX, "10.3.0", 2, "orin-nx-16gb", f"{PLACED_AGAIN}16GB: TensorRT 10.3.0 serves 2"),
        ("for cpu", NX, "10.3.0", 2, "orin-nx-16gb", "layers are placed for Jetson Orin NX 16GB"),
        ("auto", NX, "10.3.0", 0, "orin-nx-16gb", f"{ON_GPU}TensorRT 10.3.0 offers no DLA core"),
        ("auto", NANO, "10.3.0", 0, "orin-nano-8gb", f"{ON_GPU}Jetson Orin Nano 8GB has no DLA"),
        ("auto", THOR, "10.13.3", 0, "thor-t5000", f"{ON_GPU}Jetson T5000 (AGX Thor) has no DLA"),
        ("fp32", NX, "10.3.0", 2, "orin-nx-16gb", f"{ON_GPU}a DLA computes in int8 or fp16, and"),
    ],
)
def test_another_board_follows_the_wish(
    board: Board, edge_trt: Command, made: str, tree: str, version: str, cores: int,
    target: str, remark: str,
) -> None:  # fmt: skip
    jetson, bundle = board(made, tree, version, cores)
    before = compiler.load(bundle).placement["targets"]
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert flat(done.out).count(f"Note: {remark}") == 1
    assert flat(done.out).count(remark.removeprefix(ON_GPU)) == 1
    assert f"Placement for {TARGET}" not in done.out  # which was not built now
    after = compiler.load(bundle).placement["targets"]
    assert {name: after[name] for name in before} == before
    on_gpu = remark.startswith(ON_GPU)
    assert bool(after[target]["networks"]) is not on_gpu
    first = next(iter(before.values()))
    assert [after[target][key] for key in ("policy", "objective")] == [
        first["policy"], first["objective"],
    ]  # fmt: skip
    assert set(configuration(jetson)[1].values()) == (set() if on_gpu else {"DLA"})
    engines = [e for e in open_bundle(bundle).manifest.engines if e.target == target]
    assert engines
    assert any("dla_core" in engine.details for engine in engines) is not on_gpu
    shown = edge_trt("inspect", bundle, "--placement").out
    assert (f"DLA on {target}: none, " if on_gpu else f"Placement for {target}") in shown

    again = edge_trt("build", bundle, "--untested")
    assert again.status == 0, again.err
    assert not placed_notes(again.out)
    assert compiler.load(bundle).placement["targets"] == after


def test_a_board_that_got_dla_follows_the_wish_again(board: Board, edge_trt: Command) -> None:
    """As an AGX Orin does that goes from JetPack 7.2 to one with DLA."""
    _, bundle = board("auto", ORIN, "10.3.0", 0)
    before = compiler.load(bundle).placement["targets"][TARGET]
    assert edge_trt("build", bundle, "--untested").status == 0
    none = compiler.load(bundle).placement["targets"][TARGET]
    assert none["networks"] == []
    shutil.move(bundle, bundle.with_suffix(".kept"))
    jetson, _ = board("auto", ORIN, "10.3.0", 2)
    shutil.rmtree(bundle)
    shutil.move(bundle.with_suffix(".kept"), bundle)
    done = edge_trt("build", bundle, "--untested")
    assert (
        "layers are placed again: the plan was without DLA, since TensorRT 10.3.0 offers"
        in flat(done.out)
    )
    after = compiler.load(bundle).placement["targets"][TARGET]
    assert [after[key] for key in ("policy", "objective", "mode", "rewritten")] == [
        before[key] for key in ("policy", "objective", "mode", "rewritten")
    ]
    assert set(configuration(jetson)[1].values()) == {"DLA"}


@pytest.mark.parametrize(
    ("made", "tree", "cores", "flags", "text"),
    [
        ("only", NANO, 0, (), "dla='only' can't be here: Jetson Orin Nano 8GB has no DLA"),
        ("only", NX, 0, (), "dla='only' can't be here: TensorRT 10.3.0 offers no DLA core"),
        ("auto", NANO, 0, ("--dla", "only"), "dla='only' can't be on orin-nano-8gb: Jetson"),
        ("with gelu", NX, 2, ("--dla", "only"), "dla='only' can't be on orin-nx-16gb: 1 layer is"),
        ("fp32", NX, 2, ("--dla", "only"), "build from the model with precision='int8'"),
        (
            "auto",
            NX,
            2,
            ("--dla-objective", "energy"),
            "and dla is not given: add dla='auto' (--dla ",
        ),
        ("auto", NX, 2, ("--dla-mode", "15W"), "--dla auto, also for a bundle that is placed"),
        (
            "auto",
            NX,
            2,
            ("--dla", "off", "--dla-mode", "15W"),
            "dla_mode is about a placement on DLA, and dla is",
        ),
        ("auto", NX, 2, ("--dla", "auto", "--dla-mode", "26W"), "unknown power mode of orin-nx-16"),
        ("auto", NX, 2, ("--dla", "auto", "--precision", "fp16"), "--precision can't change it"),
    ],
)
def test_what_can_not_be_is_refused(
    board: Board, edge_trt: Command, made: str, tree: str, cores: int, flags: Sequence[str],
    text: str,
) -> None:  # fmt: skip
    _, bundle = board(made, tree, "10.3.0", cores)
    before = (bundle / "manifest.json").read_bytes()
    done = edge_trt("build", bundle, "--untested", *flags)
    assert done.status == 1
    assert text in flat(done.err)
    assert (bundle / "manifest.json").read_bytes() == before


AUTO, OFF = ("--dla", "auto"), ("--dla", "off")


@pytest.mark.parametrize(
    ("made", "flags", "wish", "devices", "text"),
    [
        ("auto", AUTO, ("auto", "latency", "15W"), None, "Placement for orin-nx-16gb"),
        ("auto", (*AUTO, "--dla-objective", "throughput", "--dla-mode", "MAXN"),
         ("auto", "throughput", "MAXN"), {"DLA"}, "Planned for L4T 36.5.0, MAXN, best throughput"),
        ("auto", ("--dla", "only"), ("only", "latency", "15W"), {"DLA"}, "DLA only"),
        ("unplaced", ("--dla", "only"), ("only", "latency", "15W"), {"DLA"}, "DLA only"),
        ("unplaced", OFF, None, set(), "engines: orin-nx-16gb"),
        ("auto", OFF, ("off", "latency", ""), set(), "none, it was built with --dla off"),
        ("only", OFF, ("off", "latency", ""), set(), "none, it was built with --dla off"),
        ("fp32, unplaced", AUTO, ("auto", "latency", ""), set(), "this bundle is in fp32: build"),
    ],
)  # fmt: skip
def test_flags_place_a_finished_bundle(
    board: Board, edge_trt: Command, made: str, flags: Sequence[str],
    wish: tuple[str, str, str] | None, devices: set[str] | None, text: str,
) -> None:  # fmt: skip
    jetson, bundle = board(made, NX, "10.3.0", 2)
    done = edge_trt("build", bundle, "--untested", *flags)
    assert done.status == 0, done.err
    assert text in flat(done.out)
    assert not placed_notes(done.out)
    targets = compiler.load(bundle).placement.get("targets", {})
    told = targets.get("orin-nx-16gb")
    found = None if told is None else tuple(told[k] for k in ("policy", "objective", "mode"))
    assert found == wish
    if devices is not None:
        assert set(configuration(jetson)[1].values()) == devices


def test_off_lasts_until_it_is_taken_back(board: Board, edge_trt: Command) -> None:
    jetson, bundle = board("auto", ORIN, "10.3.0", 2)
    seen: list[set[str]] = []
    for flags in ((), OFF, (), (*AUTO, "--dla-objective", "throughput")):
        jetson.trt.log.clear()
        done = edge_trt("build", bundle, "--untested", *flags)
        assert done.status == 0, done.err
        seen.append(set(configuration(jetson)[1].values()))
    assert seen == [{"DLA"}, set(), set(), {"DLA"}]


def test_off_on_one_board_is_no_wish_for_another(board: Board, edge_trt: Command) -> None:
    _, bundle = board("auto", ORIN, "10.3.0", 2)
    assert edge_trt("build", bundle, "--untested", *OFF).status == 0
    shutil.move(bundle, bundle.with_suffix(".kept"))
    jetson, _ = board("auto", NX, "10.3.0", 2)
    shutil.rmtree(bundle)
    shutil.move(bundle.with_suffix(".kept"), bundle)
    assert edge_trt("build", bundle, "--untested").status == 0
    assert configuration(jetson)[1] == {}
    assert set(compiler.load(bundle).placement["targets"]) == {TARGET}


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this machine is no Jetson."""
    for module in ("edge_trt.engines.board", "edge_trt.placement.native"):
        monkeypatch.setattr(f"{module}.this_board", lambda: None)


@pytest.mark.parametrize(
    ("built", "planned", "kept"),
    [
        (OFF, (*AUTO, "--dla-objective", "throughput"), False),
        ((), OFF, False),
        ((), (*AUTO, "--dla-objective", "throughput", "--dla-mode", "MAXN"), False),
        (("--dla", "only"), OFF, False),
        ((), (*AUTO, "--dla-objective", "throughput"), True),
        (OFF, OFF, True),
        ((), (), True),
    ],
)
def test_engines_of_another_plan_leave_the_bundle(
    board: Board, edge_trt: Command, monkeypatch: pytest.MonkeyPatch, built: Sequence[str],
    planned: Sequence[str], kept: bool,
) -> None:  # fmt: skip
    """They were shown as what became of the new plan, with nothing that is not as planned."""
    _, bundle = board("auto", ORIN, "10.3.0", 2)
    assert edge_trt("build", bundle, "--untested", *built).status == 0
    before = [e for e in open_bundle(bundle).manifest.engines if e.target == TARGET]
    elsewhere(monkeypatch)
    done = edge_trt("build", bundle, "--untested", *planned)
    assert done.status == 0, done.err
    after = [e for e in open_bundle(bundle).manifest.engines if e.target == TARGET]
    assert after == (before if kept else [])
    for told in (
        f"Note: no engine for {TARGET}: TensorRT measures kernels",
        f"the engines for {TARGET} were built by another plan, and are left out",
    ):
        assert flat(done.out).count(told) == (not kept)
    shown = flat(edge_trt("inspect", bundle, "--placement").out)
    if planned[:2] == AUTO:
        rows = shown.partition(f"Engines for {TARGET}")[2]
        assert (" built " in rows.replace("not built yet", "")) is kept


def test_engines_stay_where_a_new_plan_fails(
    board: Board, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = board("auto", ORIN, "10.3.0", 2)
    assert edge_trt("build", path, "--untested").status == 0
    bundle = compiler.load(path)
    before = (list(bundle.plans), bundle.placement)
    monkeypatch.setattr(compiler.pipeline, "build_plans", MagicMock(side_effect=OSError))
    options = compiler.CompileOptions(target=TARGET, dla="off")
    with pytest.raises(OSError):
        compiler.pipeline.add_engines(bundle, options)
    assert (bundle.plans, bundle.placement) == before


def test_a_build_that_fails_leaves_the_placement(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson, path = board("auto", NX, "10.3.0", 2)
    bundle = compiler.load(path)
    before = dict(bundle.placement)
    jetson.interrupt_at = 0
    with pytest.raises(KeyboardInterrupt):
        compiler.pipeline.add_engines(bundle, compiler.CompileOptions(target="orin-nx-16gb"))
    assert bundle.placement == before
