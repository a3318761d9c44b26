# SPDX-License-Identifier: Apache-2.0
"""``edge_trt inspect``, ``verify`` and ``run`` on a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli import bundles
from tests.cli.conftest import Command


def test_inspect(edge_trt: Command, bundle: Path) -> None:
    done = edge_trt("inspect", bundle)
    assert done.status == 0
    text = " ".join(done.out.split())
    for part in (
        "image float32 [n, 3, 8, 8] n: 1..4",
        "scores float32 [n, 3]",
        "main network gpu image main.0 1: 1 Reduce",
        "main cpu onnx engines/cpu/main.onnx",
        "Coverage: 75.0% of 4 calls, 100.0% of 2.5 MFLOP run in TensorRT",
        "main tensorrt 3 2.5 MFLOP 7",
        "aten.nonzero.default head model.py:12 no such layer",
        "softmax sums of many small numbers",
        "Compiled in 1.50 s (capture 0.50, engines 1.00)",
        "Note: built for nobody",
    ):
        assert part in text


def test_inspect_says_which_engine_is_missing(edge_trt: Command, tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "b.edge", targets=("cpu", "agx-orin-64gb"))
    assert "No engine yet for agx-orin-64gb" in edge_trt("inspect", bundle).out


def test_inspect_json(edge_trt: Command, bundle: Path) -> None:
    data = json.loads(edge_trt("inspect", bundle, "--json").out)
    assert data["manifest"]["signature"]["inputs"][0]["name"] == "image"
    assert data["report"] == bundles.REPORT


def test_inspect_network(edge_trt: Command, bundle: Path) -> None:
    done = edge_trt("inspect", bundle, "--network")
    assert done.status == 0
    assert "Reduce" in done.out
    assert "image" in done.out


def test_inspect_damaged_report(edge_trt: Command, bundle: Path) -> None:
    report = bundle / "report.json"
    report.write_bytes(b"{" * report.stat().st_size)
    done = edge_trt("inspect", bundle)
    assert done.status == 1
    assert "report.json" in done.err
    assert "malformed" in done.err


def test_verify(edge_trt: Command, bundle: Path) -> None:
    done = edge_trt("verify", bundle)
    assert done.status == 0
    assert done.out.count("passed") == 2
    assert "FAILED" not in done.out
    assert "runs on the CPU" in done.out
    done = edge_trt("verify", bundle, "--device", "tpu")
    assert done.status == 1
    assert "unknown device 'tpu'" in done.err


def test_verify_fails_on_other_results(edge_trt: Command, tmp_path: Path) -> None:
    done = edge_trt("verify", bundles.write(tmp_path / "b.edge", drift=0.01))
    assert done.status == 1
    assert done.out.count("FAILED") == 2


def test_verify_fails_on_a_changed_file(edge_trt: Command, bundle: Path) -> None:
    path = bundle / "engines/cpu/main.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = edge_trt("verify", bundle)
    assert done.status == 1
    assert "engines/cpu/main.onnx" in done.err


def test_run_on_an_array(edge_trt: Command, bundle: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    np.save(tmp_path / "x.npy", x)
    done = edge_trt(
        "run", bundle, "--input", f"image={tmp_path / 'x.npy'}", "--output", tmp_path / "out.data"
    )
    assert done.status == 0, done.err
    with np.load(tmp_path / "out.data") as outputs:
        np.testing.assert_allclose(outputs["scores"], x.mean((2, 3)), rtol=1e-5)
    best = x.mean((2, 3)).argmax(1)
    ranks = [line.split() for line in done.out.splitlines() if line.split()[1:2] == ["1"]]
    assert [int(row[2]) for row in ranks] == best.tolist()


def test_run_on_an_archive_without_a_name(edge_trt: Command, bundle: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", image=np.ones((1, 3, 8, 8), np.float32))
    assert edge_trt("run", bundle, "--input", tmp_path / "in.npz").status == 0


def picture(path: Path, size: tuple[int, int], colour: tuple[int, int, int]) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def outputs_of(edge_trt: Command, tmp_path: Path, bundle: Path, *files: Path) -> np.ndarray:
    inputs = [word for file in files for word in ("--input", f"image={file}")]
    done = edge_trt("run", bundle, *inputs, "--output", tmp_path / "out.npz")
    assert done.status == 0, done.err
    with np.load(tmp_path / "out.npz") as outputs:
        return outputs["scores"]


def test_image_pixels_are_divided_by_255(edge_trt: Command, bundle: Path, tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png", (20, 12), (255, 51, 0))
    scores = outputs_of(edge_trt, tmp_path, bundle, file)
    np.testing.assert_allclose(scores, [[1.0, 0.2, 0.0]], atol=1e-6)


def test_image_is_normalised_as_the_bundle_says(edge_trt: Command, tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "b.edge", image=bundles.NORMALISED)
    file = picture(tmp_path / "a.png", (8, 8), (255, 51, 0))
    scores = outputs_of(edge_trt, tmp_path, bundle, file)
    np.testing.assert_allclose(scores, [[2.0, -1.2, -2.0]], atol=1e-5)


def test_images_become_a_batch(edge_trt: Command, bundle: Path, tmp_path: Path) -> None:
    red = picture(tmp_path / "r.png", (8, 8), (255, 0, 0))
    blue = picture(tmp_path / "b.png", (9, 30), (0, 0, 255))
    scores = outputs_of(edge_trt, tmp_path, bundle, red, blue)
    np.testing.assert_allclose(scores, [[1, 0, 0], [0, 0, 1]], atol=1e-6)


def test_image_is_cut_at_the_centre(edge_trt: Command, bundle: Path, tmp_path: Path) -> None:
    wide = Image.new("RGB", (24, 8), (255, 0, 0))
    wide.paste((0, 255, 0), (8, 0, 16, 8))
    wide.save(tmp_path / "w.png")
    scores = outputs_of(edge_trt, tmp_path, bundle, tmp_path / "w.png")
    np.testing.assert_allclose(scores, [[0, 1, 0]], atol=1e-6)


def test_pillow_is_asked_for_by_name(
    edge_trt: Command, bundle: Path, tmp_path, monkeypatch
) -> None:
    file = picture(tmp_path / "a.png", (8, 8), (0, 0, 0))
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    done = edge_trt("run", bundle, "--input", f"image={file}")
    assert done.status == 1
    assert "pip install pillow" in done.err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("imagee={npy}", "image"),
        ("image={text}", "can't read"),
        ("image={fake}", "not a numpy file"),
        ("image={picture}", "is not an image"),
        ("image={objects}", "not a numpy file of numbers"),
        ("image={absent}", "absent.npy"),
    ],
)
def test_bad_input_is_one_line(
    edge_trt: Command, bundle: Path, tmp_path: Path, argument: str, message: str
) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 3, 8, 8), np.float32))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    for name in ("fake.npy", "fake.png", "a.txt"):
        (tmp_path / name).write_text("no array")
    files = {
        "npy": tmp_path / "x.npy",
        "text": tmp_path / "a.txt",
        "fake": tmp_path / "fake.npy",
        "picture": tmp_path / "fake.png",
        "objects": tmp_path / "objects.npy",
        "absent": tmp_path / "absent.npy",
    }
    done = edge_trt("run", bundle, "--input", argument.format(**files))
    assert done.status == 1
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_missing_input_is_named(edge_trt: Command, bundle: Path) -> None:
    done = edge_trt("run", bundle)
    assert done.status == 1
    assert "image" in done.err
