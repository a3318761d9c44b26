# SPDX-License-Identifier: Apache-2.0
"""Names and nesting of inputs and outputs."""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edge_trt.capture import Input, capture
from edge_trt.errors import CaptureError, OptionError
from edge_trt.options import CompileOptions


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.eval()

    def forward(self, x):
        return self.function(x)


class Keywords(nn.Module):
    def forward(self, x, mask=None, *, scale):
        return x * scale if mask is None else x * mask * scale


class Nested(nn.Module):
    def forward(self, batch, options):
        return batch["a"] + batch["b"][0] * options["scale"] if options["on"] else batch["a"]


class Many(nn.Module):
    def forward(self, *xs, **named):
        return sum(xs) + named["bias"]


X = torch.randn(2, 3)
Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Detection:
    boxes: Any
    scores: Any


torch.export.register_dataclass(Detection)


@pytest.mark.parametrize(
    ("model", "inputs", "names"),
    [
        (nn.ReLU(), X, ["input"]),
        (nn.ReLU(), [X], ["input"]),
        (nn.ReLU(), (X.numpy(),), ["input"]),
        (nn.ReLU(), {"input": X}, ["input"]),
        (Keywords(), {"x": X, "scale": X}, ["x", "scale"]),
        (Keywords(), {"scale": X, "mask": X, "x": X}, ["x", "mask", "scale"]),
        (Keywords(), {"x": X, "mask": None, "scale": X}, ["x", "scale"]),
        (Nested(), ({"a": X, "b": [X]}, {"on": True, "scale": 2.0}), ["batch_a", "batch_b_0"]),
        (Many(), {"bias": X}, ["bias"]),
        (nn.ReLU(), Input((2, 3), name="image"), ["image"]),
        (Nested(), ({"a": Input((2, 3), name="left"), "b": [X]}, {"on": True, "scale": 2}),
         ["left", "batch_b_0"]),
    ],
)  # fmt: skip
def test_input_names(model, inputs, names):
    captured = capture(model.eval(), inputs)
    assert captured.input_names == names
    assert [spec.shape for spec in captured.signature.inputs] == [[2, 3]] * len(names)
    assert [list(example.shape) for example in captured.examples] == [[2, 3]] * len(names)
    placeholders = [n.name for n in captured.program.graph.nodes if n.op == "placeholder"]
    assert set(names) <= set(placeholders)


def test_variadic_arguments():
    captured = capture(Many().eval(), {"bias": X})
    assert captured.input_names == ["bias"]
    assert capture(Function(lambda x: x), (X,)).input_names == ["x"]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: x + 1, ["output"]),
        (lambda x: (x + 1,), ["output_0"]),
        (lambda x: [x + 1, x], ["output_0", "output_1"]),
        (lambda x: {"out": x + 1, "aux": x}, ["out", "aux"]),
        (lambda x: {"out": [x, x + 1], "a.b": x}, ["out_0", "out_1", "a_b"]),
        (lambda x: (x, {"deep": (x,)}), ["output_0", "output_1_deep_0"]),
        (lambda x: {0: x, "0": x + 1}, ["0", "0_"]),
        (lambda x: {"out": x, "loss": None, "count": 3}, ["out"]),
        (lambda x: Pair(x, x + 1), ["first", "second"]),
        (lambda x: Detection(x, {"a": x}), ["boxes", "scores_a"]),
    ],
)
def test_output_names(function, names):
    assert capture(Function(function), X).output_names == names


def test_inputs_go_to_the_parameter_of_their_name():
    described = (Input((3,), name="scale"), Input((2, 3), name="image"))

    class Model(nn.Module):
        def forward(self, x, scale):
            return x * scale

    captured = capture(Model().eval(), described)
    assert {s.name: s.shape for s in captured.signature.inputs} == {"image": [2, 3], "scale": [3]}
    assert captured.input_names == ["image", "scale"]


def test_a_renamed_input_stays_one_program(tmp_path):
    # `mul` is what export calls the product: the operator makes way for the input's name.
    captured = capture(Function(lambda x: (x * 2, x)), Input((2, 3), name="mul"))
    assert captured.input_names == ["mul"]
    assert len({node.name for node in captured.program.graph.nodes}) == 3
    doubled, same = captured.program.module()(X)
    assert torch.equal(doubled, X * 2)
    assert torch.equal(same, X)
    torch.export.save(captured.program, tmp_path / "renamed.pt2")  # verifies names and specs
    again = capture(str(tmp_path / "renamed.pt2"))
    assert again.signature == captured.signature


def test_two_inputs_can_swap_names():
    class Model(nn.Module):
        def forward(self, a, b):
            return a - b

    inputs = ({"t": Input((2,), name="b")}, {"t": Input((2,), name="a")})

    class Dicts(nn.Module):
        def forward(self, a, b):
            return a["t"] - b["t"]

    captured = capture(Dicts().eval(), inputs)
    assert captured.input_names == ["b", "a"]
    one, two = torch.ones(2), torch.full((2,), 2.0)
    assert torch.equal(captured.program.module()({"t": two}, {"t": one}), one)
    by_name = capture(Model().eval(), (Input((2,), name="b"), Input((1,), name="a")))
    assert by_name.input_names == ["a", "b"]
    assert [s.shape for s in by_name.signature.inputs] == [[1], [2]]


@pytest.mark.parametrize(
    ("model", "inputs", "error", "says"),
    [
        (nn.ReLU(), None, CaptureError, "ReLU has no example inputs"),
        (nn.ReLU(), {"imput": X}, CaptureError, "did you mean 'input'"),
        (nn.ReLU(), (X, X), CaptureError, r"don't fit forward\(input\)"),
        (Keywords(), (X,), CaptureError, "missing a required argument: 'scale'"),
        (Keywords(), {"x": Input((2,), name="a"), "scale": Input((2,), name="a")}, OptionError,
         "two inputs are named 'a'"),
        (Keywords(), {"x": Input(("n",), min=1, max=4), "scale": Input(("n",), min=1, max=8)},
         OptionError, "'n' is n:1..4 in 'x' and n:1..8 in 'scale'"),
        (nn.ReLU(), X.to(torch.bfloat16), CaptureError, "'input' is bfloat16, which numpy lacks"),
        (Function(lambda x: x.to(torch.bfloat16)), X, CaptureError, "output 'output' is bfloat16"),
        (Function(lambda x: None), X, CaptureError, "returns no tensor"),
        (Function(lambda x: (x, x.shape[0])), Input(("n",), min=1, max=4), CaptureError,
         "'output_1' is a size"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(model, inputs, error, says):
    with pytest.raises(error, match=says):
        capture(model.eval(), inputs)


def test_types_and_scalars():
    class Model(nn.Module):
        def forward(self, ids, mask, temperature):
            return torch.where(mask, ids, 0) / temperature

    captured = capture(
        Model().eval(),
        (Input((4,), dtype=torch.int64), Input((4,), dtype="bool"), Input(())),
    )
    assert [s.dtype for s in captured.signature.inputs] == ["int64", "bool", "float32"]
    assert [s.shape for s in captured.signature.inputs] == [[4], [4], []]
    ids, mask, _ = captured.examples
    assert not ids.any()
    assert mask.all()


def test_examples_are_reproducible_and_kept():
    first, second = (capture(nn.ReLU().eval(), Input((2, 3))).examples[0] for _ in range(2))
    assert torch.equal(first, second)
    assert capture(nn.ReLU().eval(), X).examples[0].data_ptr() == X.data_ptr()
    assert torch.equal(capture(nn.ReLU().eval(), Input(X)).examples[0], X)
    array = np.ones((2, 3), np.float32)
    assert torch.equal(capture(nn.ReLU().eval(), array).examples[0], torch.ones(2, 3))


def test_a_gradient_is_no_obstacle():
    captured = capture(nn.Linear(3, 3).eval(), X.clone().requires_grad_())
    assert not captured.examples[0].requires_grad


def test_operators_of_the_options_are_checked():
    capture(nn.ReLU().eval(), X, CompileOptions(fallback_ops=["aten.relu", "aten.add.Tensor"]))
    for name, says in [
        ("aten.gleu", "did you mean .*'aten.gelu'"),
        ("gleu", "did you mean .*'aten.gelu'"),
        ("aten.add.Tensr", "did you mean 'aten.add.Tensor'"),
        ("torch.nn.functional.gelu", "write it as"),
        ("no good", "unknown operator"),
    ]:
        with pytest.raises(OptionError, match=says):
            capture(nn.ReLU().eval(), X, CompileOptions(fallback_ops=name))
