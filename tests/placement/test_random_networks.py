# SPDX-License-Identifier: Apache-2.0
"""Random networks from rewrite to plan: equal numbers, and nothing on DLA that a rule refuses."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_trt.engines.onnx import run_network
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import Activation, ElementWise, Reduce, Resize, Slice, Unary
from edge_trt.placement.place import Wish, planned, rewritten
from edge_trt.placement.planner import OBJECTIVES
from tests.placement.rows import pool
from tests.placement.test_place import site
from tests.precision.networks import Net

FUNCTIONS = ("RELU", "HARD_SIGMOID", "GELU_ERF", "SIGMOID")


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Layers of one size, with shortcuts and gates, and perhaps a classifier."""
    net = Net(draw(st.integers(0, 3)))
    tensors = [net.input(1, 8, 8, 8)]
    for _ in range(draw(st.integers(1, 8))):
        x = draw(st.sampled_from(tensors))
        tensors.append(_layer(net, draw, x, tensors))
    result = tensors[-1] if tensors[-1].producer else net.activation("RELU", tensors[-1])
    if draw(st.booleans()):
        pooled = net.network.add(Reduce("AVG", (2, 3)), result)
        result = net.linear(pooled, 3)
    return net.done(result)


def _layer(net: Net, draw: st.DrawFn, x: Tensor, tensors: list[Tensor]) -> Tensor:
    kind = draw(st.sampled_from(["conv", "function", "sum", "gate", "minus", "pool", "slice"]))
    if kind == "conv":
        return net.conv(x, 8)
    if kind == "function":
        return net.network.add(Activation(draw(st.sampled_from(FUNCTIONS)), 0.2, 0.5), x)
    if kind == "sum":
        return net.network.add(ElementWise("SUM"), x, draw(st.sampled_from(tensors)))
    if kind == "gate":
        mean = net.network.add(Reduce("AVG", (2, 3), True), x)
        return net.network.add(ElementWise("PROD"), mean, x)
    if kind == "minus":
        return net.network.add(Unary("NEG"), x)
    if kind == "pool":
        return net.network.add(pool(3, 1, 1), x)
    corner = net.network.add(Slice((2, 3), (1, 0), (4, 4), (2, 2)), x)
    double = Resize("NEAREST", shape=(1, 8, 8, 8), coordinate_transformation="ASYMMETRIC")
    return net.network.add(double, corner)


@given(networks(), st.sampled_from(OBJECTIVES), st.sampled_from(["auto", "only"]))
@settings(max_examples=30, deadline=None)
def test_a_plan_keeps_numbers_and_rules(network: Network, objective, policy: str) -> None:
    where, wish = site(mode="15W"), Wish(policy, objective, "int8")
    found = rewritten(network, where, wish)
    found.network.verify()
    feed = {"x": np.random.default_rng(0).standard_normal((1, 8, 8, 8)).astype(np.float32)}
    before, after = (run_network(n, feed) for n in (network, found.network))
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=1e-4, atol=1e-4)
    plan = planned(found.network, where, wish)
    assert all(plan.verdicts[name].allowed for name in plan.labels)
    devices = plan.assignment.devices
    assert set(devices) == {node.name for node in found.network.nodes}
    done: set[str] = set()
    producers = {
        node.name: {t.producer.name for t in node.inputs if t.producer}
        for node in found.network.nodes
    }
    for region in plan.assignment.regions:  # each can run when those before it are done
        done.update(region.layers)
        assert all(producers[layer] <= done for layer in region.layers)
