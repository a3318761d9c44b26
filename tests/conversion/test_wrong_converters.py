# SPDX-License-Identifier: Apache-2.0
"""Converters of users that are wrong: one sentence with their line, the model's, and the fix."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import edge_trt
from edge_trt import ConversionError, Input
from edge_trt.conversion import registry
from edge_trt.network.types import DType

LIBRARY = torch.library.Library("edge_trt_wrong", "FRAGMENT")
for schema, compute in {
    "turned(Tensor x) -> Tensor": lambda x: x.mT.contiguous(),
    "longer(Tensor x) -> Tensor": lambda x: torch.cat([x, x[:1]]),
    "doubled(Tensor x) -> Tensor": lambda x: torch.cat([x, x]),
    "both(Tensor x) -> (Tensor, Tensor)": lambda x: (x + 1, x + 2),
}.items():
    LIBRARY.define(schema)
    LIBRARY.impl(schema.partition("(")[0], compute, "CompositeExplicitAutograd")
ops = torch.ops.edge_trt_wrong
for name, fake in {
    "turned": lambda x: x.new_empty(x.shape[1], x.shape[0]),
    "longer": lambda x: x.new_empty(x.shape[0] + 1, x.shape[1]),
    "doubled": lambda x: x.new_empty(2 * x.shape[0], x.shape[1]),
    "both": lambda x: (torch.empty_like(x), torch.empty_like(x)),
}.items():
    torch.library.register_fake(f"edge_trt_wrong::{name}", fake)


@pytest.fixture(autouse=True)
def registry_as_before(monkeypatch: pytest.MonkeyPatch):
    registry.lookup(torch.ops.aten.relu.default)
    monkeypatch.setattr(registry, "CONVERTERS", dict(registry.CONVERTERS))


class Head(nn.Module):
    def __init__(self, operator) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, x):
        return self.operator(x)


def converted(operator, function, when=None, example=None):
    edge_trt.converter(operator.default, when=when)(function)
    example = torch.ones(3, 4) if example is None else example
    return edge_trt.compile(nn.Sequential(Head(operator)).eval(), example, self_test=0)


def _divided(ctx, x):
    return ctx.elementwise("PROD", x, 1 / len(x.shape[2:]))


def _two_types(ctx, x):
    return ctx.elementwise("SUM", x, ctx.constant(1))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda ctx, x: {}["gain"], "KeyError: 'gain'"),
        (_divided, "ZeroDivisionError: division by zero .*in _divided: .*PROD"),
        (lambda ctx, x: ctx.permute(x), "TypeError: .*permute"),
        (lambda ctx, x: x.no_such, "AttributeError: .*no_such"),
        (lambda ctx, x: [][1], "IndexError: list index"),
        (_two_types, "float32.*int64|int64.*float32"),
        (lambda: None, "TypeError"),
        (
            lambda ctx, x: ctx.unary("SIGMOID", x),
            r"Unary has no op 'SIGMOID': EXP, LOG.* in <lambda>",
        ),
        (lambda ctx, x: None, "returns None: return the Tensor that ctx makes"),
        (lambda ctx, x: 3.0, r"returns 3\.0: return the Tensor"),
        (lambda ctx, x: torch.ones(3, 4), r"returns a torch\.Tensor: return the Tensor"),
        (lambda ctx, x: [x, x], "returns 2 results, and torch gives 1"),
        (lambda ctx, x: ctx.cast(x, DType.INT32), r"expected float32\[4, 3\].*int32\[3, 4\]"),
        (lambda ctx, x: ctx.reduce("SUM", x, [0], False), r"shapes \[4, 3\] and \[4\] differ"),
        (lambda ctx, x: x, r"shapes \[4, 3\] and \[3, 4\] differ"),
    ],
)
def test_what_a_converter_does_wrong_is_told_with_its_line(function, says):
    with pytest.raises(ConversionError, match=says) as caught:
        converted(ops.turned, function)
    said = str(caught.value)
    assert "the converter of edge_trt_wrong.turned.default is wrong" in said
    assert re.search(r"(at|in) \S*.*test_wrong_converters\.py:\d+", said)
    assert re.search(r"module 0, tests/conversion/test_wrong_converters\.py:\d+\): mend it", said)
    assert "\n" not in said
    assert caught.value.__cause__ is not None


def test_too_few_results_are_told():
    with pytest.raises(ConversionError, match="returns 1 results, and torch gives 2"):
        converted(ops.both, lambda ctx, x: x)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (lambda x: {}["limit"], "KeyError: 'limit'"),
        (lambda x: x.shape[0] > 3 and None, "AttributeError.*tensors reach a condition as"),
        (lambda x: 1 // 0, "ZeroDivisionError"),
        (lambda x: True, "answers True, and has to answer None or a sentence"),
        (lambda x: "", "answers '', and has to"),
    ],
)
def test_what_a_condition_does_wrong_is_told_with_its_line(condition, says):
    with pytest.raises(ConversionError, match=says) as caught:
        converted(ops.turned, lambda ctx, x: ctx.permute(x, [1, 0]), condition)
    said = str(caught.value)
    assert "condition (when=) of the converter of edge_trt_wrong.turned.default is wrong" in said
    assert re.search(r"test_wrong_converters\.py:\d+.*module 0, .*\d\): mend it", said)
    assert caught.value.__cause__ is not None


OPEN = Input(("n", "m"), min={"n": 2, "m": 3}, opt={"n": 4, "m": 4}, max={"n": 9, "m": 9})


@pytest.mark.parametrize(
    ("operator", "function", "says"),
    [
        (ops.turned, lambda ctx, x: x, r"size 0 of the result is n, torch gives m: \d and \d for"),
        (ops.longer, lambda ctx, x: x, r"is n, torch gives n \+ 1: \d+ and \d+ for n=\d"),
        (ops.doubled, lambda ctx, x: x, r"is n, torch gives 2\*n"),
    ],
)
def test_a_wrong_open_size_is_told(operator, function, says):
    with pytest.raises(ConversionError, match=says):
        converted(operator, function, example=OPEN)


def test_an_open_size_may_be_written_otherwise(monkeypatch):
    """The same size as torch's in other words: `n + n`, and `n - 1 + 2`."""

    def retyped(text):
        def convert(ctx, x):
            result = ctx.concat([x, x], 0)
            result.type = result.type.with_shape((text, "m"))
            return result

        return convert

    bundle = converted(ops.doubled, retyped("n + n"), example=OPEN)
    x = torch.randn(5, 3)
    assert torch.equal(bundle.module()(x), torch.cat([x, x]))
    edge_trt.converter(ops.doubled.default, override=True)(retyped("n + n - 1"))
    with pytest.raises(ConversionError, match=r"is n \+ n - 1, torch gives 2\*n"):
        edge_trt.compile(Head(ops.doubled).eval(), OPEN, self_test=0)
