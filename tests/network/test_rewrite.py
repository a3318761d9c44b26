# SPDX-License-Identifier: Apache-2.0
"""Rebuilding a network node by node."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edge_trt.network.graph import Network, NetworkError, Node, Origin, Tensor
from edge_trt.network.layers import Activation, Cast, ElementWise, Identity, MatrixMultiply, TopK
from edge_trt.network.rewrite import Rewriter, rewrite
from edge_trt.network.types import DType, TensorType
from tests.support.layer_networks.control import CONTROL

F32 = DType.FLOAT32


def _network() -> Network:
    net = Network("net")
    x = net.input("x", TensorType(F32, ("n", 4)))
    net.origin = Origin("m", "m.py:1", "aten.relu.default", "relu")
    y = net.add(Activation("RELU"), x)
    y = net.add(ElementWise("PROD"), y, net.constant(np.ones((1, 4), np.float32), "w"), name="mul")
    values, indices = net.add_multi(TopK("MAX", 2, 1), y, name="top")
    net.mark_output(values, "values")
    net.mark_output(indices, "indices")
    return net


def test_a_copy_is_equal_and_separate() -> None:
    net = _network()
    text = str(net)
    again = rewrite(net, lambda rewriter, node: None)
    again.verify()
    assert str(again) == text
    assert [n.origin for n in again.nodes] == [n.origin for n in net.nodes]
    assert not {id(t) for n in net.nodes for t in n.outputs} & {
        id(t) for n in again.nodes for t in n.outputs
    }
    assert next(again.constants()).data is next(net.constants()).data
    again.add(Identity(), again.inputs[0])
    assert str(net) == text


def test_a_layer_is_replaced_under_its_name() -> None:
    def rule(rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        if node.layer != Activation("RELU"):
            return None
        return rewriter.copy(node, layer=Activation("TANH"))

    again = rewrite(_network(), rule)
    again.verify()
    assert (again.nodes[0].name, again.nodes[0].layer) == ("relu", Activation("TANH"))


def test_inserted_layers_get_free_names_and_types_follow() -> None:
    def rule(rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        if node.name != "mul":
            return None
        half = [
            rewriter.insert(Cast(DType.FLOAT16), t, name="mul", origin=node.origin)
            for t in rewriter.inputs(node)
        ]
        return rewriter.copy(node, half)

    again = rewrite(_network(), rule)
    again.verify()
    assert [n.name for n in again.nodes] == ["relu", "mul_1", "mul_2", "mul", "top"]
    assert [str(t.type) for t in again.outputs] == ["float16[n, 2]", "int32[n, 2]"]
    assert [t.name for t in again.outputs] == ["values", "indices"]
    assert again.nodes[1].origin.module == "m"


def test_removed_layers_leave_named_outputs() -> None:
    """An output that stands for an input, or for another output, becomes an Identity."""
    net = Network("net")
    x = net.input("x", TensorType(F32, (2,)))
    a = net.add(Activation("RELU"), x)
    b = net.add(Activation("RELU"), a)
    net.mark_output(a, "a")
    net.mark_output(b, "b")
    again = rewrite(net, lambda rewriter, node: [rewriter[node.inputs[0]]])
    again.verify()
    assert [t.name for t in again.outputs] == ["a", "b"]
    assert [n.layer for n in again.nodes] == [Identity(), Identity()]


def test_impossible_inputs_are_refused() -> None:
    def rule(rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        if node.name != "mul":
            return None
        x, w = rewriter.inputs(node)
        return rewriter.copy(
            node, [rewriter.insert(Cast(DType.INT8), x, name="c", origin=node.origin), w]
        )

    with pytest.raises(NetworkError, match=r"layer mul \(aten.relu.default, module m, m.py:1\)"):
        rewrite(_network(), rule)


def test_bodies_are_rewritten_with_the_same_rule() -> None:
    case = next(case for case in CONTROL if case.name == "loop_conditional")
    network = case.network(dynamic=True)
    again = rewrite(network, lambda rewriter, node: None)
    again.verify()
    assert str(again) == str(network)

    def soften(rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        if not isinstance(node.layer, MatrixMultiply):
            return None
        return (rewriter.inputs(node)[0],)

    changed = rewrite(network, soften)
    changed.verify()
    assert "MatrixMultiply" in str(network)
    assert "MatrixMultiply" not in str(changed)


def test_results_of_a_loop_that_nobody_reads_are_not_computed() -> None:
    case = next(case for case in CONTROL if case.name == "loop")
    network = case.network(dynamic=False)
    del network.outputs[1:]
    network.prune()
    network.verify()
    assert [len(node.outputs) for node in network.nodes] == [1]
