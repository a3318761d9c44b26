# SPDX-License-Identifier: Apache-2.0
"""Models that do something else at some sizes of a range are refused, and no others."""

from __future__ import annotations

import itertools

import pytest
import sympy
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._sympy.functions import CeilDiv, FloorDiv, Max, Min, Mod

import edge_trt
from edge_trt.capture import Input, capture
from edge_trt.capture.conditions import compiled
from edge_trt.errors import CaptureError


def _model(function) -> nn.Module:
    class Model(nn.Module):
        def forward(self, *x):
            return function(*x)

    return Model().eval()


def _plane(low: int = 2) -> Input:
    return Input(("h", "w"), min=(low, low), opt=(4, 5), max=(6, 6))


def _rows(low: int) -> Input:
    return Input(("n", 3), min=low, opt=4, max=9)


HEIGHT, WIDTH = Input(("h", 3), min=2, opt=4, max=6), Input(("w", 3), min=2, opt=5, max=6)
STEPS = Input((1, 1, "h", "w"), min=(1, 1, 8, 8), opt=(1, 1, 16, 24), max=(1, 1, 32, 32))
SIDES = Input((1, "h", "w"), min=(1, 2, 2), opt=(1, 4, 6), max=(1, 9, 9))


def _letterbox(x):
    wide = x.shape[3] >= x.shape[2]
    return F.interpolate(x, size=(8, 16) if wide else (16, 8))


REFUSED = {
    "wider": (
        lambda x: x * 2 if x.shape[0] > x.shape[1] else x * 3, [_plane()], "h <= w.*h=6, w=5"
    ),
    "square": (lambda x: x * 2 if x.shape[0] == x.shape[1] else x * 3, [_plane()], "h=6, w=6"),
    "many": (lambda x: x * 2 if x.numel() > 30 else x * 3, [_plane()], r"h\*w <= 30.*h=6, w=6"),
    "two inputs": (
        lambda x, y: x * 2 if x.shape[0] > y.shape[0] else x * 3, [HEIGHT, WIDTH], "h <= w"
    ),
    "letterbox": (_letterbox, [STEPS], "w >= h.* torch.where"),
    "one row": (lambda x: x * 2 if x.shape[0] == 1 else x * 3, [_rows(1)], "at n=1 than at larger"),
    "squeeze": (lambda x: x.unsqueeze(2).squeeze(), [_rows(1)], r"at n=1 .*squeeze\(0\)"),
    "one of two": (
        lambda x: x * 2 if x.shape[1] == 1 else x * 3, [_plane(1)], r"else at w=1 than at larger"
    ),
    "both": (
        lambda x: x * 2 if x.numel() == 1 else x * 3, [_plane(1)], r"else at h=1, w=1 than at"
    ),
    "weights for one image": (
        lambda x: x.flatten(1) @ torch.ones(24, 3), [SIDES],
        r"takes only sizes with \(h\*w\) == 24, which does not hold for h=9, w=9",
    ),
    "positions": (
        lambda x: x.flatten(1) + torch.ones(1, 24), [SIDES], r"\(h\*w\) == 24, which does not",
    ),
    "no row": (lambda x: x + 1 if x.numel() == 0 else x.sum(), [_rows(0)], "at n=0 than at larger"),
}  # fmt: skip


@pytest.mark.parametrize(("function", "inputs", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_depends_on_a_size_is_refused(function, inputs, message):
    with pytest.raises(CaptureError, match=message):
        capture(_model(function), tuple(inputs))


TAKEN = {
    "products of sizes": (lambda x: x.reshape(x.shape[0] * x.shape[1]) + 1, [_plane(1)]),
    "a true condition": (lambda x: x * 2 if x.shape[0] * 10 > x.shape[1] else x, [_plane()]),
    "a matrix by itself": (lambda x: x @ x.T + x.sum(), [_plane(1)]),
    "no rows": (lambda x: torch.cat([x, x]) * 2, [_rows(0)]),
    "narrow ranges": (
        lambda x: x * 2 if x.shape[0] > x.shape[1] else x * 3,
        [Input(("h", "w"), min=(2, 6), opt=(4, 7), max=(6, 8))],
    ),
    "random": (lambda x: x + torch.rand_like(x), [_rows(1)]),
}  # fmt: skip


@pytest.mark.parametrize(("function", "inputs"), TAKEN.values(), ids=list(TAKEN))
def test_what_does_the_same_at_all_sizes_is_taken(function, inputs):
    captured = capture(_model(function), tuple(inputs))
    asked = {size for spec in captured.signature.inputs for size in spec.shape}
    assert {size for size in asked if isinstance(size, str)} == set(captured.signature.dims)


class _Padded(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x, pad):
        return self.encoder(x, src_key_padding_mask=pad)


def test_an_encoder_without_keys_is_compared_without_its_fast_kernels():
    x = Input(("b", 6, 8), min=(1, 6, 8), opt=(2, 6, 8), max=(4, 6, 8))
    pad = Input(("b", 6), dtype="bool", min=(1, 6), opt=(2, 6), max=(4, 6))
    assert capture(_Padded().eval(), (x, pad)).signature.dims["b"].min == 1


def test_dropout_is_not_random_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).eval()
    assert len(edge_trt.compile(model, (torch.ones(2, 3),)).vectors) == 4


def test_dropout_that_is_told_to_is_random():
    model = _model(lambda x: nn.functional.dropout(x, 0.5, True) + x)
    batch = edge_trt.Input(("b", 8), min=1, opt=2, max=4)
    with pytest.warns(edge_trt.EdgeTrtWarning, match="the model draws random numbers"):
        assert edge_trt.compile(model, (batch,)).vectors == {}


def test_random_numbers_leave_no_self_test():
    model = _model(lambda x: x + torch.rand_like(x))
    with pytest.warns(edge_trt.EdgeTrtWarning, match="the model draws random numbers"):
        bundle = edge_trt.compile(model, (torch.ones(3),))
    assert bundle.vectors == {}


def test_conditions_are_computed_as_sympy_does():
    n, m = sympy.symbols("s0 s1", integer=True, positive=True)
    parts = [
        FloorDiv(n, 3),
        Mod(n + m, 4),
        Max(n, m * 2),
        Min(n - 3, 2),
        CeilDiv(m, 2),
        FloorDiv(n, m - 3),
    ]
    for left, right in itertools.permutations(parts, 2):
        for condition in (
            sympy.Eq(left, right),
            sympy.Ne(left, right),
            sympy.Or(left < right, n < 4),
        ):
            holds = compiled(condition)
            for sizes in itertools.product((1, 2, 4, 7), (1, 2, 5)):
                known = dict(zip(("s0", "s1"), sizes, strict=True))
                said = holds(known)
                assert isinstance(said, bool)  # Python's own arithmetic
                assert said == bool(condition.xreplace(dict(zip((n, m), sizes, strict=True))))
