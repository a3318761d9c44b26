# SPDX-License-Identifier: Apache-2.0
"""What registration refuses, how arguments are bound, and what support says."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import torch
from torch import fx

from edge_trt.conversion import registry
from edge_trt.conversion.registry import CONVERTERS, bind, converter, evaluator, support, table
from tests.conversion.checking import captured, lowered
from tests.conversion.rows import Row, f

aten = torch.ops.aten


@pytest.fixture
def empty_registry(monkeypatch):
    registry.lookup(aten.relu.default)
    monkeypatch.setattr(registry, "CONVERTERS", {})
    return registry


def call_of(row: Row) -> fx.Node:
    (node,) = captured(row.program()).graph.find_nodes(op="call_function", target=row.run)
    return node


def test_a_second_converter_is_refused(empty_registry):
    converter(aten.relu.default)(lambda ctx, self: self)
    with pytest.raises(TypeError, match=r"aten\.relu\.default has a converter already"):
        converter(aten.relu.default)(lambda ctx, self: self)
    with pytest.raises(TypeError, match="has a converter already"):
        table({aten.relu.default: "RELU"}, lambda ctx, row, self: self)


def test_a_parameter_outside_the_schema_is_refused(empty_registry):
    with pytest.raises(TypeError, match=r"\['input'\] not in the schema aten::relu\(Tensor self\)"):
        converter(aten.relu.default)(lambda ctx, input: input)
    with pytest.raises(TypeError, match=r"\['weight'\] not in the schema"):
        table({aten.relu.default: 1}, lambda ctx, row, weight: weight)


def test_a_predicate_outside_the_schema_is_refused(empty_registry):
    with pytest.raises(TypeError, match=r"\['bias'\] not in the schema"):
        converter(aten.relu.default, when=lambda bias: None)(lambda ctx, self: self)


def test_every_overload_of_a_decorator_is_held_to_its_own_schema(empty_registry):
    with pytest.raises(TypeError, match=r"\['alpha'\] not in the schema aten::mul"):
        converter(aten.add.Tensor, aten.mul.Tensor)(lambda ctx, self, other, alpha: self)


def test_a_table_row_gets_its_value(empty_registry):
    table({aten.sin.default: "SIN", aten.cos.default: "COS"}, lambda ctx, row, self: (row, self))
    assert registry.CONVERTERS[aten.cos.default].function("ctx", self="x") == ("COS", "x")
    assert registry.CONVERTERS[aten.sin.default].parameters == ("self",)


def test_evaluators_are_marked(empty_registry):
    evaluator(len)(lambda ctx, values: len(values))
    assert registry.CONVERTERS[len].evaluates


def test_bind_fills_defaults_and_takes_keywords():
    graph = fx.Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y")
    plain = graph.call_function(aten.add.Tensor, (x, y))
    scaled = graph.call_function(aten.add.Tensor, (x,), {"other": y, "alpha": 3})
    assert bind(plain) == {"self": x, "other": y, "alpha": 1}
    assert bind(scaled) == {"self": x, "other": y, "alpha": 3}


def test_support_names_what_is_missing():
    node = call_of(Row("erfc", aten.erfc.default, (f(2),)))
    assert support(node) == "aten.erfc.default has no converter"


@pytest.mark.parametrize(
    ("cast", "remedy"),
    [
        (torch.float64, "cast to float32"),
        (torch.int16, "use int32"),
        (torch.complex64, "real pairs"),
    ],
)
def test_support_names_types_and_the_remedy(cast, remedy):
    node = call_of(Row("neg", aten.neg.default, (torch.ones(2, dtype=cast),)))
    reason = support(node)
    assert reason is not None
    assert str(cast).removeprefix("torch.") in reason
    assert remedy in reason


def test_support_limits_the_rank():
    node = call_of(Row("neg", aten.neg.default, (torch.ones((1,) * 9),)))
    assert support(node) == "aten.neg.default works on 9 dimensions, TensorRT has at most 8"


@torch.library.custom_op("edge_trt_test::grow", mutates_args={"x"})
def grow(x: torch.Tensor, by: float) -> None:
    """An operator of a user that writes to what it gets."""
    x.mul_(by)


def test_an_operator_that_writes_is_named_with_the_way_out():
    def run(x):
        y = x + 1
        grow(y, 2.0)
        return y * 3

    graph = lowered(Row("writes", run, (f(3),)).program()).graph
    (reason,) = filter(None, map(support, graph.nodes))
    assert reason.startswith("edge_trt_test.grow.default writes to its argument 'x', and ")
    assert "declare the operator with mutates_args=()" in reason


def test_every_converter_lives_in_a_family_file_that_says_what_it_is():
    import edge_trt.conversion.converters as package

    registry.lookup(aten.relu.default)
    files = {m.name for m in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")}
    assert {e.function.__module__ for e in CONVERTERS.values() if not e.evaluates} == files
    assert all(importlib.import_module(name).__doc__ for name in files)
