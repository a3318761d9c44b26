# SPDX-License-Identifier: Apache-2.0
"""Models that cut, pad and divide by their own sizes are one block for every size of a range."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import edge_trt
from edge_trt.capture import Axis, open_sizes
from edge_trt.errors import UnsupportedError
from edge_trt.lowering.decompositions import DECOMPOSITIONS


def _pad_to_32(x):
    return F.pad(x, (0, -x.shape[-1] % 32, 0, -x.shape[-2] % 32))


def _windows(x):
    padded = F.pad(x, (0, 0, 0, -x.shape[1] % 4))
    return padded.reshape(x.shape[0], -1, 4, x.shape[2]).mean(2)


def _middle(x):
    top = (x.shape[-2] - 4) // 2
    return x[..., top : top + 4, 1:-1]


def _best_rows(x):
    rows = x.flatten(2).transpose(1, 2)
    best = rows[..., 0].topk(5, 1)[1]
    return torch.take_along_dim(rows, best[..., None], 1)


def _turn(x):
    return torch.tensor([[[1.0, 0.2, 0.0], [0.0, 0.9, 0.1]]]).expand(x.shape[0], -1, -1)


Function = Callable[[torch.Tensor], "torch.Tensor | tuple[torch.Tensor, ...]"]
WEIGHTS, COUNTS = torch.tensor([0.5, 1, 0.1, 2, 1]), torch.tensor([1, 2, 0, 3, 1])
CASES: dict[str, tuple[Function, str]] = {
    "both ends": (lambda x: x[1:-1] * 2, "1..4..8x5"),
    "both ends of two": (lambda x: x[1:-1, 2:-2].sum(-1), "3..4..8x5..6..9"),
    "first half": (lambda x: x[:, : x.shape[1] // 2] * 2, "2x1..6..9"),
    "at most three": (lambda x: x[..., : min(3, x.shape[-1])] * 2, "2x1..6..9"),
    "last five": (lambda x: x[-5:] * 2, "3..7..9x3"),
    "by another size": (lambda x: x[:, : x.shape[0]] * 2, "2..4..6x2..5..8"),
    "layer norm": (lambda x: F.layer_norm(x, x.shape[-1:]), "2x2..6..9"),
    "layer norm of two": (lambda x: F.layer_norm(x, x.shape[1:]), "2x2..6..9x4"),
    "layer norm of pieces": (
        lambda x: F.layer_norm(x.flatten(1), (x.shape[1] * 4,)), "2x2..6..9x4"
    ),
    "layer norm, weighted": (
        lambda x: F.layer_norm(x, x.shape[-1:], x[0], x[1]), "2x2..6..9"
    ),
    "distances": (lambda x: torch.cdist(x, x.flip(2) + 1), "2x1..20..40x3"),
    "distances of none": (lambda x: torch.cdist(x, x.flip(2) + 1), "1..2..3x0..20..40x3"),
    "means of none": (
        lambda x: (
            x.mean(0).nan_to_num(7), x.mean(1), x.mean().nan_to_num(7),
            x.mean((0, 1), keepdim=True).nan_to_num(7), x.half().mean(0).nan_to_num(7),
        ),
        "0..5..20x3",
    ),
    "distances by products": (
        lambda x: torch.cdist(x, x.flip(2) + 1, 2.0, "use_mm_for_euclid_dist"), "2x1..20..40x3"
    ),
    "topk": (lambda x: x.topk(min(3, x.shape[-1]))[0], "2x1..6..9"),
    "pad to multiples": (_pad_to_32, "1..2..3x3x40..64..70x40..64..70"),
    "windows": (_windows, "1..2..3x4..8..13x6"),
    "middle": (_middle, "1..2..3x3x4..8..12x4..8..13"),
    "halves": (
        lambda x: torch.cat([c + i for i, c in enumerate(x.chunk(2))]), "2..4..9x5"
    ),
    "uneven pieces": (
        lambda x: torch.cat([p * i for i, p in enumerate(x.tensor_split(3, 1))], 1), "2x1..6..12x3"
    ),
    "flattened, and maybe empty": (
        lambda x: torch.stack([x[:, 1:-1], x[:, 1:-1] * 2], 1).flatten(0, 1), "2..4..5x2..8..9"
    ),
    "rolled, and maybe empty": (lambda x: x[:, 2:].roll((1, -2), (1, 0)), "2x2..5..8"),
    "rolled flat, and maybe empty": (lambda x: x[:, 2:].roll(3), "2x2..5..8"),
    "one after another": (lambda x: x[:1].expand(x.shape[0] - 1, -1) + x[1:], "2..6..9x3"),
    "half an image": (
        lambda x: F.interpolate(x, size=(x.shape[2] // 2, x.shape[3] // 2), mode="bilinear"),
        "1..2..3x3x4..8..12x4..8..13",
    ),
    "fake quantization": (
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127), "1..2..4x3x5..6..8"
    ),
    "fake quantization per channel": (
        lambda x: torch.fake_quantize_per_channel_affine(
            x, torch.tensor([0.1, 0.2, 0.05]), torch.zeros(3).int(), 1, -128, 127
        ),
        "1..2..4x3x5..6..8",
    ),
    "linspace": (lambda x: x + torch.linspace(0, 1, x.shape[-1]), "2x1..6..9"),
    "linspace from a value": (lambda x: x + torch.linspace(x[0, 0], 3, x.shape[-1]), "2x1..6..9"),
    "linspace as indices": (
        lambda x: x[:, torch.linspace(0, x.shape[-1] - 1, x.shape[-1] // 2).round().long()],
        "2x2..6..9",
    ),
    "turned": (
        lambda x: F.grid_sample(x, F.affine_grid(_turn(x), x.shape, False), align_corners=False),
        "1..2..3x3x1..8..12x2..8..13",
    ),
    "turned by corners": (
        lambda x: F.grid_sample(x, F.affine_grid(_turn(x), x.shape, True), align_corners=True),
        "1..2..3x3x3..8..12x2..8..13",
    ),
    "padded to a multiple, resized and cut": (
        lambda x: F.interpolate(_pad_to_32(x), scale_factor=2)[:, :, : x.shape[2]],
        "1x3x8..32..64x32",
    ),
    "padded to another multiple and resized": (
        lambda x: F.interpolate(F.pad(x, (0, 0, 0, (4 - x.shape[2]) % 16)), scale_factor=2),
        "1x3x4..32..64x32",
    ),
    "best rows": (_best_rows, "1..2..3x3x8..16..40x8..16..40"),
    "the greatest of a row": (
        lambda x: x.take_along_dim(x.argmax(2, keepdim=True) - 20, 2), "1..2..3x3x8..16..40"
    ),
    "maxima of columns": (
        lambda x: F.adaptive_max_pool2d(x, (1, None)), "1..2..3x3x5x4..8..13"
    ),
    "maxima of pieces of columns": (
        lambda x: F.adaptive_max_pool2d(x, (2, None)), "1..2..3x3x4x4..8..13"
    ),
    "gradients": (
        lambda x: torch.cat(torch.gradient(x, spacing=[0.5, 2.0], dim=(-1, 1))), "3x2..5..8x5"
    ),
    "powers": (lambda x: torch.vander(x, 4) + torch.vander(x, 4, True), "1..6..9"),
    "products of all pairs": (
        lambda x: torch.kron(x, WEIGHTS[:, None]).kron(x[0]), "1..2..3x3x1..5..8"
    ),
    "covariances": (
        lambda x: torch.stack([
            torch.cov(x), x.cov(correction=0, fweights=COUNTS), x.corrcoef(),
            x.cov(aweights=WEIGHTS), x.cov(fweights=COUNTS, aweights=WEIGHTS), x[1].cov() * x[:, :3]
        ]),
        "3x5"
    ),
    "choices": (lambda x: torch.combinations(x[:, 0], 3, True), "3x1..5..8"),
    "covariances of open sizes": (lambda x: torch.cov(x) + torch.corrcoef(x), "2..3..5x2..5..8"),
    "taken flat": (
        lambda x: torch.take_along_dim(x, x.flatten().argmax()[None]), "1..2..3x8..16..40"
    ),
    "taken of one row": (
        lambda x: torch.take_along_dim(x[:1], x.argsort(1), 1), "1..2..3x8..16..40"
    ),
    "grid of a volume": (
        lambda x: F.affine_grid(torch.arange(24.0).reshape(2, 3, 4) / 24, x.shape, False),
        "2x3x1..4..5x2..5..6x2..8..13",
    ),
}  # fmt: skip


def _model(function: Function) -> nn.Module:
    class Model(nn.Module):
        def forward(self, x):
            return function(x)

    return Model().eval()


def _some(size: int | Axis) -> list[int]:
    if not isinstance(size, Axis):
        return [size]
    return sorted({size.min, size.min + 1, size.opt, size.max - 1, size.max})


@pytest.mark.rtx
@pytest.mark.filterwarnings("error::edge_trt.EdgeTrtWarning")
@pytest.mark.parametrize("name", CASES)
def test_one_block_for_all_sizes(name: str) -> None:
    function, text = CASES[name]
    model, given = _model(function), edge_trt.Input.parse(f"x={text}")
    bundle = edge_trt.compile(model, (given,), target=["cpu", "rtx"])
    assert [part.network is not None for part in bundle.parts] == [True]
    assert len(bundle.plans) == 1
    asked = [(s.min, s.opt, s.max, 1) for s in given.shape if isinstance(s, Axis)]
    dims = bundle.signature.dims.values()
    assert [(d.min, d.opt, d.max, d.step) for d in dims] == asked
    for shape in product(*map(_some, given.shape)):
        x = torch.randn(shape)
        torch.testing.assert_close(bundle.module()(x), model(x), rtol=1e-4, atol=1e-5)


SIDES = "1..2..4x8x2..4..8x2..4..8"
VIEWS: dict[str, tuple[Function, str, list[tuple[int, ...]]]] = {
    # At the optimum each is the input itself, or has its sizes by chance.
    "rows of 128": (lambda x: x.view(-1, 128), SIDES, [(2, 8, 2, 4), (3, 8, 8, 8), (4, 8, 4, 4)]),
    "squares": (lambda x: x.view(-1, 8, 16), SIDES, [(2, 8, 2, 4), (3, 8, 8, 8), (2, 8, 4, 4)]),
    "of a transposed one": (
        lambda x: x.flatten(2).mT.reshape(-1, 16, 8).sum(1), SIDES, [(2, 8, 2, 4), (3, 8, 8, 8)]
    ),
    "rows of one open size": (
        lambda x: x.reshape(-1, 32), "1..2..4x4x2..8..16", [(1, 4, 8), (4, 4, 2), (3, 4, 16)]
    ),
    "rows of two open sizes": (
        lambda x: x.reshape(-1, 160), "1..2..4x160..1600..16000", [(1, 160), (2, 80 * 5), (3, 320)]
    ),
    "frames in threes": (
        lambda x: x.view(-1, 3, 4, 4).mean(1), "1..2..4x3..3..12x4x4", [(1, 3, 4, 4), (4, 12, 4, 4)]
    ),
}  # fmt: skip


@pytest.mark.rtx
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_the_sizes_that_it_was_asked_for(name: str) -> None:
    """Not those of its input where an example has the same."""
    function, text, shapes = VIEWS[name]
    model = _model(function)
    bundle = edge_trt.compile(model, (edge_trt.Input.parse(f"x={text}"),), target=["cpu", "rtx"])
    assert [part.network is not None for part in bundle.parts] == [True]
    for shape in shapes:
        x = torch.randn(shape)
        torch.testing.assert_close(bundle.module()(x), model(x), rtol=1e-4, atol=1e-5)


def test_no_element_is_true_of_none() -> None:
    """The greatest of no integers is one that is not 0."""
    model = _model(lambda x: x.any((0, 1), keepdim=True))
    given = edge_trt.Input(("n", 0, 2), min=1, opt=2, max=3, dtype="bool")
    bundle = edge_trt.compile(model, (given,))
    x = torch.zeros(2, 0, 2, dtype=torch.bool)
    assert not bundle.module()(x).any()
    assert not model(x).any()


def test_what_a_decomposition_asks_is_not_answered_for_the_example(monkeypatch) -> None:
    operator = torch.ops.aten.take_along_dim.default
    monkeypatch.delitem(open_sizes._OURS, torch.take_along_dim)
    monkeypatch.delitem(DECOMPOSITIONS, operator)  # PyTorch's own counts modulo the example's size
    given = edge_trt.Input.parse("x=2x3x8..16..40x8..16..40")
    with pytest.raises(UnsupportedError, match=r"take_along_dim.* torch.export fixes the size"):
        edge_trt.compile(_model(_best_rows), (given,))


@pytest.mark.rtx
def test_a_padded_size_reaches_a_fallback() -> None:
    def function(x):
        spectrum = torch.fft.rfft(_pad_to_32(x).sin()).abs()
        return F.conv2d(spectrum, torch.ones(3, 3, 3, 3))

    model, given = _model(function), edge_trt.Input.parse("x=1x3x8..32..64x32")
    bundle = edge_trt.compile(model, (given,), target=["cpu", "rtx"])
    kinds = [part.network is not None for part in bundle.parts]
    assert kinds == [True, False, True]
    for side in (8, 32, 63):
        x = torch.randn(1, 3, side, 32)
        torch.testing.assert_close(bundle.module()(x), model(x), rtol=1e-4, atol=1e-3)


@pytest.mark.filterwarnings("ignore:TensorRT runs nothing of this model")
@pytest.mark.parametrize("name", ["both ends", "both ends of two", "first half", "middle"])
def test_a_torch_program_takes_all_sizes_too(name: str) -> None:
    function, text = CASES[name]
    model, given = _model(function), edge_trt.Input.parse(f"x={text}")
    bundle = edge_trt.compile(model, (given,), fallback="torch", fallback_ops="aten.slice")
    assert any(part.program is not None for part in bundle.parts)
    for shape in product(*map(_some, given.shape)):
        x = torch.randn(shape)
        torch.testing.assert_close(bundle.module()(x), model(x))


@pytest.mark.parametrize("least", [0, 1])
def test_only_means_of_what_may_be_empty_are_quotients(least: int) -> None:
    given = edge_trt.Input.parse(f"x={least}..5..20x3")
    (part,) = edge_trt.compile(_model(lambda x: (x.mean(0), x.mean(1))), (given,)).parts
    assert part.network is not None
    kinds = [str(node.layer).partition("[")[0] for node in part.network.nodes]
    assert (kinds == ["Reduce", "Reduce"]) == (least > 0)
