# SPDX-License-Identifier: Apache-2.0
"""`edge_trt.compile` as it is documented: ways to give inputs, and what comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
import edge_trt_runtime
from tests.pipeline.models import IMAGE, Hybrid, Net, X, assert_as_eager, batch, hybrid, net


def test_exactly_as_documented(tmp_path: Path) -> None:
    model, x = nn.Linear(8, 4).eval(), torch.randn(3, 8)
    bundle = edge_trt.compile(model, (x,), target="cpu", precision="fp32")
    bundle.save(tmp_path / "model.edge")
    with edge_trt_runtime.load(tmp_path / "model.edge") as session:
        (spec,) = session.signature.inputs
        assert (spec.name, spec.dtype, spec.shape) == ("input", "float32", [3, 8])
        outputs = session.run({"input": x.numpy()})
    assert list(outputs) == ["output"]
    np.testing.assert_allclose(outputs["output"], model(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_ranges(tmp_path: Path) -> None:
    model = net()
    bundle = edge_trt.compile(model, (batch(3, 8, 8),))
    bundle.save(tmp_path / "m.edge")
    assert bundle.signature.dims == {"b": edge_trt_runtime.Range(1, 2, 6)}
    assert bundle.signature.inputs[0].shape == ["b", 3, 8, 8]
    assert bundle.signature.outputs[0].shape == ["b", 4]
    for size in (1, 2, 5, 6):
        assert_as_eager(model, bundle, torch.randn(size, 3, 8, 8))
    with (
        edge_trt_runtime.load(tmp_path / "m.edge") as session,
        pytest.raises(edge_trt.InputError, match=r"1.*6"),
    ):
        session.run({"image": np.zeros((7, 3, 8, 8), np.float32)})


@pytest.mark.parametrize(
    "inputs", [(IMAGE,), {"image": IMAGE}, IMAGE], ids=["tuple", "dict", "one"]
)
def test_ways_to_give_examples(inputs, tmp_path: Path) -> None:
    model = net()
    bundle = edge_trt.compile(model, inputs)
    bundle.save(tmp_path / "m.edge")
    assert_as_eager(model, bundle, IMAGE)


def test_an_exported_program_is_a_model(tmp_path: Path) -> None:
    model = net()
    bundle = edge_trt.compile(torch.export.export(model, (IMAGE,)))
    bundle.save(tmp_path / "m.edge")
    assert_as_eager(model, bundle, IMAGE)


class Nested(nn.Module):
    def forward(self, first, *, rest, scale: float = 1.0):
        a, b = rest["pair"]
        return {"sum": first + a, "more": (b.relu(), [first * scale, None])}


def test_a_module_has_the_original_signature() -> None:
    model = Nested().eval()
    arguments = {"first": X, "rest": {"pair": [X + 1, X - 1]}, "scale": 2.0}
    module = edge_trt.compile(model, arguments).module()
    assert isinstance(module, nn.Module)
    fresh = torch.randn(3, 8)
    call = {"first": fresh, "rest": {"pair": [fresh, -fresh]}, "scale": 2.0}
    result, eager = module(**call), model(**call)
    assert list(result) == ["sum", "more"]
    assert result["more"][1][1] is None
    torch.testing.assert_close(result["sum"], eager["sum"])
    torch.testing.assert_close(result["more"][0], eager["more"][0])
    torch.testing.assert_close(result["more"][1][0], eager["more"][1][0])


def test_a_module_outlives_its_bundle(tmp_path: Path) -> None:
    """The temporary folder of a bundle that was never saved goes with the bundle."""
    module = edge_trt.compile(hybrid(), (X,)).module()
    folder = Path(module.session.bundle.root)  # type: ignore[union-attr]
    assert not folder.exists()
    assert module(X).shape == (3, 4)


def test_a_module_of_a_saved_bundle_uses_it(tmp_path: Path) -> None:
    bundle = edge_trt.compile(net(), (IMAGE,))
    assert bundle.path is None
    assert bundle.save(tmp_path / "m.edge") == tmp_path / "m.edge"
    module = bundle.module()
    assert module.session.bundle.root == str(tmp_path / "m.edge")  # type: ignore[union-attr]


def test_two_sessions_at_once(tmp_path: Path) -> None:
    one, two = net(), hybrid()
    edge_trt.compile(one, (IMAGE,)).save(tmp_path / "one.edge")
    edge_trt.compile(two, (X,)).save(tmp_path / "two.edge")
    with (
        edge_trt_runtime.load(tmp_path / "one.edge") as first,
        edge_trt_runtime.load(tmp_path / "two.edge") as second,
        edge_trt_runtime.load(tmp_path / "one.edge") as third,
        torch.no_grad(),
    ):
        for _ in range(3):
            image, x = torch.randn_like(IMAGE), torch.randn_like(X)
            got = first.run({"image": image.numpy()})["output"]
            np.testing.assert_allclose(got, one(image).numpy(), rtol=1e-4, atol=1e-5)
            got = second.run({"x": x.numpy()})["output"]
            np.testing.assert_allclose(got, two(x).numpy(), rtol=1e-4, atol=1e-5)
            third.run({"image": image.numpy()})


def test_progress_names_every_stage_in_order() -> None:
    seen: list[tuple[str, float]] = []
    bundle = edge_trt.compile(net(), (IMAGE,), progress=lambda *s: seen.append((s[0], s[1])))
    stages = list(dict.fromkeys(stage for stage, _ in seen))
    assert stages == ["capture", "lowering", "partitioning", "fallback", "conversion",
                      "precision", "engines", "self-test"]  # fmt: skip
    assert set(bundle.seconds) == set(stages)  # the self-test has a thread of its own
    for stage in stages:
        fractions = [f for s, f in seen if s == stage]
        assert fractions[0] == 0.0
        assert fractions[-1] == 1.0
        assert fractions == sorted(fractions)


@pytest.mark.parametrize("model", [Net(), Hybrid()], ids=["net", "hybrid"])
def test_compiling_leaves_the_model_alone(model: nn.Module) -> None:
    model.eval()
    inputs = IMAGE if isinstance(model, Net) else X
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = model(inputs)
    edge_trt.compile(model, (inputs,), precision="fp16")
    assert torch.equal(model(inputs), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
