# SPDX-License-Identifier: Apache-2.0
"""The driver: names, origins, symbolic sizes, and how it catches a wrong converter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edge_trt.conversion import registry
from edge_trt.conversion.driver import convert, to_numpy
from edge_trt.conversion.registry import Converter
from edge_trt.engines.onnx import run_network
from edge_trt.errors import ConversionError
from edge_trt.network.types import DType
from tests.conversion.checking import captured

aten = torch.ops.aten


class Inner(nn.Module):
    def forward(self, x):
        return torch.relu(x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(3, 4), Inner())

    def forward(self, x):
        return self.blocks(x).sum(1)


@pytest.fixture
def graph():
    batch = torch.export.Dim("batch", min=1, max=8)
    return captured(
        torch.export.export(Outer().eval(), (torch.randn(2, 3),), dynamic_shapes=({0: batch},))
    )


def replaced(monkeypatch, overload, function):
    """Puts a wrong converter in the place of the right one."""
    entry = registry.lookup(overload)
    assert entry is not None
    wrong = Converter(function, entry.parameters, None, (), entry.evaluates)
    monkeypatch.setitem(registry.CONVERTERS, overload, wrong)


WRONG = {
    "axis": (
        aten.sum.dim_IntList,
        lambda ctx, self, dim, keepdim: ctx.reduce("SUM", self, [0], False),
    ),
    "rank": (aten.sum.dim_IntList, lambda ctx, self, dim, keepdim: self),
    "type": (aten.relu.default, lambda ctx, self: ctx.cast(self, DType.INT32)),
    "layer": (
        aten.relu.default,
        lambda ctx, self: ctx.activation("RELU", ctx.cast(self, DType.INT32)),
    ),
    "count": (aten.relu.default, lambda ctx, self: [self, self]),
    "nothing": (aten.relu.default, lambda ctx, self: None),
    "python": (aten.relu.default, lambda ctx, self: self.no_such_attribute),
    "operand": (aten.linear.default, lambda ctx, input, weight, bias: ctx.matmul(input, weight)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_converter_is_caught_where_the_model_calls_it(monkeypatch, graph, name):
    overload, function = WRONG[name]
    replaced(monkeypatch, overload, function)
    with pytest.raises(ConversionError, match=f"{overload}") as caught:
        convert(graph, "net")
    module = {"sum": "", "relu": "blocks.1", "linear": "blocks.0"}[overload._schema.name[6:]]
    assert caught.value.module == module
    assert caught.value.node
    if overload is not aten.linear.default:  # whose line is torch's own
        assert caught.value.source.startswith("tests/conversion/test_driver.py:")
    assert caught.value.source in str(caught.value)


def test_a_refused_call_is_an_error_with_its_reason(graph):
    graph.graph.find_nodes(op="call_function", target=aten.relu.default)[
        0
    ].target = aten.erfc.default
    with pytest.raises(ConversionError, match=r"aten.erfc.default has no converter .*blocks.1"):
        convert(graph, "net")


def test_names_and_symbolic_sizes(graph):
    (symbol,) = (
        graph.graph.find_nodes(op="placeholder")[0].meta["val"].shape[0].node.expr.free_symbols
    )
    network = convert(
        graph,
        "net",
        input_names=["image"],
        output_names=["score"],
        dim_names={str(symbol): "batch"},
    )
    network.verify()
    assert str(network.inputs) == "[%image: float32[batch, 3]]"
    assert str(network.outputs) == "[%score: float32[batch]]"
    assert {t.name for t in network.constants()} == {"blocks.0.weight", "blocks.0.bias"}


def test_every_layer_knows_its_origin(graph):
    origins = {node.origin.module: node.origin for node in convert(graph, "net").nodes}
    assert set(origins) == {"blocks.0", "blocks.1", ""}
    assert origins["blocks.1"].op == "aten.relu.default"
    assert origins["blocks.1"].source.startswith("tests/conversion/test_driver.py:")


def test_weights_are_not_copied(graph):
    weight = graph.blocks_0_weight
    named = {t.name: t for t in convert(graph, "net").constants()}
    assert np.shares_memory(named["blocks.0.weight"].data, weight.numpy())


class Outputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("constant", torch.arange(3.0))

    def forward(self, x):
        doubled = x * 2
        return doubled, doubled, x, self.constant, x.shape[0]


def test_outputs_may_be_inputs_constants_sizes_and_repeated():
    dim = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(Outputs(), (torch.ones(2, 3),), dynamic_shapes=({0: dim},))
    network = convert(captured(program), "net")
    network.verify()
    x = np.ones((5, 3), np.float32)
    results = list(run_network(network, {"x": x}).values())
    expected = [2 * x, 2 * x, x, np.arange(3.0), np.array(5)]
    assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.output = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x + self.output


def test_a_parameter_may_have_the_name_of_an_output():
    program = torch.export.export(Named(), (torch.ones(3),))
    network = convert(captured(program), "net", output_names=["output"])
    network.verify()
    assert network.outputs[0].name == "output"
    (result,) = run_network(network, {"x": np.ones(3, np.float32)}).values()
    assert result.tolist() == [2.0] * 3


def test_a_size_may_be_an_input():
    """A block whose sizes come from another block has them as 0-d int64 inputs."""
    dim = torch.export.Dim("n", min=2, max=8)
    program = torch.export.export(Repeated(), (torch.ones(3, 4),), dynamic_shapes=({0: dim},))
    graph = captured(program).graph
    (size,) = graph.find_nodes(op="call_function", target=aten.sym_size.int)
    with graph.inserting_before(size):
        given = graph.placeholder("n")
        given.meta["val"] = size.meta["val"]
    size.replace_all_uses_with(given)
    graph.erase_node(size)
    module = torch.fx.GraphModule(graph.owning_module, graph)
    network = convert(module, "net")
    network.verify()
    assert "int64[]" in str(network.inputs)
    names = [t.name for t in network.inputs]
    feeds = dict(zip(names, (np.ones((5, 4), np.float32), np.array(5)), strict=True))
    (result,) = run_network(network, feeds).values()
    assert result.shape == (5, 2)


class Repeated(nn.Module):
    def forward(self, x):
        return torch.full((x.shape[0], 2), 3.0)


def test_bfloat16_weights_keep_their_bits():
    tensor = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    assert to_numpy(tensor).astype(np.float32).tolist() == [1.5, -2.0]
