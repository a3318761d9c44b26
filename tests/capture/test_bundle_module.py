# SPDX-License-Identifier: Apache-2.0
"""``BundleModule``: the original call, around a session that runs the captured program."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict, namedtuple
from typing import Any

import msgspec
import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from edge_trt.capture import Input, capture
from edge_trt.errors import InputError
from edge_trt.lowering.eager import eager
from edge_trt.module import BundleModule
from edge_trt_runtime.manifest import Signature

X = torch.randn(2, 3)
Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Named:
    boxes: Any
    scores: Any = None


@dataclasses.dataclass
class Unnamed:
    boxes: Any
    scores: Any


torch.export.register_dataclass(Named, serialized_type_name="tests.Named")
torch.export.register_dataclass(Unnamed)


class ProgramSession:
    """Runs the captured program, with the signature as a manifest file would give it."""

    def __init__(self, captured):
        self.captured = captured
        self.signature = msgspec.json.decode(
            msgspec.json.encode(captured.signature), type=Signature
        )

    def run(self, inputs):
        assert list(inputs) == self.captured.input_names
        outputs = eager(self.captured.program)([torch.from_numpy(a) for a in inputs.values()])
        return dict(zip(self.captured.output_names, outputs, strict=True))

    def initial_states(self):
        return {}

    def next_states(self, outputs):
        assert not self.signature.states
        return {}


def compiled(model, inputs):
    return BundleModule(ProgramSession(capture(model.eval(), inputs)))


def assert_same(got, expected):
    got_leaves, got_spec = pytree.tree_flatten(got)
    leaves, spec = pytree.tree_flatten(expected)
    assert got_spec == spec
    for one, other in zip(got_leaves, leaves, strict=True):
        if isinstance(other, torch.Tensor):
            torch.testing.assert_close(one, other)
        else:
            assert one == other
            assert type(one) is type(other)


class Keywords(nn.Module):
    def forward(self, x, mask=None, flag=True, *, scale):
        out = x * scale if mask is None else x * mask * scale
        return {"out": out + 1 if flag else out, "extra": (x, [mask, flag, 2.5, None, "text"])}


class Nested(nn.Module):
    def forward(self, batch, rest):
        return batch["b"] - batch["a"], rest[0] * rest[1]["w"]


class Variadic(nn.Module):
    def forward(self, first, *others, **named):
        return first + sum(others) * named["scale"]


def test_keyword_arguments():
    model = Keywords()
    call = {"x": X, "mask": X > 0, "scale": torch.ones(3)}
    module = compiled(model, call)
    assert_same(module(**call), model(**call))
    assert_same(module(scale=call["scale"], mask=call["mask"], x=X), model(**call))


def test_positional_arguments_by_name_and_back():
    class Subtract(nn.Module):
        def forward(self, a, b):
            return a - b

    model = Subtract()
    module = compiled(model, (X, X * 3))
    for got in (module(X, X * 3), module(X, b=X * 3), module(b=X * 3, a=X)):
        assert_same(got, model(X, X * 3))


def test_nested_arguments_in_any_order_of_keys():
    model = Nested()
    call = ({"a": X, "b": X + 1}, [X, {"w": X}])
    module = compiled(model, call)
    assert_same(module(*call), model(*call))
    assert_same(module({"b": X + 1, "a": X}, (X, OrderedDict(w=X))), model(*call))


def test_variadic_arguments():
    model = Variadic()
    # Keyword inputs alone can't fill *others, so an exported program brings the whole call.
    program = torch.export.export(model.eval(), (X, X, X), {"scale": torch.ones(3)})
    module = BundleModule(ProgramSession(capture(program)))
    assert_same(module(X, X, X, scale=torch.ones(3)), model(X, X, X, scale=torch.ones(3)))
    with pytest.raises(InputError, match="4 positional arguments, and the captured call had 3"):
        module(X, X, X, X, scale=torch.ones(3))


class Returns(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1,
        lambda x: x,
        lambda x: (x,),
        lambda x: [x, (x + 1, {"a": x})],
        lambda x: OrderedDict(a=x, b=None),
        lambda x: (x, 3, None, True, 0.5, "name"),
        lambda x: Named(x, {"s": x + 1}),
    ],
)
def test_results_are_nested_as_the_model_nests_them(function):
    assert_same(compiled(Returns(function), X)(X), Returns(function)(X))


def test_classes_that_cannot_be_written_become_plain_containers():
    pair = compiled(Returns(lambda x: Pair(x, {"k": x + 1})), X)(X)
    assert_same(pair, (X, {"k": X + 1}))
    unnamed = compiled(Returns(lambda x: {"r": Unnamed(x, [x])}), X)(X)
    assert_same(unnamed, {"r": {"boxes": X, "scores": [X]}})


def test_inputs_renamed_for_the_bundle_keep_their_parameter():
    model = Returns(lambda x: x * 2)
    module = compiled(model, Input(("n", 3), min=1, opt=2, max=8, name="image"))
    for rows in (1, 2, 8):
        x = torch.randn(rows, 3)
        assert_same(module(x), model(x))
        assert_same(module(x=x), model(x))


CALL = {"x": X, "mask": None, "flag": True, "scale": X}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"flag": False}, "flag is False, and it was captured as True"),
        ({"flag": 1}, "flag is 1, and it was captured as True"),
        ({"mask": X}, "mask is a tensor, and it was captured as None"),
        ({"scale": 2.0}, "scale is float, and a tensor is expected"),
        ({"scale": X.to(torch.bfloat16)}, "'scale' is bfloat16, which numpy lacks"),
        ({"scal": X}, "did you mean 'scale'"),
        ({"x": [X, X]}, "x is missing"),
        ({"x": ...}, "x is missing"),
        ({"flag": ...}, "flag is missing: it was captured as True"),
    ],
)
def test_another_call_than_the_captured_one_is_refused(change, says):
    module = compiled(Keywords(), CALL)
    module(**CALL)
    call = {name: value for name, value in {**CALL, **change}.items() if value is not ...}
    with pytest.raises(InputError, match=says):
        module(**call)


def test_an_argument_twice_and_one_too_many():
    module = compiled(Nested(), ({"a": X, "b": X}, [X, {"w": X}]))
    with pytest.raises(InputError, match="'batch' is given twice"):
        module({"a": X, "b": X}, [X, {"w": X}], batch=X)
    with pytest.raises(InputError, match=r"batch\['c'\] was no part of the captured call"):
        module({"a": X, "b": X, "c": X}, [X, {"w": X}])


def test_layouts_and_gradients_of_the_inputs_do_not_matter():
    module = compiled(Returns(lambda x: x * 2), X)
    for x in (X.t().contiguous().t(), X.clone().requires_grad_(), torch.stack([X, X])[1]):
        got = module(x)
        torch.testing.assert_close(got, X * 2)
        assert not got.requires_grad


def test_constants_that_are_not_equal_to_themselves():
    class Scaled(nn.Module):
        def forward(self, x, scale):
            return x * scale

    module = compiled(Scaled(), (X, float("nan")))
    assert module(X, float("nan")).isnan().all()
    with pytest.raises(InputError, match="captured as nan"):
        module(X, 0.0)


def test_it_is_a_module():
    module = compiled(Returns(lambda x: x * 2), Input(("n", 3), min=1, max=8))
    outer = nn.Sequential(module, nn.ReLU()).eval()
    torch.testing.assert_close(outer(X), (X * 2).relu())
    assert list(outer.parameters()) == []
    assert "x: float32['n', 3]" in repr(module)


def test_the_calling_convention_is_plain_json():
    signature = capture(Keywords().eval(), CALL).signature
    assert json.loads(signature.in_tree) == {
        "positional": ["x", "mask", "flag"],
        "leaves": [
            {"path": ["x"], "input": "x"},
            {"path": ["mask"], "constant": None},
            {"path": ["flag"], "constant": True},
            {"path": ["scale"], "input": "scale"},
        ],
    }


@pytest.mark.gpu
def test_outputs_come_back_to_the_device_of_the_inputs():
    module = compiled(Returns(lambda x: x * 2), X)
    assert module(X.cuda()).is_cuda
