# SPDX-License-Identifier: Apache-2.0
"""Fallback blocks as programs: what is saved, loaded and run again gives the block's values."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from edge_trt.capture import Input
from edge_trt.errors import UnsupportedError
from edge_trt.partitioning import Block
from edge_trt.partitioning.program import export, save
from edge_trt.partitioning.values import describe
from edge_trt_runtime.manifest import TensorSpec
from tests.partitioning.cutting import Cut, assert_equal, cut_up


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x.relu()).abs() * 2


def batch(opt: int = 2, most: int = 9) -> Input:
    return Input(("b", 8), min=1, opt=opt, max=most)


def fallbacks(done: Cut) -> list[Block]:
    return [block for block in done.partition.blocks if block.kind == "fallback"]


def loaded(block: Block) -> Any:
    return torch.export.load(io.BytesIO(save(block, export(block)))).module()


@pytest.mark.parametrize("opt", [1, 2, 9])
def test_a_range_survives(opt: int) -> None:
    """Also when the captured size is 1, which torch.export would take for a constant."""
    (block,) = fallbacks(cut_up(Spectrum(), (batch(opt),)))
    program = loaded(block)
    for size in (1, 2, 5, 9):
        x = torch.randn(size, 8)
        assert_equal(program(x), block.module(x))


@pytest.mark.filterwarnings("ignore:The tensor attributes self")
def test_the_length_of_a_recurrence_stays_a_range() -> None:
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrence = nn.LSTM(4, 3, batch_first=True)

        def forward(self, x):
            return self.recurrence(x)[0]

    model = Reader().eval().requires_grad_(False)
    lengths = Input((2, "n", 4), min=1, opt=5, max=9)
    (block,) = fallbacks(cut_up(model, (lengths,), fallback_ops=["aten.lstm"]))
    program = loaded(block)
    for length in (1, 5, 9):
        x = torch.randn(2, length, 4)
        assert_equal(program(x), block.module(x))


def test_a_derived_size_stays_a_range() -> None:
    class Differences(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x[1:] - x[:-1]).abs()

    done = cut_up(Differences(), (Input(("b", 8), min=3, opt=4, max=9),))
    (block,) = fallbacks(done)
    program = loaded(block)
    for size in (3, 4, 9):
        x = torch.randn(size, 8)
        assert_equal(program(*run_up_to(done, block, x)), [Differences()(x)])


def run_up_to(done: Cut, stop: Block, x: torch.Tensor) -> list[torch.Tensor]:
    """The inputs that a block gets."""
    values = {"x": x}
    for block in done.partition.blocks:
        if block is stop:
            break
        results = block.module(*(values[name] for name in block.inputs))
        values.update(zip(block.outputs, results, strict=True))
    return [values[name] for name in stop.inputs]


def test_a_size_as_an_input() -> None:
    class Repeat(nn.Module):
        def forward(self, x):
            total = torch.fft.rfft(x).abs().sum()
            return total.expand(x.shape[0] * 2).exp()

    done = cut_up(Repeat(), (batch(),), fallback_ops=["aten.expand"])
    for block in fallbacks(done):
        program = loaded(block)
        for size in (1, 4):
            inputs = run_up_to(done, block, torch.randn(size, 8))
            assert_equal(program(*inputs), block.module(*inputs))


def test_weights_come_along() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x):
            return self.inner(x).exp()

    model = Model()
    (block,) = fallbacks(cut_up(model, (batch(),), fallback_modules=["inner"]))
    x = torch.randn(4, 8)
    assert_equal(loaded(block)(x), [model.inner(x)])


def test_what_cannot_be_exported_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = fallbacks(cut_up(Spectrum(), (batch(),)))

    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no such luck\nwith details")

    monkeypatch.setattr(torch.export, "export", fails)
    with pytest.raises(UnsupportedError) as caught:
        export(block)
    text = str(caught.value)
    assert "aten.fft_rfft.default" in text
    assert "tests/partitioning/test_program.py:" in text
    assert "no such luck" in text
    assert "details" not in text
    assert "fallback_modules" in text


def test_a_size_that_export_fixes_is_refused() -> None:
    """Else the block would refuse at run time what the bundle promises."""
    (block,) = fallbacks(cut_up(Spectrum(), (batch(),)))
    (placeholder,) = block.module.graph.find_nodes(op="placeholder")
    with block.module.graph.inserting_after(placeholder):
        fixed = block.module.graph.call_function(torch.ops.aten.view.default, (placeholder, [2, 8]))
    placeholder.replace_all_uses_with(fixed, delete_user_cb=lambda user: user is not fixed)
    block.module.recompile()
    with pytest.raises(UnsupportedError, match=r"fixes the size 0 of \w+ to 2"):
        export(block)


def test_types_of_the_values() -> None:
    done = cut_up(Spectrum(), (batch(),))
    symbols = done.captured.symbols
    specs = [describe(block, symbols) for block in done.partition.blocks]
    x = TensorSpec("x", "float32", ["b", 8])
    first = TensorSpec("block0.0", "float32", ["b", 8])
    middle = TensorSpec("fallback0.0", "float32", ["b", 5])
    last = TensorSpec("block1.0", "float32", ["b", 5])
    assert specs == [[x, first], [first, middle], [middle, last]]
