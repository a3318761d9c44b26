# SPDX-License-Identifier: Apache-2.0
"""Networks: names, printing, pruning, and `verify` on every kind of damage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_trt.network.builder import Builder
from edge_trt.network.graph import Network, NetworkError, Node, Origin, Tensor
from edge_trt.network.layers import Activation, ElementWise, Identity, Shuffle, TopK
from edge_trt.network.types import DType, TensorType

F32 = DType.FLOAT32
MATRIX = TensorType(F32, ("batch", 4))


def small() -> Network:
    net = Network("small")
    x = net.input("x", MATRIX)
    net.origin = Origin("block.act", "model.py:3", "aten.relu.default", "relu")
    y = net.add(Activation("RELU"), x)
    y = net.add(ElementWise("SUM"), y, net.constant(np.ones((1, 4), np.float32), "weight"))
    net.mark_output(y, "y")
    return net


def test_printing_shows_types_layers_and_names() -> None:
    assert str(small()) == (
        "network small(%x: float32[batch, 4]) {\n"
        "  %relu: float32[batch, 4] = Activation[type=RELU](%x)\n"
        "  %y: float32[batch, 4] = ElementWise[op=SUM](%relu, %weight)\n"
        "  return %y\n"
        "}"
    )
    assert str(Origin()) == "(no origin)"
    assert str(Origin("a.b", "m.py:1", "op")) == "op, module a.b, m.py:1"


def test_names_are_unique() -> None:
    net = Network("net")
    x = net.input("x", MATRIX)
    names = [net.add(Identity(), x, name=n).name for n in ("x", "x", "x_1", "a", "a", "x")]
    assert len({*names, "x"}) == 7
    assert net.constant(np.zeros(1, np.float32), "a").name not in (*names, "x")
    values, indices = net.add_multi(TopK("MAX", 1, 1), x, name="top")
    assert (values.name, indices.name) == ("top", "top.1")
    assert net.add(Identity(), x, name="top.1").name != "top.1"
    net.reserve(["later"])
    assert net.add(Identity(), x, name="later").name != "later"
    net.verify()


def test_constants_and_users() -> None:
    net = small()
    (weight,) = net.constants()
    assert weight.name == "weight"
    assert weight.is_constant
    users = net.users()
    assert users[net.inputs[0]] == [net.nodes[0]]
    assert users[weight] == [net.nodes[1]]
    assert net.nodes[1].inputs[0].producer is net.nodes[0]


def test_constants_take_the_name_of_a_type() -> None:
    builder = Builder(Network("net"))
    assert builder.constant(1, "float16").dtype is DType.FLOAT16
    with pytest.raises(NetworkError, match="a constant has no type 'float': use one of float32, "):
        builder.constant(1, "float")


def test_constants_of_impossible_types_are_refused() -> None:
    with pytest.raises(NetworkError, match="constant c has type float64"):
        Network("net").constant(np.zeros(1), "c")


def test_arrays_are_not_copied() -> None:
    array = np.zeros((2, 3), np.float32)
    assert Network("net").constant(array).data is array


def test_layers_refuse_with_their_place() -> None:
    net = Network("net")
    net.origin = Origin("head", "model.py:9", "aten.add.Tensor", "add")
    x = net.input("x", MATRIX)
    with pytest.raises(
        NetworkError, match=r"layer add \(aten.add.Tensor, module head, model.py:9\)"
    ):
        net.add(ElementWise("SUM"), x, net.constant(np.zeros((1, 3), np.float32)))
    with pytest.raises(NetworkError, match="use add_multi"):
        net.add(TopK("MAX", 1, 1), x)


def test_outputs_must_be_computed_once() -> None:
    net = small()
    for tensor in (net.inputs[0], net.outputs[0], next(net.constants())):
        with pytest.raises(NetworkError, match="without an Identity layer"):
            net.mark_output(tensor, "z")


def test_prune_drops_what_no_output_needs() -> None:
    net = small()
    dead = net.add(Activation("TANH"), net.inputs[0])
    net.add(Activation("TANH"), dead)
    net.prune()
    assert [n.layer.kind for n in net.nodes] == ["Activation", "ElementWise"]
    net.verify()


def _swap_nodes(net: Network) -> None:
    net.nodes.reverse()


def _same_names(net: Network) -> None:
    net.nodes[0].outputs[0].name = "x"


def _foreign_input(net: Network) -> None:
    foreign = Tensor("relu", MATRIX)
    _replace(net, 1, inputs=(foreign, net.nodes[1].inputs[1]))


def _wrong_dtype(net: Network) -> None:
    net.nodes[1].outputs[0].type = TensorType(DType.FLOAT16, ("batch", 4))


def _wrong_shape(net: Network) -> None:
    net.nodes[1].outputs[0].type = TensorType(F32, ("batch", 5))


def _wrong_rank(net: Network) -> None:
    net.nodes[1].outputs[0].type = TensorType(F32, (4,))


def _impossible_layer(net: Network) -> None:
    old = net.nodes[1]
    net.nodes[1] = Node(old.name, Shuffle(first_transpose=(0, 2)), old.inputs[:1], old.outputs,
                        old.origin)  # fmt: skip


def _missing_output(net: Network) -> None:
    del net.nodes[1]


def _constant_named_like_an_input(net: Network) -> None:
    next(net.constants()).name = "x"


def _output_named_like_an_input(net: Network) -> None:
    net.outputs[0].name = "x"


def _same_layer_names(net: Network) -> None:
    old = net.nodes[1]
    net.nodes[1] = Node("relu", old.layer, old.inputs, old.outputs, old.origin)


def _too_many_results(net: Network) -> None:
    old = net.nodes[1]
    extra = Tensor("extra", MATRIX)
    net.nodes[1] = Node(old.name, old.layer, old.inputs, (*old.outputs, extra), old.origin)


def _input_as_output(net: Network) -> None:
    net.outputs.append(net.inputs[0])


def _constant_as_output(net: Network) -> None:
    net.outputs.append(next(net.constants()))


def _replace(net: Network, place: int, *, inputs: tuple[Tensor, ...]) -> None:
    old = net.nodes[place]
    net.nodes[place] = Node(old.name, old.layer, inputs, old.outputs, old.origin)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_swap_nodes, r"layer \w+ reads relu before it is computed"),
        (_same_names, "two tensors are called x"),
        (_foreign_input, "reads relu before it is computed"),
        (_wrong_dtype, "expected float16"),
        (_wrong_shape, "differ"),
        (_wrong_rank, "differ"),
        (_impossible_layer, "transpose"),
        (_missing_output, "output y of network small is not computed"),
        (_constant_named_like_an_input, "two tensors are called x"),
        (_output_named_like_an_input, "two tensors are called x"),
        (_same_layer_names, "two layers are called relu"),
        (_too_many_results, "has 2 outputs, not 1"),
        (_input_as_output, "output x of network small is not computed"),
        (_constant_as_output, "output weight of network small is not computed"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_verify_finds_damage(damage: Callable[[Network], None], message: str) -> None:
    net = small()
    net.verify()
    damage(net)
    with pytest.raises(NetworkError, match=message):
        net.verify()
