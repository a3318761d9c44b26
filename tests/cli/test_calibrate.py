# SPDX-License-Identifier: Apache-2.0
"""`edge_trt calibrate`, `build --precision int8` and `inspect --quantization` as they are typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_trt_calibration import Cache, Ranges
from tests.cli.conftest import Command

MODEL = """
import os
import signal
import numpy as np
import torch
from torch import nn
import edge_trt

def create():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    return model, (edge_trt.Input(("b", 3, 8, 8), min=1, opt=2, max=8, name="image"),)

def images():
    yield from np.random.default_rng(0).standard_normal((16, 8, 3, 8, 8)).astype(np.float32)

def spread(run):
    return float(run(next(images())).std())

def pressed(*signals, process=os.getpid):
    for number, batch in enumerate(images()):
        if number == 3:
            for each in signals:
                os.kill(process(), each)
        yield batch

def interrupted():
    return pressed(signal.SIGINT)

def twice():
    return pressed(signal.SIGINT, signal.SIGINT)

def terminated():
    return pressed(signal.SIGTERM)

def command_interrupted():
    return pressed(signal.SIGINT, process=os.getppid)

def command_terminated():
    return pressed(signal.SIGTERM, process=os.getppid)

def failing():
    yield from list(images())[:3]
    raise ValueError("no more")

def holes():
    yield from list(images())[:3]
    yield np.full((8, 3, 8, 8), np.nan, np.float32)

def broken(run):
    return run(np.zeros((1, 3, 8, 9), np.float32))
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text(MODEL)
    np.save("images.npy", np.random.default_rng(1).standard_normal((128, 3, 8, 8), np.float32))
    return "m.py:create"


def _calibrate(edge_trt: Command, model: str, output: str, *more: str) -> str:
    done = edge_trt("calibrate", model, "--calibration", "m.py:images", "-o", output, *more)
    assert done.status == 0, done.err
    return done.out


def test_ranges_are_written_and_shown(edge_trt: Command, model: str) -> None:
    out = _calibrate(edge_trt, model, "ranges.json")
    assert "ranges.json: ranges of 2 tensors by mse, from 128 samples" in out
    assert "image" in out
    ranges = Ranges.load("ranges.json")
    assert next(iter(ranges.tensors)) == "image"
    assert ranges.source.samples == 128


def test_build_inspect_and_plot(edge_trt: Command, model: str) -> None:
    _calibrate(edge_trt, model, "ranges.json", "--quiet")
    arguments = ["build", model, "--precision", "int8", "--ranges", "ranges.json"]
    arguments += ["--calibration", "images.npy", "--metric", "m.py:spread", "-o", "m.edge"]
    done = edge_trt(*arguments)
    assert done.status == 0, done.err
    assert "int8 against the model" in done.out
    assert "spread" in done.out
    done = edge_trt("inspect", "m.edge", "--quantization", "--plot", "plots")
    assert done.status == 0, done.err
    assert "Layers in int8, those that hurt most first" in done.out
    assert "2 histograms in plots" in done.out
    pictures = sorted(Path("plots").iterdir())
    assert pictures[0].name == "image.png"
    with Image.open(pictures[0]) as picture:
        colours = picture.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert {(90, 130, 180), (200, 40, 40)} <= {colour for _, colour in colours}
    assert edge_trt("verify", "m.edge").status == 0


@pytest.mark.filterwarnings("default::edge_trt.EdgeTrtWarning")
@pytest.mark.parametrize(
    ("data", "status", "samples", "said"),
    [
        ("interrupted", 130, 32, "interrupted: these are the ranges of the first 32 samples"),
        ("twice", 130, 32, "interrupted: these are the ranges of the first 32 samples"),
        ("terminated", 143, 32, "interrupted: these are the ranges of the first 32 samples"),
        ("failing", 1, 24, "batch 3 of the calibration data could not be made"),
        ("failing", 1, 24, "failed: these are the ranges of the first 24 samples, in part.json"),
        ("holes", 1, 24, "batch 3: image contains NaN"),
    ],
)
def test_a_pass_that_ends_early_leaves_what_it_has(
    edge_trt: Command, model: str, data: str, status: int, samples: int, said: str
) -> None:
    done = edge_trt("calibrate", model, "--calibration", f"m.py:{data}", "-o", "part.json")
    assert done.status == status, done.err
    assert said in done.err
    assert Ranges.load("part.json").source.samples == samples


@pytest.mark.parametrize(
    ("data", "status", "samples"),
    [
        # The process that calibrates may finish the batches that it has at hand.
        ("command_interrupted", 130, (24, 128)),
        ("command_terminated", 143, (24, 128)),
        ("interrupted", 130, (32, 32)),
        ("holes", 1, (24, 24)),
    ],
)
def test_a_build_that_ends_in_the_calibration_leaves_it(
    edge_trt: Command, model: str, data: str, status: int, samples: tuple[int, int]
) -> None:
    common = ["build", model, "--precision", "int8", "-o", "m.edge"]
    done = edge_trt(*common, "--calibration", f"m.py:{data}")
    assert done.status == status, done.err
    assert "--ranges m.edge.ranges.json goes on from it" in done.err
    low, high = samples
    assert low <= Ranges.load("m.edge.ranges.json").source.samples <= high
    assert not Path("m.edge").exists()


@pytest.mark.filterwarnings("ignore:.*samples set the ranges")
def test_merge_is_one_pass(edge_trt: Command, model: str) -> None:
    images = np.load("images.npy")
    names: list[str] = []
    for i, part in enumerate([images[:40], images[40:], images]):
        np.save(f"{i}.npy", part)
        names.append(f"{i}.json")
        done = edge_trt("calibrate", model, "--calibration", f"{i}.npy", "-o", names[-1], "--quiet")
        assert done.status == 0, done.err
    done = edge_trt("calibrate", "merge", *names[:2], "-o", "all.json")
    assert done.status == 0, done.err
    assert Path("all.json").read_bytes() == Path(names[2]).read_bytes()


def test_merging_ranges_of_other_models_names_files_and_tensors(
    edge_trt: Command, model: str
) -> None:
    Path("o.py").write_text(MODEL.replace("nn.ReLU()", "nn.Conv2d(4, 4, 1)"))
    _calibrate(edge_trt, model, "a.json")
    _calibrate(edge_trt, "o.py:create", "b.json")
    done = edge_trt("calibrate", "merge", "a.json", "b.json", "-o", "c.json")
    assert done.status == 1
    assert "error: a.json and b.json belong to different models: one alone has " in done.err


def test_another_method_is_a_matter_of_the_histograms(edge_trt: Command, model: str) -> None:
    _calibrate(edge_trt, model, "a.json", "--calibration-method", "max")
    _calibrate(edge_trt, model, "b.json")
    assert Ranges.load("b.json").with_method("max").tensors == Ranges.load("a.json").tensors


def test_export(edge_trt: Command, model: str) -> None:
    _calibrate(edge_trt, model, "ranges.json", "--quiet")
    for output, more in (("calib.cache", ["--tensorrt", "10.3.0"]), ("scales.json", [])):
        done = edge_trt("calibrate", "export", "ranges.json", "-o", output, *more)
        assert done.status == 0, done.err
        done = edge_trt(
            "build", model, "--precision", "int8", "--ranges", output, "-o", "m.edge", "--quiet"
        )
        assert done.status == 0, done.err
        done = edge_trt("calibrate", "merge", "ranges.json", output, "-o", "both.json")
        assert done.status == 1
        assert f"{output} holds scales alone, as a table or a calibration cache does" in done.err
    assert Cache.parse(Path("calib.cache").read_text()).version == "100300"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["calibrate", "m.py:create", "-o", "r.json"], "needs sample data"),
        (["build", "m.py:create", "-o", "m.edge", "--precision", "int8"], "needs sample data"),
        (["calibrate", "m.py:create", "x", "-o", "r.json", "--calibration", "x.npy"], "too many"),
        (["calibrate", "merge", "a.json", "-o", "r.json"], "merging takes two files"),
        (["calibrate", "merge", "a.json", "b.json", "-o", "r.json"], "a.json can't be read"),
        (
            ["calibrate", "m.py:create", "--calibration", "images.npy", "-o", "no/r.json"],
            "there is no folder no: make it first",
        ),
        (["calibrate", "m.py:create", "--calibration", "images.npy", "-o", "."], ". is a folder"),
        (["calibrate", "export", "a.json", "-o", "r.json"], "a.json can't be read"),
        (["calibrate", "export", "m.py", "-o", "r.json"], "m.py: neither JSON nor"),
        (
            ["build", "m.py:create", "-o", "m.edge", "--precision", "int8",
             "--calibration", "images.npy", "--metric", "m.py:broken"],
            "image has shape [1, 3, 8, 9], the model takes float32[1..8, 3, 8, 8]",
        ),
        (
            ["build", "m.py:create", "-o", "m.edge", "--calibration", "images.npy"],
            "calibration is about int8, and precision is 'fp32'",
        ),
    ],
)  # fmt: skip
def test_refusals_are_one_line_and_leave_nothing(
    edge_trt: Command, model: str, arguments: list[str], message: str
) -> None:
    done = edge_trt(*arguments)
    assert done.status == 1
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not Path("r.json").exists()
    assert not Path("m.edge").exists()


def test_a_failed_metric_leaves_the_calibration(edge_trt: Command, model: str) -> None:
    common = ["build", model, "--precision", "int8", "-o", "m.edge"]
    done = edge_trt(*common, "--calibration", "m.py:images", "--metric", "m.py:broken")
    assert done.status == 1
    assert "--ranges m.edge.ranges.json goes on from it" in done.err
    assert Ranges.load("m.edge.ranges.json").source.samples == 128
    done = edge_trt(*common, "--ranges", "m.edge.ranges.json", "--metric", "m.py:spread")
    assert done.status == 0, done.err
    assert Path("m.edge.ranges.json").exists()  # an input, which is not ours to delete
    Path("m.edge.ranges.json").unlink()
    done = edge_trt(*common, "--calibration", "m.py:images")
    assert done.status == 0, done.err
    assert not Path("m.edge.ranges.json").exists()


def test_tune(edge_trt: Command, model: str) -> None:
    common = ["tune", model, "--calibration", "m.py:images", "--metric", "m.py:spread"]
    done = edge_trt(*common, "--drop", "1", "-o", "best.edge")
    assert done.status == 0, done.err
    assert "best.edge: 2 layers in int8 holds" in done.out
    assert edge_trt("verify", "best.edge").status == 0
    for more, message in (
        (["--drop", "x"], "'x' is no number: say --drop 0.5"),
        (["--drop", "-1"], "a drop of -1.0 can't be held"),
    ):
        done = edge_trt(*common, *more, "-o", "other.edge")
        assert (done.status, Path("other.edge").exists()) == (1, False)
        assert message in done.err


def test_what_is_not_quantized_says_so(edge_trt: Command, bundle: Path) -> None:
    done = edge_trt("inspect", bundle, "--quantization")
    assert done.status == 1
    assert "is fp32, so nothing in it is quantized: build it with --precision int8" in done.err
