# SPDX-License-Identifier: Apache-2.0
"""Dynamic sizes: how they are asked for, and what a model answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_trt.capture import CaptureWarning, Input, capture, conditions
from edge_trt.capture.recurrences import OPERATORS
from edge_trt.errors import CaptureError
from edge_trt.lowering.eager import eager
from edge_trt_runtime.manifest import Range
from tests.support.models import Detector


def module(function):
    class Model(nn.Module):
        def forward(self, x, y=None):
            return function(x) if y is None else function(x, y)

    return Model().eval()


def shapes(captured):
    signature = captured.signature
    return [spec.shape for spec in (*signature.inputs, *signature.outputs)]


def batch(low, opt, high, **rest):
    return Input(min=(low, 3), opt=(opt, 3), max=(high, 3), **rest)


@pytest.mark.parametrize(
    "sizes", [(1, 4, 8), (2, 2, 3), (1, 1, 8), (0, 1, 4), (0, 0, 1), (1, 1, 2)]
)
def test_a_range_stays_a_range_whatever_its_optimum(sizes):
    captured = capture(nn.Linear(3, 5).eval(), batch(*sizes))
    assert captured.signature.dims == {"batch": Range(*sizes)}
    assert shapes(captured) == [["batch", 3], ["batch", 5]]
    assert list(captured.examples[0].shape) == [sizes[1], 3]
    assert list(captured.symbols.values()) == ["batch"]
    for size in sizes:
        assert captured.program.module()(torch.randn(size, 3)).shape == (size, 5)


def test_one_size_is_no_range():
    captured = capture(nn.Linear(3, 5).eval(), batch(4, 4, 4))
    assert captured.signature.dims == {}
    assert shapes(captured) == [[4, 3], [4, 5]]


def test_a_range_after_a_fixed_size_of_a_model_with_branches():
    """Its branches are compiled, and what is kept from one capture is no guard of another."""
    model = module(lambda x: torch.cond(x.sum() > 0, torch.sin, torch.neg, (x,)))
    assert capture(model, (torch.randn(4, 3),)).signature.dims == {}
    assert set(capture(model, batch(1, 4, 8)).signature.dims) == {"batch"}
    ranges = Input(("batch", "width"), min=(1, 2), opt=(4, 3), max=(8, 9))
    assert set(capture(model, ranges).signature.dims) == {"batch", "width"}


def test_names_of_the_user():
    described = Input(("n", "time"), min=(1, 1), opt=(2, 6), max=(4, 8), dtype="int64", name="ids")
    captured = capture(nn.Embedding(10, 7).eval(), described)
    assert captured.signature.dims == {"n": Range(1, 2, 4), "time": Range(1, 6, 8)}
    assert shapes(captured) == [["n", "time"], ["n", "time", 7]]
    assert sorted(captured.symbols.values()) == ["n", "time"]
    symbols = {str(s) for s in captured.program.range_constraints}
    assert captured.symbols.keys() <= symbols


def test_names_without_a_user():
    two = capture(module(lambda x: x[:, 1:]), Input(min=(1, 3, 3), opt=(2, 4, 3), max=(4, 8, 3)))
    assert shapes(two)[0] == ["x_dim0", "x_dim1", 3]
    width = capture(nn.ReLU().eval(), Input(min=(1, 2), max=(1, 8)))
    assert shapes(width) == [[1, "input_dim1"], [1, "input_dim1"]]


def test_outputs_are_written_in_terms_of_the_inputs():
    captured = capture(
        module(lambda x: (torch.cat([x, x]), x[::2].relu(), x.nonzero(), x.flatten())),
        Input(("n", 3), min=3, opt=4, max=8),
    )
    assert shapes(captured)[1] == ["2*n", 3]
    assert shapes(captured)[2][0] == "((n + 1)//2)"
    assert shapes(captured)[3] == ["?", 2]
    assert shapes(captured)[4] == ["3*n"]


def test_equal_names_are_one_size():
    captured = capture(
        module(lambda x, y: x + y),
        (Input(("n", 3), min=1, opt=4, max=8), Input(("n", 3), min=1, opt=4, max=8)),
    )
    assert captured.signature.dims == {"n": Range(1, 4, 8)}
    assert shapes(captured) == [["n", 3]] * 3


def test_equal_ranges_are_two_sizes():
    captured = capture(module(lambda x, y: (x + 1, y + 1)), (batch(1, 4, 8), batch(1, 4, 8)))
    assert captured.signature.dims.keys() == {"x_dim0", "y_dim0"}
    assert shapes(captured)[2:] == [["x_dim0", 3], ["y_dim0", 3]]


def test_a_named_model_input_keeps_its_example_values():
    example = torch.tensor([[1, 2, 3]])
    described = Input(example, min=(1, 3), max=(8, 3), name="ids")
    captured = capture(nn.Embedding(4, 2).eval(), described)
    assert torch.equal(captured.examples[0], example)
    assert captured.signature.dims == {"batch": Range(1, 1, 8)}


def narrow(x):
    return x + 1 if x.shape[0] <= 5 else x


@pytest.mark.parametrize(
    ("function", "inputs", "says"),
    [
        (narrow, (batch(1, 4, 8),),
         (r"chooses by a condition on a size, x.shape\[0\] <= 5, which does not hold for "
          r"x.shape\[0\]=8: write x=1..4..5x3:float32")),
        (narrow, (batch(1, 4, 8, name="image"),), "write image=1..4..5x3:float32"),
        (lambda x: x.reshape(4, 3), (batch(1, 4, 8),),
         (r"fixes dimension 0 of 'x' at 4, but 1..4..8 was asked for: decided at "
          r".*test_ranges.py:\d+ in <lambda>: \(lambda x: x.reshape\(4, 3\).*: "
          "write x=4x3:float32")),
        (lambda x: torch.combinations(x[:, 0]), (batch(1, 4, 8),),
         "whose size only its values tell .*torch.combinations takes a known number"),
        (lambda x, y: x + y, (batch(1, 4, 8), batch(1, 4, 8)),
         r"dimension 0 of 'y' equal to dimension 0 of 'x'.* x=n:1..4..8x3:float32 and y=n:1..4..8"),
        (lambda x, y: x + y, (Input(("n", 3), min=1, opt=4, max=8),
                              Input(("m", 3), min=1, opt=4, max=9)),
         r"give both one name and range: y=n:1..4..8x3:float32"),
        (lambda x, y: x[1:] + y, (batch(2, 4, 8), batch(1, 3, 7)),
         "needs dimension 0 of 'x' to be dimension 0 of 'y' \\+ 1"),
        (lambda x: x[::2].squeeze(), (Input(("n", 3), min=1, opt=4, max=8),),
         r"which does not hold for n=2: write x=n:3..4..8x3:float32"),
        (lambda x: x * 2 if x.shape[0] == 2 else x + 1, (batch(1, 2, 8),), "write x=2x3"),
    ],
)  # fmt: skip
def test_a_model_that_needs_other_sizes_says_which_and_what_to_write(function, inputs, says):
    with pytest.raises(CaptureError, match=says):
        capture(module(function), inputs)


@pytest.mark.parametrize(
    ("function", "sizes"),
    [
        (lambda x: x[1:] - x[:-1], (1, 2, 8)),
        (lambda x: x[1:] - x[:-1], (2, 2, 5)),
        (lambda x: x[1:] - x[:-1], (1, 4, 8)),
        (lambda x: x[2:] * x[:-2].sum(1, keepdim=True), (2, 2, 6)),
        (lambda x: x[::2].relu(), (1, 4, 8)),
    ],
)
def test_one_row_of_a_cut_is_no_other_size(function, sizes):
    captured = capture(module(function), batch(*sizes))
    assert captured.signature.dims == {"batch": Range(*sizes)}
    run = eager(captured.program)
    for size in range(sizes[0], sizes[2] + 1):
        x = torch.randn(size, 3)
        torch.testing.assert_close(torch.as_tensor(run([x])[0]), function(x))


def test_multiples_are_found():
    halves = module(lambda x: x.reshape(x.shape[0] // 2, 6))
    with pytest.warns(
        CaptureWarning, match=r"of 'x' is taken in multiples of 2 only: n:1..6..9 becomes"
    ):
        captured = capture(halves, Input(("n", 3), min=1, opt=6, max=9))
    assert captured.signature.dims == {"n": Range(2, 6, 8, 2)}
    assert shapes(captured) == [["n", 3], ["(n//2)", 6]]
    assert list(captured.examples[0].shape) == [6, 3]
    assert captured.symbols.popitem()[1] == "(n//2)"


def test_an_image_of_any_size_that_a_detector_halves():
    described = Input.parse("images=1..2..8x3x192..224..512x192..224..512")
    with pytest.warns(CaptureWarning, match=r"[23] of 'images' is .* of 32 only$"):
        captured = capture(Detector(width=4, classes=3).eval(), (described,))
    assert captured.signature.dims == {
        "images_dim0": Range(1, 2, 8),
        "images_dim2": Range(192, 224, 512, 32),
        "images_dim3": Range(192, 224, 512, 32),
    }


def test_what_to_write_works():
    with pytest.raises(CaptureError) as caught:
        capture(module(narrow), batch(1, 4, 8))
    text = str(caught.value).rpartition("write ")[2]
    assert capture(module(narrow), Input.parse(text)).signature.dims["batch"] == Range(1, 4, 5)


def test_what_to_write_for_several_dimensions_is_one_input():
    weight = torch.rand(4, 6)
    asked = Input(("b", "h", "w"), min={"b": 1, "h": 2, "w": 3}, max={"b": 3, "h": 4, "w": 6})
    with pytest.raises(CaptureError) as caught:
        capture(module(lambda x: x * weight), asked)
    assert caught.value.hint == "write x=b:1..3x4x6:float32"


@pytest.mark.parametrize("name", ["N", "S", "E", "I", "O", "batch", "lambda_", "_", "s0", "oo"])
def test_any_identifier_names_a_dimension(name):
    captured = capture(nn.ReLU().eval(), Input((name, 3), min=1, opt=2, max=8))
    assert captured.signature.dims.keys() == {name}
    assert shapes(captured) == [[name, 3]] * 2


@pytest.mark.filterwarnings("ignore:The tensor attributes self")
def test_the_length_of_a_sequence_may_be_a_range_and_torch_is_left_as_it_was() -> None:
    before = [dict(operator.py_kernels) for operator in OPERATORS]
    sizes = {"opt": {"batch": 2, "steps": 5}, "max": {"batch": 4, "steps": 8}}
    x = Input(("batch", "steps", 4), min={"batch": 1, "steps": 1}, **sizes)
    captured = capture(torch.nn.LSTM(4, 3, batch_first=True).eval(), (x,))
    assert [spec.shape for spec in captured.signature.outputs] == [
        ["batch", "steps", 3], [1, "batch", 3], [1, "batch", 3],
    ]  # fmt: skip
    assert [dict(operator.py_kernels) for operator in OPERATORS] == before


def test_a_condition_is_tried_with_all_sizes_once(monkeypatch):
    tried: list[str] = []
    failing = conditions._failing

    def counted(expression, *rest):
        tried.append(str(expression))
        return failing(expression, *rest)

    class Never(nn.Module):
        def forward(self, x, y):
            return x.sum() - y.sum() if 7 * x.shape[0] == 5 * y.shape[0] else x.sum() + y.sum()

    monkeypatch.setattr(conditions, "_failing", counted)
    capture(Never().eval(), (Input.parse("x=2..3..4x3"), Input.parse("y=2..3..4x3")))
    assert len(tried) == 1
