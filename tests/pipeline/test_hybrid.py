# SPDX-License-Identifier: Apache-2.0
"""Hybrid bundles on a device without PyTorch: what crosses the borders, and where weights are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
import edge_trt_runtime
from edge_trt.bundle.onnx_program import OnnxProgram
from edge_trt.network.weights import Extent
from edge_trt_runtime.executors.external_data import external_tensors
from edge_trt_runtime.hybrid.sizes import greatest_size
from edge_trt_runtime.manifest import TensorSpec
from tests.pipeline.models import FACTORY, X, assert_as_eager, batch, hybrid

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["onnxscript"] = None
import numpy as np
import edge_trt
import edge_trt_runtime
from edge_trt.cli import main
path, values, copy = sys.argv[1:]
with edge_trt_runtime.load(path) as session:
    arrays = {k[3:]: v for k, v in np.load(values).items() if k.startswith("in/")}
    outputs = session.run(arrays)
    for name, expected in np.load(values).items():
        if name.startswith("out/"):
            np.testing.assert_allclose(outputs[name[4:]], expected, rtol=1e-4, atol=1e-4)
assert all(result.passed for result in edge_trt_runtime.run_self_test(path))
assert main(["verify", path]) == 0
assert main(["inspect", path]) == 0
bundle = edge_trt.load(path)
bundle.save(copy)
assert main(["verify", copy]) == 0
"""


def run_without_torch(bundle: Path, tmp_path: Path, **values: Any) -> str:
    """Runs, checks and rewrites a bundle in a process that can't import torch."""
    np.savez(tmp_path / "values.npz", **{k.replace("_", "/", 1): v for k, v in values.items()})
    command = [sys.executable, "-c", WITHOUT_TORCH, bundle, tmp_path / "values.npz"]
    done = subprocess.run(
        [*map(str, command), str(tmp_path / "copy.edge")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


class Halves(nn.Module):
    """Three blocks; the sizes between them are expressions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.max_pool2d(x, 2)
        x = torch.sin(x)  # what is taken out
        return torch.cat([x.relu(), x], 1).flatten(2)


def test_the_greatest_sizes_between_blocks_are_written_down(tmp_path: Path) -> None:
    """A device plans its memory by them."""
    sizes = edge_trt.Input((2, 3, "h", 32), min=16, opt=32, max=48)
    bundle = edge_trt.compile(Halves().eval(), (sizes,), fallback_ops="aten.sin", min_block_size=1)
    manifest = edge_trt_runtime.open_bundle(bundle.save(tmp_path / "m.edge")).manifest
    assert len(manifest.segments) == 3
    names = {s for seg in manifest.segments for t in seg.tensors for s in t.shape if s != "?"}
    expressions = {s for s in names if isinstance(s, str)} - manifest.signature.dims.keys()
    assert manifest.greatest.keys() == expressions
    between = next(t for t in manifest.segments[1].tensors if isinstance(t.shape[2], str))
    assert manifest.greatest[str(between.shape[2])] == 24
    assert greatest_size(manifest, between) == 2 * 3 * 24 * 16 * 4
    unknown = TensorSpec("v", "float32", [2, "?"])
    assert greatest_size(manifest, unknown) is None


def test_a_hybrid_bundle_runs_where_torch_is_not(tmp_path: Path) -> None:
    model = hybrid()
    path = edge_trt.compile(model, (batch(8),)).save(tmp_path / "m.edge")
    x = torch.randn(5, 8)
    text = run_without_torch(path, tmp_path, in_x=x.numpy(), out_output=model(x).detach().numpy())
    assert "ONNX Runtime" in text
    assert "to the host" in text


class Boxes(nn.Module):
    """Boxes of a grid, those above a threshold: how many there are depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16, 7)

    def forward(self, image):
        found = self.head(self.backbone(image).relu().flatten(2).mT)[0]
        scores = found[:, 0].sigmoid()
        kept = torch.nonzero(scores > 0.5).squeeze(1)
        order = torch.sort(scores[kept], descending=True, stable=True).indices
        return found[kept][order, 1:5], kept[order]


def test_a_number_of_results_that_depends_on_values(tmp_path: Path) -> None:
    model, image = Boxes().eval(), torch.randn(1, 3, 16, 16)
    bundle = edge_trt.compile(model, (image,), fallback="onnxruntime")
    path = bundle.save(tmp_path / "m.edge")
    for scale in (0.0, 1.0, 3.0):
        assert_as_eager(model, bundle, image * scale)
    boxes, kept = model(image)
    values = {"in_image": image.numpy(), "out_output_0": boxes.detach().numpy()}
    run_without_torch(path, tmp_path, **values, out_output_1=kept.numpy())


def test_types_that_cross(tmp_path: Path) -> None:
    class Types(nn.Module):
        def forward(self, x, i, u, b, d):
            kept = torch.masked_select(i, b)
            wide = torch.cumsum(d.double() * 2, 1)
            return x + i, kept, u.flip(0) > 3, wide, torch.fft.rfft(x).abs() + u[:, :5], ~b

    model = Types().eval()
    inputs = (
        torch.randn(3, 8),
        torch.randint(-5, 9, (3, 8)),
        torch.randint(0, 9, (3, 8), dtype=torch.uint8),
        torch.rand(3, 8) < 0.5,
        torch.randn(3, 8, dtype=torch.float64),
    )
    bundle = edge_trt.compile(model, inputs, fallback="onnxruntime")
    bundle.save(tmp_path / "m.edge")
    assert_as_eager(model, bundle, *inputs)


class Shared(nn.Module):
    """One weight in TensorRT and in the fallback, and one in the fallback alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(32, 32), nn.Linear(32, 32)
        self.own = nn.Parameter(torch.randn(32, 32))

    def forward(self, x):
        y = torch.special.expit(self.first(x)) * self.first.weight[0]
        z = torch.fft.rfft(y).abs() @ (self.first.weight * 2)[:17] + self.own[0]
        return self.second(torch.fft.rfft(z @ self.own).abs()[:, :1] * z)


def test_weights_are_in_the_one_file(tmp_path: Path) -> None:
    model, x = Shared().eval(), torch.randn(4, 32)
    bundle = edge_trt.compile(model, (x,), fallback_modules=["second"], fallback="onnxruntime")
    path = bundle.save(tmp_path / "m.edge")
    assert_as_eager(model, bundle, x)
    programs = sorted((path / "fallback").iterdir())
    references = [t for p in programs for t in external_tensors(p.read_bytes())]
    assert {t.location for t in references} == {"weights.safetensors"}
    assert sum(t.length for t in references) >= 32 * 32 * 4
    assert all(p.stat().st_size < 32 * 32 * 4 for p in programs)
    loaded = edge_trt.load(path)
    again = loaded.save(tmp_path / "again.edge")
    for file in ("weights.safetensors", *(f"fallback/{p.name}" for p in programs)):
        assert (again / file).read_bytes() == (path / file).read_bytes()


def test_weights_that_move_are_found_again(tmp_path: Path) -> None:
    """Another weight in the file, and everything lies elsewhere."""
    model, x = Shared().eval(), torch.randn(4, 32)
    bundle = edge_trt.compile(model, (x,), fallback_modules=["second"])
    loaded = edge_trt.load(bundle.save(tmp_path / "m.edge"))
    part = next(p for p in loaded.parts if p.onnx is not None and p.onnx.weights)
    assert part.onnx is not None
    added = {Extent(0, 80_000): ("a larger one", np.zeros(20_000, np.float32))}
    part.onnx = OnnxProgram(part.onnx.data, {**part.onnx.weights, **added})
    loaded.save(tmp_path / "m.edge")
    assert_as_eager(model, loaded, x)


def test_a_board_without_onnx_rewrites_a_hybrid_bundle(tmp_path: Path) -> None:
    model, x = Shared().eval(), torch.randn(4, 32)
    bundle = edge_trt.compile(model, (x,), target="agx-orin-64gb", fallback_modules=["second"])
    path, copy = bundle.save(tmp_path / "m.edge"), tmp_path / "copy.edge"
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\nimport edge_trt\n"
        f"edge_trt.load({str(path)!r}).save({str(copy)!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in ("weights.safetensors", "fallback/fallback0.onnx"):
        assert (copy / name).read_bytes() == (path / name).read_bytes()


def test_precision_fp16_leaves_the_fallback_alone(tmp_path: Path) -> None:
    model = hybrid()
    bundle = edge_trt.compile(model, (X,), precision="fp16")
    bundle.save(tmp_path / "m.edge")
    assert_as_eager(model, bundle, X, rtol=2e-2)


def test_the_module_runs_a_hybrid_bundle() -> None:
    model = hybrid()
    torch.testing.assert_close(edge_trt.compile(model, (X,)).module()(X), model(X))


@pytest.mark.parametrize("choice", ["auto", "torch"])
def test_torch_is_named_where_it_is_needed(choice: str, tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def forward(self, x):
            return torch.special.i0(x.relu()) + 1

    bundle = edge_trt.compile(Bessel().eval(), (X,), fallback=choice)
    path = bundle.save(tmp_path / "m.edge")
    code = (
        "import sys; sys.modules['torch'] = None\nimport edge_trt_runtime\n"
        f"edge_trt_runtime.load({str(path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is a PyTorch program and torch can't be imported: pip install torch" in done.stderr
    with edge_trt_runtime.load(path) as session:
        assert session.run({"x": X.numpy()})


def test_build_and_dryrun_print_who_runs_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_trt.cli import main

    (tmp_path / "models.py").write_text(FACTORY)
    command = ["build", f"{tmp_path}/models.py:hybrid", "--input", "x=1..2..6x8"]
    for more in (["--dryrun"], ["-o", f"{tmp_path}/m.edge"]):
        assert main([*command, *more]) == 0
        text = capsys.readouterr().out
        assert "fallback0 runs in ONNX Runtime: equals PyTorch on 10 random inputs" in text
        assert "64 bytes to the host, 40 bytes to the device" in text
    failing = [*command, "--dryrun", "--fallback-ops", "aten.relu", "--fallback", "forbid"]
    assert main(failing) == 1
    assert "aten.fft_rfft.default" in capsys.readouterr().err


def test_a_type_that_numpy_lacks_does_not_pass_between_blocks() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(torch.special.i0(self.layer(x.bfloat16()))).float()

    message = (
        r"module layer,.*\) passes between blocks as bfloat16, which numpy lacks: cast to float32"
    )
    with pytest.raises(edge_trt.UnsupportedError, match=message):
        edge_trt.compile(Model().bfloat16().eval(), (torch.randn(3, 6),), min_block_size=1)


@pytest.mark.filterwarnings("ignore:No complete tensor found in the group")
def test_a_torch_program_that_takes_the_example_alone_is_refused() -> None:
    """torch saves this one with a check of the example's batch, which nothing showed before."""

    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = torch.stft(x, 1200, 480, window=torch.hann_window(1200), return_complex=True)
            return torch.view_as_real(z[:, 3])

    given = edge_trt.Input(("b", "t"), min=(1, 1200), opt=(2, 4800), max=(5, 12003))
    with pytest.raises(edge_trt.UnsupportedError, match=r"torch\.export saves fails at \[\[1, "):
        edge_trt.compile(Spectrum().eval(), (given,))
