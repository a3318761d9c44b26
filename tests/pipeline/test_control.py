# SPDX-License-Identifier: Apache-2.0
"""`torch.cond` and other control flow from a model to results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.map import map as torch_map
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import flex_attention

import edge_trt
import edge_trt_runtime

POSITIVE, NEGATIVE = torch.rand(3, 4) + 0.1, -torch.rand(3, 4) - 0.1


class Model(nn.Module):
    """A function of one tensor, with some weights."""

    def __init__(self, function: Callable[[Model, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def gated(self: Model, x: torch.Tensor) -> torch.Tensor:
    return torch.cond(x.sum() > 0, lambda x: self.linear(x), lambda x: x.sigmoid(), (x,)).relu()


def transformed(self: Model, x: torch.Tensor) -> torch.Tensor:
    def spectrum(x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft(x).real.contiguous()

    return torch.cond(x.sum() > 0, spectrum, lambda x: x - 1, (self.linear(x) + x * 9,)) * 2


def batched(self: Model, x: torch.Tensor) -> torch.Tensor:
    return torch.vmap(lambda row: self.linear(row).softmax(-1) * row.sum())(x)


def counted(self: Model, x: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros((), dtype=torch.int64)
    return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 1.5), (zero, x))[1] + 1


def scanned(self: Model, x: torch.Tensor) -> torch.Tensor:
    return scan(lambda c, x: (c + x, c * x), x.new_zeros(4), x)[1] + 1


def mapped(self: Model, x: torch.Tensor) -> torch.Tensor:
    return torch_map(lambda row: self.linear(row).relu(), x) + 1


def associated(self: Model, x: torch.Tensor) -> torch.Tensor:
    return associative_scan(torch.mul, self.linear(x), dim=0, combine_mode="generic") + 1


def attended(self: Model, x: torch.Tensor) -> torch.Tensor:
    heads = x.reshape(1, 1, *x.shape)  # no weights: on the CPU it has no gradients
    return flex_attention(heads, heads, heads) + 1  # type: ignore[operator]


def nested(self: Model, x: torch.Tensor) -> torch.Tensor:
    def positive(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.mean() > 1, lambda x: self.linear(x), lambda x: x.exp(), (x,))

    return torch.cond(x.sum() > 0, positive, lambda x: -x, (x,)) * 2


def several(self: Model, x: torch.Tensor) -> torch.Tensor:
    def positive(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(x), x * 2

    a, b = torch.cond(x.sum() > 0, positive, lambda x: (x.sin(), x.cos()), (x,))
    return (a + b).relu() + a.mean(1, keepdim=True)


def sized(self: Model, x: torch.Tensor) -> torch.Tensor:
    """Torch's own ranges begin at 2, so that it takes this for always true."""
    return torch.cond(x.shape[0] > 1, lambda x: self.linear(x), lambda x: x.sin(), (x,)) * 2


def sized_inside(self: Model, x: torch.Tensor) -> torch.Tensor:
    def positive(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.shape[0] > 2, lambda x: self.linear(x), lambda x: x.exp(), (x,))

    return torch.cond(x.sum() > 0, positive, lambda x: -x, (x,)) * 2


def beside_a_fallback(self: Model, x: torch.Tensor) -> torch.Tensor:
    spectrum = torch.fft.fft(x).real.contiguous()
    return torch.cond(x.sum() > 0, lambda y: self.linear(y), lambda y: y - 1, (spectrum,)) * 2


def eager(model: Model, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():  # branches of torch.cond are compiled, and that looks at gradients
        return model(x).numpy()


def compiled(model: Model, path: Path, **options: Any) -> Callable[[torch.Tensor], np.ndarray]:
    bundle = edge_trt.compile(model, (POSITIVE,), **options)
    session = edge_trt_runtime.load(bundle.save(path / "m.edge"))
    return lambda x: session.run({"x": x.numpy()})["output"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_branch_that_is_chosen(precision: str, tmp_path: Path) -> None:
    model = Model(gated).eval()
    run = compiled(model, tmp_path, precision=precision, fallback="forbid")
    tolerance = 1e-5 if precision == "fp32" else 2e-3
    for x in (POSITIVE, NEGATIVE):
        np.testing.assert_allclose(run(x), eager(model, x), atol=tolerance)


@pytest.mark.rtx
def test_tensorrt_builds_both_branches() -> None:
    bundle = edge_trt.compile(Model(gated).eval(), (POSITIVE,), target="rtx", fallback="forbid")
    assert len(bundle.plans) == 1


def test_a_branch_that_falls_back(tmp_path: Path) -> None:
    model = Model(transformed).eval()
    bundle = edge_trt.compile(model, (POSITIVE,))
    (refusal,) = bundle.report["coverage"]["refusals"]
    assert "its branch calls aten.fft_fft.default" in refusal["reason"]
    assert "test_control.py" in refusal["source"]
    session = edge_trt_runtime.load(bundle.save(tmp_path / "m.edge"))
    for x in (POSITIVE, NEGATIVE):
        want = eager(model, x)
        np.testing.assert_allclose(session.run({"x": x.numpy()})["output"], want, atol=1e-4)


def test_vmap_is_one_block(tmp_path: Path) -> None:
    model = Model(batched).eval()
    run = compiled(model, tmp_path, fallback="forbid")
    np.testing.assert_allclose(run(POSITIVE), eager(model, POSITIVE), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Pred is a Python constant")  # to eager PyTorch, a size is one
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    ("function", "runners"),
    [
        (nested, ["tensorrt"]),
        (several, ["tensorrt"]),
        (sized, ["tensorrt"]),
        (sized_inside, ["tensorrt"]),
        (beside_a_fallback, ["onnxruntime", "tensorrt"]),
    ],
)
def test_any_batch_takes_each_way(
    function: Callable[..., Any], runners: list[str], precision: str, tmp_path: Path
) -> None:
    model = Model(function).eval()
    batch = edge_trt.Input(min=(1, 4), opt=(3, 4), max=(8, 4))
    bundle = edge_trt.compile(model, (batch,), precision=precision)
    assert [b["runner"] for b in bundle.report["coverage"]["blocks"]] == runners
    session = edge_trt_runtime.load(bundle.save(tmp_path / "m.edge"))
    for size in (1, 2, 3, 8):
        for shift in (0.1, 2.0, -2.0):
            x = torch.rand(size, 4) + shift
            want = eager(model, x)
            np.testing.assert_allclose(session.run({"x": x.numpy()})["output"], want, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "runner"),
    [(counted, "onnxruntime"), (scanned, "onnxruntime"), (mapped, "torch")],
)
def test_loops_fall_back(function: Callable[..., Any], runner: str, tmp_path: Path) -> None:
    model = Model(function).eval()
    bundle = edge_trt.compile(model, (POSITIVE,))
    blocks = bundle.report["coverage"]["blocks"]
    assert [b["runner"] for b in blocks] == [runner, "tensorrt"]
    session = edge_trt_runtime.load(bundle.save(tmp_path / "m.edge"))
    want = eager(model, POSITIVE)
    np.testing.assert_allclose(session.run({"x": POSITIVE.numpy()})["output"], want, atol=1e-5)


def test_a_generic_scan_is_one_block(tmp_path: Path) -> None:
    model = Model(associated).eval()
    run = compiled(model, tmp_path, fallback="forbid")
    np.testing.assert_allclose(run(POSITIVE), eager(model, POSITIVE), atol=1e-5)


def test_what_no_file_can_hold_has_a_remedy() -> None:
    program = torch.export.export(Model(attended).eval(), (POSITIVE,))
    with pytest.raises(edge_trt.UnsupportedError, match="exported before: give the module") as said:
        edge_trt.compile(program, (POSITIVE,))
    assert "test_control.py" in str(said.value)
    assert "%" not in str(said.value), "torch's text of the whole call"


@pytest.mark.parametrize(
    ("true", "hint"),
    [(lambda x: x.t().contiguous().t(), "contiguous"), (lambda x: x, "clone")],
    ids=["layout", "alias"],
)
def test_what_torch_refuses_has_a_remedy(true: Callable[..., Any], hint: str) -> None:
    model = Model(lambda self, x: torch.cond(x.sum() > 0, true, lambda x: x * 2, (x,)))
    with pytest.raises(edge_trt.CaptureError, match=rf"\.{hint}\(\)") as caught:
        edge_trt.compile(model.eval(), (POSITIVE,))
    assert str(caught.value).count("\n") == 0


class Squares(nn.Module):
    """Branches that turn their input; `turned` says how."""

    def __init__(self, turned) -> None:
        super().__init__()
        self.turned = turned

    def forward(self, x):
        turned = self.turned
        return torch.cond(x.sum() > 0, lambda x: turned(x) @ x + 1, lambda x: turned(x) @ x, (x,))


@pytest.mark.parametrize(
    "turned",
    [
        lambda x: x.T,
        lambda x: x.mT,
        lambda x: x.H,
        lambda x: x.mH,
        lambda x: x.T * 2 - x.mT,
        lambda x: x.transpose(-2, -1),
        lambda x: x.permute(1, 0),
        lambda x: x.diagonal()[:, None] + x[:1].T * x.T,
    ],
)
def test_branches_may_turn_their_input(turned: Callable[..., Any]) -> None:
    x = torch.randn(3, 3)
    run = edge_trt.compile(Squares(turned).eval(), x, target="cpu").module()
    for given in (x, -x, x.abs()):
        turned_and_more = turned(given) @ given + (given.sum() > 0)
        torch.testing.assert_close(run(given), turned_and_more)


def test_branches_of_any_size_may_turn_their_input() -> None:
    model = Squares(lambda x: x.T @ x.T.mT).eval()
    run = edge_trt.compile(model, edge_trt.Input.parse("x=n:1..3..5xn:1..3..5"), target="cpu")
    run = run.module()
    for size in (1, 2, 5):
        x = torch.rand(size, size)
        torch.testing.assert_close(run(x), x.T @ x @ x + 1)


def test_a_branch_gives_no_view_of_its_input() -> None:
    with pytest.raises(edge_trt.CaptureError, match=r"no branch .* may give its input or a view"):
        edge_trt.compile(Branches().eval(), torch.randn(3, 3))


class Branches(nn.Module):
    """A branch that gives a view of its input."""

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: x.t(), lambda x: x + 1, (x,))
