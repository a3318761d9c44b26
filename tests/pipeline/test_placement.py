# SPDX-License-Identifier: Apache-2.0
"""`dla=` from `compile` to the file in the bundle, and to the tables of the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.placement.assignment import Assignment
from edge_trt_runtime import run_self_test
from tests.cli.conftest import Command
from tests.pipeline.conftest import command

__all__ = ["command"]

IMAGE = torch.zeros(1, 16, 64, 64)
SAMPLES = np.random.default_rng(0).standard_normal((4, 16, 64, 64)).astype(np.float32)
BOARD = "agx-orin-64gb"

pytestmark = pytest.mark.filterwarnings("ignore:.*samples? set the ranges.*")


class Net(nn.Module):
    """Convolutions and a classifier; GELU stands between them where it is asked for."""

    def __init__(self, *, gelu: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(16, 64, 3, padding=1),
            nn.Hardswish(),
            nn.GELU() if gelu else nn.Identity(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def build(model: nn.Module, **options: Any) -> edge_trt.Bundle:
    given = {"target": ("cpu", BOARD), "precision": "int8", "calibration": SAMPLES, "dla": "only"}
    return edge_trt.compile(model.eval(), (IMAGE,), **(given | options))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(Net()).save(tmp_path_factory.mktemp("placed") / "m.edge")


def test_a_model_that_is_rewritten_for_dla_answers_as_before(bundle: Path) -> None:
    loaded = edge_trt.load(bundle)
    plan = loaded.placement["targets"][BOARD]
    assert sorted(set(plan["rewritten"].values())) == ["hard_sigmoid", "linear", "reduce"]
    (network,) = plan["networks"]
    assert network["chosen"] == "DLA only"
    assert network["layers"]["gpu"] == 1  # flattens the result
    assert [r["rule"] for r in network["refused"]] == ["SH-RANK"]
    assignment = Assignment.from_dict(network["assignment"])
    assert all(not region.fp16 for region in assignment.regions)
    results = run_self_test(bundle)
    assert results
    assert all(result.passed for result in results)


def test_cpu_has_no_placement(bundle: Path) -> None:
    told = json.loads((bundle / "placement.json").read_text())["targets"]["cpu"]
    assert told["networks"] == []
    assert told["reason"] == "target cpu has no DLA: everything runs where it always does"


def test_inspect_shows_the_placement(command: Command, bundle: Path) -> None:
    out = command("inspect", bundle, "--placement").out
    for text in (
        "DLA on cpu: none", f"Placement for {BOARD}", "DLA only, two cores in turn",
        "Estimates for block0", "30W (planned)", "15W", "all GPU", "as asked", "Rewritten for DLA",
        "SH-RANK", "keep four dimensions up to the head", "All figures are estimates",
        "Not confirmed for this board: the power mode it starts in, its idle power",
    ):  # fmt: skip
        assert text in out


def test_inspect_names_modules_of_regions(command: Command, bundle: Path) -> None:
    out = " ".join(command("inspect", bundle, "--placement").out.split())
    assert "block0 1 dla:0, dla:1" in out
    assert "body.0 ... head" in out


def test_inspect_gives_the_placement_to_programs(command: Command, bundle: Path) -> None:
    told = json.loads(command("inspect", bundle, "--placement", "--json").out)
    assert told == json.loads((bundle / "placement.json").read_text())
    refused = command("inspect", bundle, "--network", "--json")
    assert refused.status == 1
    assert "--json and --network don't go together" in refused.err


def test_inspect_shows_devices_beside_the_network(command: Command, bundle: Path) -> None:
    lines = command("inspect", bundle, "--network").out.splitlines()
    assert lines[0].startswith(f"{BOARD}  network block0(")
    assert any(line.startswith("dla:0, dla:1") and "Convolution[" in line for line in lines)
    assert any(line.startswith("gpu ") and "Shuffle[" in line for line in lines)


def test_inspect_of_a_bundle_without_a_placement(command: Command, tmp_path: Path) -> None:
    plain = edge_trt.compile(Net().eval(), (IMAGE,), self_test=0).save(tmp_path / "m.edge")
    done = command("inspect", plain, "--placement")
    assert done.status == 1
    assert "was built without a placement on DLA" in done.err
    assert "--dla auto" in done.err


def test_a_damaged_placement_is_named(command: Command, bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy.edge"))
    file = copy / "placement.json"
    file.write_bytes(b"{" * file.stat().st_size)
    done = command("inspect", copy, "--placement")
    assert done.status == 1
    assert "placement.json" in done.err
    assert "malformed" in done.err


def test_only_stops_before_the_calibration() -> None:
    def data():  # type: ignore[no-untyped-def]
        raise AssertionError("calibrated")

    with pytest.raises(edge_trt.OptionError) as caught:
        build(Net(gelu=True), calibration=data)
    text = str(caught.value)
    assert "1 layer is refused (1 by A-TYPE)" in text
    assert "body.2" in text
    assert "Activation has function GELU_ERF, allowed is RELU" in text
    assert caught.value.option == "dla"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": "orin-nano-8gb"}, "Jetson Orin Nano 8GB has no DLA"),
        ({"target": "cpu"}, "target cpu has no DLA"),
        ({"precision": "fp32", "calibration": None}, "a DLA computes in int8 or fp16"),
        ({"dla_mode": "31W", "dla": "auto"}, "power mode of agx-orin-64gb '31W'"),
    ],
)
def test_what_no_target_can_have_is_refused_first(options: dict[str, Any], text: str) -> None:
    with pytest.raises(edge_trt.OptionError, match=text):
        build(nn.Identity(), **options)


def test_auto_says_why_and_goes_on() -> None:
    found = build(Net(gelu=True), dla="auto", dla_mode="15W")
    (network,) = found.placement["targets"][BOARD]["networks"]
    assert "A-TYPE" in {refused["rule"] for refused in network["refused"]}
    last = network["modes"][0]["alternatives"][-1]
    assert last["name"] == "DLA only"
    assert "1 layer is refused (1 by A-TYPE)" in last["why"]


def test_a_finished_bundle_is_placed_for_another_board(bundle: Path, tmp_path: Path) -> None:
    loaded = edge_trt.load(bundle)
    options = loaded.options.__class__(target="orin-nx-16gb", dla="auto")
    edge_trt.pipeline.add_engines(loaded, options)
    again = edge_trt.load(loaded.save(tmp_path / "m.edge"))
    assert set(again.placement["targets"]) == {"cpu", BOARD, "orin-nx-16gb"}
    assert again.placement["targets"]["orin-nx-16gb"]["mode"] == "15W"


def test_a_finished_bundle_is_placed_anew_for_another_mode(bundle: Path, tmp_path: Path) -> None:
    loaded = edge_trt.load(bundle)
    before = loaded.placement["targets"][BOARD]
    options = loaded.options.__class__
    edge_trt.pipeline.add_engines(loaded, options(target=BOARD, dla="only"))
    assert loaded.placement["targets"][BOARD] is before
    edge_trt.pipeline.add_engines(
        loaded, options(target=BOARD, dla="auto", dla_mode="MAXN", dla_objective="throughput")
    )
    after = loaded.placement["targets"][BOARD]
    assert (after["policy"], after["mode"]) == ("auto", "MAXN")
    assert after["rewritten"] == before["rewritten"]
    again = edge_trt.load(loaded.save(tmp_path / "m.edge"))
    assert again.placement["targets"][BOARD] == after


@pytest.mark.parametrize("flags", [("--dla", "auto"), ("--dla", "only"), ("--dla", "off")])
def test_a_host_places_anew_for_the_boards_of_the_bundle(
    bundle: Path, command: Command, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    path = edge_trt.load(bundle).save(tmp_path / "m.edge")
    edge_trt.pipeline.add_engines(
        loaded := edge_trt.load(path), loaded.options.__class__(target="orin-nx-16gb", dla="auto")
    )
    loaded.save(path)
    before = edge_trt.load(path)
    more = () if "off" in flags else ("--dla-objective", "throughput", "--dla-mode", "MAXN")
    done = command("build", path, *flags, *more)
    assert done.status == 0, done.err
    after = edge_trt.load(path)
    assert after.placement["targets"].keys() == before.placement["targets"].keys()
    assert after.placement["targets"]["cpu"] == before.placement["targets"]["cpu"]
    for board in (BOARD, "orin-nx-16gb"):
        found = after.placement["targets"][board]
        wanted = (flags[1], more[1] if more else "latency", more[3] if more else "")
        assert (found["policy"], found["objective"], found["mode"]) == wanted
        assert done.out.count(f"no engine for {board}") == 1
    assert (path / "engines/cpu").is_dir()


@pytest.mark.parametrize("policy", ["auto", "only", "off"])
def test_a_bundle_for_no_board_has_no_placement_without_a_target(
    command: Command, tmp_path: Path, policy: str
) -> None:
    path = build(Net(), dla=None, target="cpu", self_test=0).save(tmp_path / "m.edge")
    before = (path / "manifest.json").read_bytes()
    done = command("build", path, "--dla", policy)
    assert done.status == 1
    assert "--dla is about a board" in done.err
    assert "was built for none: add --target" in done.err
    assert (path / "manifest.json").read_bytes() == before


def test_a_sparse_bundle_says_why_nothing_of_it_is_for_dla(
    command: Command, tmp_path: Path
) -> None:
    sparse = build(Net(), dla=None, target="cpu", self_test=0).save(tmp_path / "m.edge")
    done = command("build", sparse, "--target", BOARD, "--dla", "auto", "--dla-mode", "15W")
    assert done.status == 0
    assert "2 convolutions lack an int8 scale" in done.out
    assert "build from the model with --dla" in done.out
    placed = json.loads((sparse / "placement.json").read_text())["targets"][BOARD]
    assert placed["networks"][0]["layers"]["dla:0"] == 0


def test_a_finished_bundle_is_not_rewritten(command: Command, tmp_path: Path) -> None:
    given: dict[str, Any] = {"dla": None, "target": "cpu", "self_test": 0, "int8_scheme": "dense"}
    dense = build(Net(), **given).save(tmp_path / "m.edge")
    done = command("build", dense, "--target", BOARD, "--dla", "auto")
    assert done.status == 0
    assert "4 layers stay as they are that a DLA may take in another form" in done.out
    assert json.loads((dense / "placement.json").read_text())["targets"][BOARD]["rewritten"] == {}


def test_ranges_of_a_calibration_for_dla_fit_the_build(tmp_path: Path) -> None:
    options = {"target": BOARD, "dla": "only"}
    ranges = edge_trt.calibrate(Net().eval(), (IMAGE,), calibration=SAMPLES, **options)
    found = build(Net(), calibration=None, ranges=ranges, self_test=0, **options)
    assert found.placement["targets"][BOARD]["networks"][0]["chosen"] == "DLA only"


def test_a_tuned_bundle_is_placed(tmp_path: Path) -> None:
    def answer(run: Any) -> float:
        return float(np.abs(np.asarray(run(SAMPLES[:1]))).mean())

    path = tmp_path / "m.edge"
    given = {"calibration": SAMPLES, "target": BOARD, "dla": "only"}
    edge_trt.tune(Net().eval(), (IMAGE,), path, drop=1.0, metric=answer, **given)
    (network,) = edge_trt.load(path).placement["targets"][BOARD]["networks"]
    assert network["chosen"] == "DLA only"


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_dry_run_foresees_the_placement_of_the_build(precision: str) -> None:
    more = {} if precision == "int8" else {"calibration": None}
    given = {"precision": precision, "dla": "auto", "dla_objective": "throughput", **more}
    foreseen = build(Net(), **(given | {"dryrun": True, "calibration": None}))
    assert bool(foreseen.placement["targets"][BOARD]["assumes"]) is (precision == "int8")
    built = build(Net(), **given)
    assert built.placement["targets"][BOARD]["assumes"] == ""
    plans = [b.placement["targets"][BOARD]["networks"] for b in (foreseen, built)]
    for plan in plans:
        assert plan[0]["layers"]["dla:0"] > 0
    assert plans[0][0]["assignment"]["regions"] == plans[1][0]["assignment"]["regions"]
    assert plans[0][0]["modes"] == plans[1][0]["modes"]


def test_a_dry_run_of_only_gives_the_reason() -> None:
    with pytest.raises(edge_trt.OptionError, match="1 layer is refused"):
        build(Net(gelu=True), calibration=None, dryrun=True)


def test_a_dry_run_ends_with_the_placement(command: Command, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "import torch\nfrom tests.pipeline.test_placement import IMAGE, Net\n"
        "def create():\n    return Net().eval(), (IMAGE,)\n"
    )
    flags = ["--precision", "int8", "--dla", "auto", "--target", BOARD, "--dryrun"]
    done = command("build", f"{tmp_path / 'm.py'}:create", *flags)
    assert done.status == 0, done.err
    out = " ".join(done.out.split())
    for text in (
        f"Placement for {BOARD}", "Nothing was calibrated; taken for granted: every tensor has",
        f"Layers of {BOARD}", "body.0", "Nothing was built or written (--dryrun).",
    ):  # fmt: skip
        assert text in out
