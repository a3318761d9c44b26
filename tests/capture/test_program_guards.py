# SPDX-License-Identifier: Apache-2.0
"""Conditions between sizes that a program was exported with hold for all that is asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export

from edge_trt.capture import CaptureWarning, Input, capture
from edge_trt.errors import CaptureError

SOME = Dim.AUTO(min=2, max=9)


class _Pair(nn.Module):
    def forward(self, x, *, mask):
        return x * 2 if x.shape[0] > mask["m"][0].shape[0] else x * 3


class _Model(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def _program(function, dims=(0,), size=6, *, strict=False) -> ExportedProgram:
    shapes = {"x": dict.fromkeys(dims, SOME)}
    return export(_Model(function), (torch.randn(size, 4),), dynamic_shapes=shapes, strict=strict)


def _even(x):
    return x * 2 if x.shape[0] % 2 == 0 else x * 3


def _wide(x):
    return x * 2 if x.shape[0] > x.shape[1] else x * 3


def _cut(x):
    return x[1:-1]


REFUSED = {
    "even": (_even, (0,), None, r"x.shape\[0\] % 2 == 0, .* x.shape\[0\]=9: write x=6x4"),
    "asked": (_even, (0,), "x=5..6..7x4", r"hold for x.shape\[0\]=7: write x=6x4"),
    "wide": (_wide, (0, 1), None, r"x.shape\[0\] > x.shape\[1\], .*x.shape\[1\]=9: give"),
    "cut": (_cut, (0,), None, r"hold for x.shape\[0\]=2: write x=4..6..9x4:float32"),
}  # fmt: skip


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_sizes_that_break_a_condition_are_refused(name, saved, tmp_path):
    function, dims, asked, message = REFUSED[name]
    program = _program(function, dims)
    if saved:
        torch.export.save(program, tmp_path / "p.pt2")
        program = tmp_path / "p.pt2"
    with pytest.raises(CaptureError, match=message):
        capture(program, None if asked is None else Input.parse(asked))


@pytest.mark.parametrize(
    ("function", "dims", "asked"),
    [
        (_even, (0,), "x=6x4"),
        (_wide, (0, 1), "x=6..6..9x2..4..5"),
        (_cut, (0,), "x=4..6..9x4"),
        (lambda x: x * 2 if x.shape[0] > 4 else x * 3, (0,), "x=5..6..9x4"),
    ],
)
def test_sizes_for_which_all_hold_are_taken(function, dims, asked):
    captured = capture(_program(function, dims), Input.parse(asked))
    assert [(d.min, d.max) for d in captured.signature.dims.values()] == [
        (s if isinstance(s, int) else s.min, s if isinstance(s, int) else s.max)
        for s in Input.parse(asked).shape[: len(dims)]
    ]


@pytest.mark.parametrize("strict", [False, True])
def test_nested_inputs_are_found(strict):
    x, m = torch.randn(6, 4), torch.randn(4, 4)
    shapes = {"x": {0: SOME}, "mask": {"m": [{0: SOME}]}}
    program = export(_Pair(), (x,), {"mask": {"m": [m]}}, dynamic_shapes=shapes, strict=strict)
    with pytest.raises(CaptureError, match=r"with x.shape\[0\] > mask_m_0.shape\[0\]"):
        capture(program)


def test_a_condition_that_can_not_be_read_is_told():
    program = _program(lambda x: x * 2)
    program._guards_code = ["L['x'].stride()[0] == 4"]
    with pytest.warns(CaptureWarning, match=r"a condition that can't be checked: L\['x'\].stride"):
        capture(program)


def test_a_size_of_one_that_gives_other_shapes_is_refused():
    program = export(
        _Model(lambda x: x.unsqueeze(2).squeeze()), (torch.randn(4, 3),),
        dynamic_shapes={"x": {0: Dim("n", min=1, max=8)}},
    )  # fmt: skip
    with pytest.raises(CaptureError, match=r"does something else at batch=1 .*squeeze\(0\)"):
        capture(program)
    assert capture(program, Input.parse("x=2..4..8x3")).signature.dims["batch"].max == 8
