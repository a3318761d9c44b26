# SPDX-License-Identifier: Apache-2.0
"""Blocks are convex, in order, own their weights, and together are the model."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import fx, nn

from edge_trt.capture import Input
from edge_trt.partitioning import cut
from tests.partitioning.cutting import assert_equal, cut_up, run

aten = torch.ops.aten
X = torch.randn(3, 8)

UNARY = (aten.relu.default, aten.sigmoid.default, aten.neg.default, aten.tanh.default)
BINARY = (aten.add.Tensor, aten.maximum.default)
WEIGHTS = 2


class Drawn:
    """A graph that is drawn node by node; every value is a 3x8 tensor and computed on the way."""

    def __init__(self, inputs: int) -> None:
        weights = {f"w{i}": torch.randn(3, 8) for i in range(WEIGHTS)}
        self.graph = fx.Graph()
        self.values: list[fx.Node] = []
        self.inputs = {f"x{i}": torch.randn(3, 8) for i in range(inputs)}
        for name, value in weights.items():
            self._keep(self.graph.get_attr(name), value)
        for name, value in self.inputs.items():
            self._keep(self.graph.placeholder(name), value)
        self.module = fx.GraphModule(weights, self.graph)

    def _keep(self, node: fx.Node, value: Any) -> None:
        node.meta["val"] = value
        self.values.append(node)

    def call(self, target: Any, *operands: fx.Node, extra: tuple[Any, ...] = ()) -> fx.Node:
        """Adds a call, and the choices among its results if it has several."""
        node = self.graph.call_function(target, (*operands, *extra))
        node.meta["val"] = target(*(n.meta["val"] for n in operands), *extra)
        if isinstance(node.meta["val"], torch.Tensor):
            self.values.append(node)
            return node
        for index, value in enumerate(node.meta["val"]):
            self._keep(self.graph.call_function(operator.getitem, (node, index)), value)
        return node


@st.composite
def drawings(draw: st.DrawFn) -> tuple[Drawn, set[fx.Node]]:
    """A random graph and the calls that TensorRT shall not get."""
    drawn = Drawn(draw(st.integers(1, 3)))
    refused: set[fx.Node] = set()
    for _ in range(draw(st.integers(0, 14))):
        pick = st.sampled_from(drawn.values)
        kind = draw(st.sampled_from(["unary", "binary", "several results"]))
        if kind == "unary":
            call = drawn.call(draw(st.sampled_from(UNARY)), draw(pick))
        elif kind == "binary":
            call = drawn.call(draw(st.sampled_from(BINARY)), draw(pick), draw(pick))
        else:
            call = drawn.call(aten.topk.default, draw(pick), extra=(8,))
        if draw(st.booleans()):
            refused.add(call)
    results = draw(st.lists(st.sampled_from(drawn.values), min_size=1, max_size=5))
    drawn.graph.output(tuple(results))
    drawn.graph.eliminate_dead_code()
    drawn.module.recompile()
    return drawn, refused & set(drawn.graph.nodes)


@given(drawings())
def test_blocks_in_order_are_the_graph(drawing: tuple[Drawn, set[fx.Node]]) -> None:
    drawn, refused = drawing
    expected = fx.Interpreter(drawn.module).run(*drawn.inputs.values())
    calls = {n.name for n in drawn.graph.nodes if n.op == "call_function"} - {
        n.name for n in drawn.graph.nodes if n.target is operator.getitem
    }
    kept_out = {n.name for n in refused}
    weights = {name: getattr(drawn.module, name) for name in ("w0", "w1")}

    partition, _ = cut(drawn.module, dict.fromkeys(refused, "asked for"), 1)

    assert_equal(run(partition, drawn.inputs), expected)
    placed = {kind: set[str]() for kind in ("tensorrt", "fallback")}
    for block in partition.blocks:
        placed[block.kind] |= {n.name for n in block.calls}
        assert block.inputs == list(dict.fromkeys(block.inputs))
        for name, value in block.module.named_buffers():
            assert any(value is w for w in weights.values()), name
    assert placed["fallback"] == kept_out
    assert calls - kept_out <= placed["tensorrt"]  # and copies of weights that are results
    assert placed["tensorrt"] - calls <= {"clone", "clone_default", "clone_default_1"}


@given(drawings(), st.integers(1, 5))
def test_no_block_is_smaller_than_asked(drawing: tuple[Drawn, set[fx.Node]], least: int) -> None:
    drawn, refused = drawing
    expected = fx.Interpreter(drawn.module).run(*drawn.inputs.values())
    partition, reasons = cut(drawn.module, dict.fromkeys(refused, "asked for"), least)
    assert_equal(run(partition, drawn.inputs), expected)
    sizes = [len(block.calls) for block in partition.blocks if block.kind == "tensorrt"]
    assert all(size >= least for size in sizes) or sizes == [0]
    added = [reason for node, reason in reasons.items() if node not in refused]
    assert all(f"below min_block_size {least}" in reason for reason in added)
    in_fallback = sum(len(b.calls) for b in partition.blocks if b.kind == "fallback")
    assert in_fallback == len(reasons)


def test_the_smallest_block_counts_operators() -> None:
    class Two(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x.relu().sigmoid()).abs().relu()

    done = cut_up(Two(), (X,), min_block_size=2)
    assert done.kinds == ["tensorrt", "fallback"]
    reason = "its block of one operator is below min_block_size 2"
    assert [r.reason for r in done.coverage.refusals if r.op == "aten.relu.default"] == [reason]
    assert cut_up(Two(), (X,), min_block_size=3).kinds == ["fallback"]
    whole = cut_up(nn.ReLU(), (X,), min_block_size=2)
    assert (whole.kinds, whole.refused) == (["fallback"], {"aten.relu.default": reason})
    assert_equal(whole(X), [X.relu()])


class Odd(nn.Module):
    """Every kind of result, and names that are ours."""

    def __init__(self) -> None:
        super().__init__()
        self.block0 = nn.Parameter(torch.randn(8))
        self.fallback0 = nn.Parameter(torch.randn(8))
        self.edge_trt_block_0 = nn.Parameter(torch.randn(8))

    def forward(self, x, unused):
        y = x * self.block0 + self.edge_trt_block_0
        z = torch.fft.rfft(y).abs()
        return x, y, y, self.fallback0, z, z.relu() + self.fallback0.sum()


@pytest.mark.parametrize("min_block_size", [1, 100])
def test_results_that_are_inputs_weights_and_repetitions(min_block_size: int) -> None:
    model = Odd()
    done = cut_up(model, (X, X), min_block_size=min_block_size)
    assert_equal(done(X, X), model(X, X))
    if min_block_size == 1:
        assert done.kinds == ["tensorrt", "fallback", "tensorrt"]
        assert done.partition.results[0] == "x"
        assert done.partition.results[1] == done.partition.results[2]
        assert "unused" not in {name for b in done.partition.blocks for name in b.inputs}


def test_weights_are_shared_and_where_they_are_used() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    done = cut_up(model, (X,), fallback_ops=["aten.sigmoid"])
    first, fallback, last = done.partition.blocks
    at = model[0].weight.data_ptr()
    for block in (first, last):
        tensors = [t.data_ptr() for t in block.module.buffers()]
        assert at in tensors
        assert len(tensors) == 2
    assert list(fallback.module.buffers()) == []
    names = {n.meta["fqn"] for n in last.module.graph.find_nodes(op="get_attr")}
    assert names == {"2.weight", "2.bias"}


def test_several_results_at_a_border() -> None:
    class Split(nn.Module):
        def forward(self, x):
            a, b, c = torch.split(x * 2, [2, 3, 3], dim=1)
            values, indices = torch.topk(b, 2)
            return torch.fft.rfft(a).abs(), values.exp(), torch.fft.rfft(c + 1).abs(), indices

    for kept_out in ([], ["aten.topk"], ["aten.slice"], ["aten.exp"]):
        done = cut_up(Split(), (X,), fallback_ops=kept_out)
        assert_equal(done(X), Split()(X))
        assert "fallback" in done.kinds


class Flatten(nn.Module):
    """A size that one block computes and another one needs."""

    def forward(self, x, y):
        rows = x.shape[0] * x.shape[1]
        flat = torch.fft.rfft(x).abs().sum(-1).reshape(rows)
        return flat.relu() + y.reshape(rows), torch.fft.rfft(y.reshape(-1)).abs()


def test_sizes_are_computed_where_they_are_needed() -> None:
    shape = ("b", "n")
    ranges = {key: dict.fromkeys(shape, size) for key, size in (("min", 1), ("max", 9))}
    inputs = (Input((*shape, 8), **ranges), Input(shape, **ranges))
    done = cut_up(Flatten(), inputs)
    for block in done.partition.blocks:
        values = [n.meta["val"] for n in block.module.graph.find_nodes(op="placeholder")]
        assert all(isinstance(value, torch.Tensor) for value in values)
    for b, n in ((1, 1), (2, 2), (3, 5)):
        x, y = torch.randn(b, n, 8), torch.randn(b, n)
        assert_equal(done(x, y), Flatten()(x, y))


def test_a_size_that_no_shape_determines_is_passed_on() -> None:
    """An int crosses the border, and the block works for other sizes than the captured one."""

    class Twice(nn.Module):
        def forward(self, x):
            total = torch.fft.rfft(x).abs().sum()  # a scalar: its shape says nothing
            return total.expand(x.shape[0] * 2).sigmoid() + 1

    done = cut_up(Twice(), (Input(("b", 8), min=1, opt=2, max=9),), fallback_ops=["aten.expand"])
    for size in (1, 4):
        x = torch.randn(size, 8)
        assert_equal(done(x), [Twice()(x)])


class Only(nn.Module):
    def forward(self, x, wide, unused):
        return wide, unused


class Rare(nn.Module):
    """Of types that TensorRT lacks: an input handed on, one that is unused, and a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Buffer(torch.arange(3, dtype=torch.int16))

    def forward(self, x, wide, unused):
        return x * 2, wide, self.weight, wide


@pytest.mark.parametrize("model", [Rare(), Only()], ids=["beside others", "alone"])
def test_types_that_tensorrt_lacks_stay_outside(model: nn.Module) -> None:
    inputs = X, X.double(), X.short()
    done = cut_up(model, inputs)
    assert_equal(done(*inputs), model(*inputs))
    if isinstance(model, Only):
        assert done.kinds == ["fallback"]
    else:
        assert sorted(done.kinds) == ["fallback", "tensorrt"]
        assert done.partition.results[1] == done.partition.results[3] == "wide"


def test_an_input_that_tensorrt_lacks_is_handed_on_beside_one_block() -> None:
    class Beside(nn.Module):
        def forward(self, x, wide, unused):
            return wide, x * 2

    inputs = X, X.double(), X.short()
    done = cut_up(Beside(), inputs)
    assert_equal(done(*inputs), Beside()(*inputs))
    assert (done.kinds, done.partition.results[0]) == (["tensorrt"], "wide")
    assert done.partition.blocks[0].inputs == ["x"]


def test_no_operators_is_one_block() -> None:
    done = cut_up(nn.Identity(), (X,), min_block_size=5)
    assert (done.kinds, done.coverage.by_calls, done.coverage.by_flops) == (["tensorrt"], 1.0, 1.0)
    assert_equal(done(X), [X])
