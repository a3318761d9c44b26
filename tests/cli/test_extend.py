# SPDX-License-Identifier: Apache-2.0
"""`edge_trt build BUNDLE` on a Jetson that is made up: its files, its GPU and its TensorRT.

TensorRT 10.3's API is judged call by call, and what the board computes is a function of numpy. What
this can't show is a kernel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

import edge_trt as compiler
from edge_trt.bundle.kept_folder import kept_folder
from edge_trt.engines import board, room
from edge_trt.errors import BuildError, EdgeTrtError, OptionError
from edge_trt_jetson.checks import Check
from edge_trt_jetson.detect import detect
from edge_trt_runtime.bundle import open_bundle
from edge_trt_runtime.errors import EngineError
from tests.cli.conftest import Command
from tests.cli.made_up_jetson import TARGET, Jetson, make_jetson
from tests.jetson.trees import TREES, plant
from tests.runtime.tensorrt.conftest import machine  # noqa: F401  (a fixture)


class Cut(nn.Module):
    """Two blocks with an operator between them that TensorRT does not get."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.sin(torch.relu(x)))


@pytest.fixture
def portable(tmp_path: Path) -> Path:
    bundle = compiler.compile(
        Cut().eval(), (torch.linspace(-1, 1, 12).reshape(3, 4),), target=TARGET,
        fallback_ops="aten.sin", min_block_size=1,
    )  # fmt: skip
    return bundle.save(tmp_path / "model.edge")


@pytest.fixture
def jetson(
    portable: Path,
    tmp_path: Path,
    machine: Callable[..., Any],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Jetson:
    return make_jetson(portable, tmp_path, machine, monkeypatch)


def test_engines_of_this_board_without_a_target(
    jetson: Jetson, portable: Path, tmp_path: Path, edge_trt: Command
) -> None:
    done = edge_trt("build", portable)
    assert done.status == 0, done.err
    assert jetson.built == ["block0", "block1"]
    assert "enqueue" in jetson.trt.device.counts  # the recorded cases ran on what was built
    engines = open_bundle(portable).manifest.engines
    assert [(e.segment, e.target, e.flavour) for e in engines] == [
        ("block0", TARGET, "tensorrt"),
        ("block1", TARGET, "tensorrt"),
    ]
    assert engines[0].details["compute_capability"] == "8.7"
    assert engines[0].details["timing_cache"] == "new"
    assert engines[1].details["timing_cache"] == "reused"  # shared by all builds of this user
    assert os.listdir(tmp_path / "cache/edge_trt") == ["tensorrt-10.3.0-sm87.timing"]
    assert {p.name for p in tmp_path.iterdir()} == {"model.edge", "root", "cache"}
    assert compiler.load(portable).missing == {}


@pytest.mark.parametrize("target", [[], ["--target", TARGET]])
def test_a_slow_power_mode_is_told(
    jetson: Jetson, portable: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch,
    target: list[str],
) -> None:  # fmt: skip
    slow = Check("power mode", "ok", "15W (id 0)", "speed", "MAXN (id 2) is faster")
    monkeypatch.setattr("edge_trt_jetson.board_checks.check_power_mode", lambda root: slow)
    told = "warning: power mode: 15W (id 0); MAXN (id 2) is faster"
    assert told in edge_trt("build", portable, *target).err
    assert told not in edge_trt("build", portable, "--target", "cpu").err


def test_what_is_found_is_told_before_it_starts(
    jetson: Jetson, portable: Path, edge_trt: Command
) -> None:
    jetson.interrupt_at = 0
    done = edge_trt("build", portable)
    assert done.status == 130
    board, tensorrt, power, memory, disk = done.out.splitlines()
    assert board == "board: Jetson AGX Orin 64GB (L4T 36.4.4, JetPack 6.2.1)"
    assert tensorrt == "TensorRT: 10.3.0, regime strong, no DLA"
    assert power.startswith("power mode: ")
    assert "; clocks " in power
    assert re.fullmatch(
        r"memory: \S+ .B free; needed are 0 bytes for weights and about 1\.1 GB for TensorRT .*",
        memory,
    )
    assert re.fullmatch(r"disk: \S+ .B free; the plans need about 0 bytes", disk)
    assert edge_trt("build", portable, "--quiet").out == ""
    jetson.interrupt_at = None
    assert "board: " not in edge_trt("build", portable, "--target", "cpu").out


def test_wrong_results_are_not_written(jetson: Jetson, portable: Path, edge_trt: Command) -> None:
    before = (portable / "manifest.json").read_bytes()
    jetson.function = "twice"
    done = edge_trt("build", portable)
    assert done.status == 1
    assert "fail 2 of the recorded cases" in done.err
    assert "--untested" in done.err
    assert "Traceback" not in done.err
    assert (portable / "manifest.json").read_bytes() == before
    assert edge_trt("build", portable).status == 1  # built again, not taken from the last time
    assert len(jetson.built) == 4
    assert edge_trt("build", portable, "--untested").status == 0
    assert len(open_bundle(portable).manifest.engines) == 2
    assert edge_trt("verify", portable, "--device", "cuda:0").status == 1


@pytest.mark.parametrize("least", [0, 8 << 20], ids=["while it builds", "before"])
def test_damaged_weights_build_nothing(
    jetson: Jetson,
    portable: Path,
    edge_trt: Command,
    monkeypatch: pytest.MonkeyPatch,
    least: int,
) -> None:
    monkeypatch.setattr("edge_trt.bundle.reader.LARGE", least)
    weights = portable / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xaa")
    before = {path: path.read_bytes() for path in portable.rglob("*") if path.is_file()}
    done = edge_trt("build", portable)
    assert done.status == 1
    assert "weights.safetensors" in done.err
    assert "was changed after the build" in done.err
    assert " kept in" not in done.err
    assert not portable.with_name("model.edge.plans").exists()
    assert {path: path.read_bytes() for path in portable.rglob("*") if path.is_file()} == before


def test_an_interrupted_build_goes_on(jetson: Jetson, portable: Path, edge_trt: Command) -> None:
    jetson.interrupt_at = 1
    done = edge_trt("build", portable)
    assert done.status == 130
    assert "1 engine is kept in" in done.err
    assert portable.with_name("model.edge.plans").is_dir()
    jetson.interrupt_at = None
    assert edge_trt("build", portable).status == 0
    assert jetson.built == ["block0", "block1"]
    assert not portable.with_name("model.edge.plans").exists()


def test_a_kept_engine_that_is_damaged_is_built_again(
    jetson: Jetson, portable: Path, edge_trt: Command
) -> None:
    jetson.interrupt_at = 1
    edge_trt("build", portable)
    (plan,) = portable.with_name("model.edge.plans").glob("*.plan")
    plan.write_bytes(plan.read_bytes()[:-1])
    jetson.interrupt_at = None
    assert edge_trt("build", portable).status == 0
    assert jetson.built == ["block0", "block0", "block1"]


def test_another_board_is_told(jetson: Jetson, portable: Path, edge_trt: Command) -> None:
    done = edge_trt("build", portable, "--target", "orin-nx-16gb")
    assert done.status == 0
    assert "no engine for orin-nx-16gb: TensorRT measures kernels" in done.out
    assert f"and this is {TARGET}" in done.out
    assert jetson.built == []


def test_engines_that_can_not_run_here_say_so(
    jetson: Jetson, portable: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = MagicMock(side_effect=EngineError("PyCUDA is not installed"))
    monkeypatch.setattr("edge_trt.cli.tested.open_device", absent)
    done = edge_trt("build", portable)
    assert done.status == 0
    assert "board: Jetson AGX Orin 64GB" in done.out
    assert "Note: the engines have not run yet: PyCUDA is not installed" in done.out
    assert len(open_bundle(portable).manifest.engines) == 2


def test_a_board_without_tensorrt(
    jetson: Jetson, portable: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    done = edge_trt("build", portable)
    assert done.status == 1
    assert "tensorrt is not installed here" in done.err
    assert "apt-get install" in done.err


def test_a_build_beside_another_waits_its_turn(portable: Path, edge_trt: Command) -> None:
    with kept_folder(portable):
        done = edge_trt("build", portable, "--target", "cpu")
    assert done.status == 1
    assert "are being built by another process" in done.err
    assert edge_trt("build", portable, "--target", "cpu").status == 0


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ("xavier nx devkit, JetPack 5.1.2", "xavier-nx-8gb .* can't be a target"),
        (
            next(tree.name for tree in TREES if "orin-nano-8gb, orin-nx-8gb" in tree.warning),
            "one of orin-nano-8gb, orin-nx-8gb",
        ),
    ],
)
def test_a_jetson_that_is_no_target(
    tree: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = detect(plant(next(t for t in TREES if t.name == tree), tmp_path))
    monkeypatch.setattr(board, "this_board", lambda: found)
    with pytest.raises(OptionError, match=problem):
        board.native_target()


@pytest.mark.parametrize(
    ("machine_is", "gpu", "here"),
    [("aarch64", (8, 7), True), ("aarch64", (7, 2), False), ("x86_64", (8, 7), False)],
)
def test_a_container_without_the_files_of_a_board(
    machine_is: str, gpu: tuple[int, int], here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "this_board", lambda: None)
    monkeypatch.setattr("platform.machine", lambda: machine_is)
    monkeypatch.setattr(board, "open_device", lambda: MagicMock(capability=gpu))
    assert (board.why_not_here(TARGET) == "") == here


TOTAL = "MemTotal: 16000000 kB\n"


def test_memory_and_disk(portable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = compiler.load(portable).networks
    monkeypatch.setattr(room, "_weights", MagicMock(return_value=2 << 30))
    meminfo = tmp_path / "proc/meminfo"
    meminfo.parent.mkdir()
    told: list[object] = []
    for available, swap in ((9 << 20, 0), (3 << 20, 3 << 20), (4 << 20, 1 << 18)):
        meminfo.write_text(
            f"{TOTAL}MemAvailable: {available} kB\nSwapTotal: {swap} kB\nSwapFree: {swap} kB\n"
        )
        told.append(room.check_room(networks, None, tmp_path))
    assert told[:2] == [[], []]
    assert "4.6 GB of memory are free, and the build needs 4.3 GB" in str(told[2])
    meminfo.write_text(f"{TOTAL}MemAvailable: 4000000 kB\n")
    with pytest.raises(BuildError, match=r"4\.1 GB of memory are free, .* 4\.3 GB for weights"):
        room.check_room(networks, None, tmp_path)
    monkeypatch.setattr("shutil.disk_usage", MagicMock(return_value=MagicMock(free=1 << 30)))
    with pytest.raises(BuildError, match=r"plans need about 8\.6 GB on the disk, and 1\.1 GB"):
        room.check_room([*networks, *networks], tmp_path / "x", tmp_path)


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(EdgeTrtError, match="can't be written"), kept_folder(tmp_path / "a/b"):
        pass


def test_a_model_that_is_compiled_on_the_board_is_tested_too(
    jetson: Jetson, tmp_path: Path, edge_trt: Command
) -> None:
    code = "from tests.cli.test_extend import Cut\ndef create():\n    return Cut().eval()\n"
    (tmp_path / "model.py").write_text(code)
    output = tmp_path / "new.edge"
    arguments = [
        "build", f"{tmp_path / 'model.py'}:create", "--input", "x=3x4", "--target", TARGET,
        "--fallback-ops", "aten.sin", "--min-block-size", "1", "-o", output,
    ]  # fmt: skip
    jetson.function = "twice"
    done = edge_trt(*arguments)
    assert done.status == 1
    assert "fail 2 of the recorded cases" in done.err
    assert not output.exists()
    jetson.function = "relu"
    assert edge_trt(*arguments).status == 0
    assert len(open_bundle(output).manifest.engines) == 2
