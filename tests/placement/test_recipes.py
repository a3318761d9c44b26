# SPDX-License-Identifier: Apache-2.0
"""Every rewrite for DLA: equal numbers on the CPU engine, and layers that a DLA takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from edge_trt.engines.onnx import run_network
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import (
    Activation,
    ElementWise,
    MatrixMultiply,
    Pooling,
    Reduce,
    Resize,
    Shuffle,
    Slice,
    Unary,
)
from edge_trt.placement.recipes import RECIPES, apply
from edge_trt.placement.recipes.pooled import factors
from edge_trt.placement.rules import RULES
from edge_trt.placement.verdicts import judge
from tests.precision.networks import Net

Build = Callable[[Net], "Tensor | tuple[Tensor, ...]"]


def mean(axes: tuple[int, ...], *shape: int, op: str = "AVG", keep: bool = True) -> Build:
    return lambda net: net.network.add(Reduce(op, axes, keep), net.input(*shape))  # type: ignore[arg-type]


def hard_swish(net: Net) -> Tensor:
    x = net.input(2, 4, 5, 6)
    gate = net.network.add(Activation("HARD_SIGMOID", 1 / 6, 0.5), x)
    return net.network.add(ElementWise("PROD"), x, gate)


def squeeze_excite(net: Net) -> Tensor:
    x = net.input(2, 8, 16, 16)
    y = net.conv(x, 8)
    pooled = net.network.add(Reduce("AVG", (2, 3), True), y)
    gate = net.network.add(Activation("HARD_SIGMOID", 1 / 6, 0.5), pooled)
    return net.network.add(ElementWise("PROD"), gate, y)


def quotient(net: Net) -> Tensor:
    divisor = net.network.constant(np.array([[[[2.0]], [[-3.0]], [[0.7]]]], np.float32))
    return net.network.add(ElementWise("DIV"), net.input(2, 3, 4, 4), divisor)


def larger_second(op: str) -> Build:
    def build(net: Net) -> Tensor:
        small = net.weight(1, 3, 1, 1)
        return net.network.add(ElementWise(op), small, net.input(2, 3, 4, 4))  # type: ignore[arg-type]

    return build


def resized(mode: str) -> Build:
    layer = Resize(mode, shape=(2, 3, 8, 12))  # type: ignore[arg-type]
    if mode == "NEAREST":
        layer = Resize("NEAREST", shape=(2, 3, 8, 12), coordinate_transformation="ASYMMETRIC")
    return lambda net: net.network.add(layer, net.input(2, 3, 4, 4))


def focus(net: Net) -> Tensor:
    x = net.input(2, 3, 8, 8)
    corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
    slices = [net.network.add(Slice((2, 3), corner, (4, 4), (2, 2)), x) for corner in corners]
    return net.concat(slices, 1)


def every_third(net: Net) -> Tensor:
    return net.network.add(Slice((3,), (1,), (4,), (3,)), net.input(2, 3, 4, 11))


def reshaped(
    shape: tuple[int, ...], middle: tuple[int, ...], order: tuple[int, ...], end: tuple[int, ...]
) -> Build:
    def build(net: Net) -> Tensor:
        x = net.network.add(Shuffle(reshape_dims=middle), net.input(*shape))
        x = net.network.add(Shuffle(first_transpose=order), x)
        return net.network.add(Shuffle(reshape_dims=end), x)

    return build


def head(net: Net, size: int = 1, keep: bool = True, function: str = "RELU") -> Tensor:
    """Pooled features through two products with a function between."""
    x = net.input(2, 6, 4, 4)
    if size == 1:
        x = net.network.add(Reduce("AVG", (2, 3), keep), x)
    flat = x if x.rank == 2 else net.network.add(Shuffle(reshape_dims=(2, 6 * size * size)), x)
    y = net.network.add(Activation(function, 0.2, 0.5), net.linear(flat, 5))  # type: ignore[arg-type]
    matrix = net.network.constant(net.weight(5, 3).data)
    return net.network.add(MatrixMultiply(), y, matrix)


ROWS: list[tuple[str, Build, dict[str, int]]] = [
    ("mean of 8x8", mean((2, 3), 2, 3, 8, 8), {"Pooling": 1}),
    ("mean of 7x7", mean((2, 3), 2, 3, 7, 7), {"Pooling": 1}),
    ("mean of 14x20", mean((2, 3), 1, 3, 14, 20), {"Pooling": 2}),
    ("mean of 49x2", mean((2, 3), 1, 3, 49, 2), {"Pooling": 2}),
    ("mean of 13x5", mean((2, 3), 1, 3, 13, 5), {"Convolution": 1}),
    ("mean of rows", mean((2,), 1, 3, 6, 5), {"Pooling": 1}),
    ("mean of columns", mean((3,), 1, 3, 6, 5), {"Pooling": 1}),
    ("mean of channels", mean((1,), 2, 3, 6, 5), {"Convolution": 1}),
    ("mean, flat", mean((2, 3), 2, 3, 8, 8, keep=False), {"Pooling": 1, "Shuffle": 1}),
    ("sum of 4x6", mean((2, 3), 2, 3, 4, 6, op="SUM"), {"Pooling": 1, "Scale": 1}),
    ("sum of channels", mean((1,), 2, 3, 4, 6, op="SUM"), {"Convolution": 1, "Scale": 1}),
    ("hard swish", hard_swish, {"Scale": 1, "Activation": 1, "ElementWise": 1}),
    ("squeeze and excite", squeeze_excite,
     {"Convolution": 1, "Pooling": 2, "Scale": 1, "Activation": 1, "ElementWise": 1}),
    ("minus", lambda net: net.network.add(Unary("NEG"), net.input(2, 3, 4, 4)), {"Scale": 1}),
    ("quotient", quotient, {"ElementWise": 1}),
    ("sum, larger second", larger_second("SUM"), {"ElementWise": 1}),
    ("product, larger second", larger_second("PROD"), {"ElementWise": 1}),
    ("maximum, larger second", larger_second("MAX"), {"ElementWise": 1}),
    ("nearest to a shape", resized("NEAREST"), {"Resize": 1}),
    ("linear to a shape", resized("LINEAR"), {"Resize": 1}),
    ("focus", focus, {"Convolution": 4, "Concatenation": 1}),
    ("every third column", every_third, {"Convolution": 1}),
    ("depth to space", reshaped((2, 12, 3, 5), (2, 3, 2, 2, 3, 5), (0, 1, 4, 2, 5, 3),
                                (2, 3, 6, 10)), {"Deconvolution": 1}),
    ("space to depth", reshaped((2, 3, 6, 10), (2, 3, 3, 2, 5, 2), (0, 1, 3, 5, 2, 4),
                                (2, 12, 3, 5)), {"Convolution": 1}),
    ("channel shuffle", reshaped((2, 12, 3, 5), (2, 3, 4, 3, 5), (0, 2, 1, 3, 4),
                                 (2, 12, 3, 5)), {"Convolution": 1}),
    ("classifier", head, {"Pooling": 1, "Convolution": 2, "ElementWise": 1, "Activation": 1,
                          "Shuffle": 1}),
    ("classifier of a flat mean", lambda net: head(net, keep=False),
     {"Pooling": 1, "Convolution": 2, "ElementWise": 1, "Activation": 1, "Shuffle": 1}),
    ("classifier with hard swish", lambda net: head(net, function="HARD_SIGMOID"),
     {"Pooling": 1, "Convolution": 2, "ElementWise": 1, "Scale": 1, "Activation": 1,
      "Shuffle": 1}),
    ("classifier of 4x4", lambda net: head(net, 4),
     {"Convolution": 2, "ElementWise": 1, "Activation": 1, "Shuffle": 1}),
]  # fmt: skip
"""Network, and the kinds of the layers afterwards."""


def network_of(build: Build) -> Network:
    net = Net(3)
    results = build(net)
    return net.done(*(results if isinstance(results, tuple) else (results,)))


def wanted_for(network: Network) -> dict[str, str]:
    found = judge(network, generation=2, tensorrt=(10, 3, 0))
    return {n: v.rule.recipe for n, v in found.items() if v.rule and v.rule.recipe}


@pytest.mark.parametrize(("build", "kinds"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_the_numbers_stay_and_a_dla_takes_it(build: Build, kinds: dict[str, int]) -> None:
    network = network_of(build)
    rewritten, made = apply(network, wanted_for(network))
    rewritten.verify()
    assert made
    assert Counter(node.layer.kind for node in rewritten.nodes) == kinds
    refused = [
        v for v in judge(rewritten, generation=2, tensorrt=(10, 3, 0)).values() if not v.allowed
    ]
    assert {v.kind for v in refused} <= {"Shuffle"}
    (x,) = network.inputs
    feed = {x.name: np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)}
    before, after = (run_network(n, feed) for n in (network, rewritten))
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=1e-5, atol=1e-6)


def test_every_recipe_has_a_row_and_every_rule_names_one_that_exists() -> None:
    used = {recipe for row in ROWS for recipe in wanted_for(network_of(row[1])).values()}
    assert used == set(RECIPES)
    assert {rule.recipe for rule in RULES} - {""} == set(RECIPES)


REFUSED: list[tuple[str, Build]] = [
    ("a mean over the batch", mean((0,), 2, 3, 4, 4)),
    ("a mean of 37 columns", mean((3,), 1, 3, 6, 37)),
    ("a product of elements", mean((2, 3), 2, 3, 4, 4, op="PROD")),
    ("gelu", lambda net: net.network.add(Activation("GELU_ERF"), net.input(1, 2, 4, 4))),
    ("a resize by 1.5", lambda net: net.network.add(
        Resize("NEAREST", shape=(1, 2, 6, 6)), net.input(1, 2, 4, 4))),
    ("a slice from far inside", lambda net: net.network.add(
        Slice((3,), (4,), (3,), (2,)), net.input(1, 2, 4, 10))),
    ("a transpose in three steps", reshaped(
        (1, 12, 3, 5), (1, 3, 2, 2, 3, 5), (0, 1, 2, 4, 3, 5), (1, 6, 6, 5))),
    ("a product of vectors that were never four-dimensional", lambda net: net.linear(
        net.input(2, 6), 3)),
]  # fmt: skip


@pytest.mark.parametrize("build", [r[1] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_a_recipe_can_not_write_stays(build: Build) -> None:
    network = network_of(build)
    rewritten, made = apply(network, wanted_for(network))
    assert made == {}
    assert [n.layer for n in rewritten.nodes] == [n.layer for n in network.nodes]


def test_only_what_is_asked_for_is_rewritten() -> None:
    network = network_of(
        lambda net: (
            hard_swish(net),
            net.network.add(Unary("NEG"), net.input(1, 2, 2, 2, name="z")),
        )
    )
    minus = next(n.name for n in network.nodes if isinstance(n.layer, Unary))
    rewritten, made = apply(network, {minus: "negate"})
    assert list(made) == [minus]
    assert sum(isinstance(n.layer, Activation) for n in rewritten.nodes) == 1


def test_layers_keep_their_origin() -> None:
    net = Net()
    net.at("head.pool")
    x = net.network.add(Reduce("AVG", (2, 3), True), net.input(1, 3, 14, 14))
    rewritten, _ = apply(net.done(x), {x.producer.name: "reduce"})  # type: ignore[union-attr]
    assert {node.origin.module for node in rewritten.nodes} == {"head.pool"}
    assert all(isinstance(node.layer, Pooling) for node in rewritten.nodes)


@pytest.mark.parametrize(
    ("size", "steps"), [(1, []), (7, [7]), (8, [8]), (14, [7, 2]), (100, [5, 5, 4]), (22, None)]
)
def test_factors_of_a_window(size: int, steps: list[int] | None) -> None:
    assert factors(size) == steps
