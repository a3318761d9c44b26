# SPDX-License-Identifier: Apache-2.0
"""Where a network is quantized, what shares a scale, and why the rest is left alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import (
    Concatenation,
    Convolution,
    Deconvolution,
    Dequantize,
    Einsum,
    ElementWise,
    MatrixMultiply,
    Pooling,
    Quantize,
    Slice,
)
from edge_trt.network.types import DType
from edge_trt.precision.sharing import share
from edge_trt.precision.sites import Sites, find_sites
from tests.precision.networks import Net, attention_net, conv_net


def _nothing(_: Node) -> None:
    return None


def _kinds(sites: Sites) -> list[str]:
    return sorted(node.layer.kind for node in sites.activations)


def test_convolutions_linears_and_the_shortcut_of_an_addition() -> None:
    network = conv_net()
    sites = find_sites(network, _nothing)
    # The addition's other operand is the convolution's activation, which is not one kernel with it.
    assert _kinds(sites) == ["Convolution", "Convolution", "MatrixMultiply"]
    assert sites.reasons == {}


def _residual(*, projected: bool) -> Network:
    net = Net()
    x = net.activation("RELU", net.conv(net.input("batch", 8, 8, 8), 8))
    y = net.conv(net.activation("RELU", net.conv(x, 8)), 8)
    shortcut = net.conv(x, 8) if projected else x
    return net.done(net.activation("RELU", net.elementwise("SUM", y, shortcut)))


@pytest.mark.parametrize("projected", [False, True])
def test_one_branch_of_a_residual_is_quantized(projected: bool) -> None:
    network = _residual(projected=projected)
    sites = find_sites(network, _nothing)
    (addition,) = (n for n in network.nodes if isinstance(n.layer, ElementWise))
    assert sites.activations[addition] == (1,)
    shortcut = addition.inputs[1]
    assert shortcut in sites.tensors
    assert addition.inputs[0] not in sites.tensors
    assert shortcut.producer is not None
    assert shortcut.producer.layer.kind == ("Convolution" if projected else "Activation")


def test_attention_multiplies_activations_as_they_are() -> None:
    sites = find_sites(attention_net(), _nothing)
    assert set(_kinds(sites)) == {"MatrixMultiply"}
    (reason,) = set(sites.reasons.values())
    assert reason.startswith("a product of two activations")
    assert len(sites.reasons) == 2


def _grouped_deconvolution(net: Net, x: Tensor) -> Tensor:
    layer = Deconvolution((1, 1), (0, 0), (0, 0), (1, 1), num_groups=2)
    return net.network.add(layer, x, net.weight(4, 2, 3, 3))


def _constant_first(net: Net, x: Tensor) -> Tensor:
    return net.network.add(MatrixMultiply(), net.weight(1, 1, 8, 8), x)


def _batched(net: Net, x: Tensor) -> Tensor:
    return net.network.add(MatrixMultiply(), x, net.weight(1, 4, 8, 8))


def _einsum(net: Net, x: Tensor) -> Tensor:
    return net.network.add(Einsum("abcd,bde->abe"), x, net.weight(4, 8, 3))


def _einsum_of_activations(net: Net, x: Tensor) -> Tensor:
    return net.network.add(Einsum("abcd,abed->abce"), x, x)


def _einsum_of_three(net: Net, x: Tensor) -> Tensor:
    return net.network.add(Einsum("abcd,abed,abfd->abcef"), x, x, x)


def _dequantized(net: Net, x: Tensor) -> Tensor:
    scale = net.constant(np.float32(0.02))
    return net.network.add(Dequantize(), net.network.add(Quantize(), x, scale), scale)


def _weights_alone(net: Net, x: Tensor) -> Tensor:
    kernel = _dequantized(net, net.weight(4, 4, 3, 3))
    return net.network.add(Convolution((1, 1), (1, 1), (1, 1), (1, 1)), x, kernel)


def _one_activation(net: Net, x: Tensor) -> Tensor:
    return net.matmul(_dequantized(net, x), x)


def _cast_after(*dtypes: DType) -> Callable[[Net, Tensor], Tensor]:
    def make(net: Net, x: Tensor) -> Tensor:
        operands = [_dequantized(net, x), _dequantized(net, net.weight(1, 1, 8, 8))]
        for dtype in dtypes:
            operands = [net.cast(operand, dtype) for operand in operands]
        return net.matmul(*operands)

    return make


def _of_type(dtype: DType) -> Callable[[Net, Tensor], Tensor]:
    def make(net: Net, x: Tensor) -> Tensor:
        matrix = np.ones((1, 1, 8, 8)).astype(dtype.numpy)
        return net.network.add(MatrixMultiply(), net.cast(x, dtype), net.network.constant(matrix))

    return make


def _half_attention(net: Net, x: Tensor) -> Tensor:
    x = net.cast(x, DType.FLOAT16)
    return net.matmul(x, x)


REFUSED = {
    _half_attention: "a product of two activations",  # in float32 it would be left as well
    _of_type(DType.FLOAT16): "computes in float16: give the model in float32",
    _of_type(DType.BFLOAT16): "computes in bfloat16: give the model in float32",
    _grouped_deconvolution: "no int8 kernel for a deconvolution with groups",
    _constant_first: "a product of two activations",
    _batched: "a batch of constant matrices",
    _einsum: "another form than data times one constant matrix",
    _einsum_of_activations: "a product of two activations",
    _einsum_of_three: "an Einstein sum of 3 operands",
    _cast_after(DType.FLOAT16): "computes in float16: give the model in float32",
    _cast_after(DType.FLOAT16, DType.FLOAT32): "a cast stands between it and the model's own",
    _weights_alone: "one operand to int8 around zero, and not the other: quantize both",
    _one_activation: "one operand to int8 around zero, and not the other: quantize both",
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.items())
def test_every_layer_that_is_left_has_a_reason(
    make: Callable[[Net, Tensor], Tensor], reason: str
) -> None:
    net = Net()
    network = net.done(make(net, net.input("batch", 4, 8, 8)))
    sites = find_sites(network, _nothing)
    assert sites.activations == {}
    assert [reason in found for found in sites.reasons.values()] == [True]


@pytest.mark.parametrize("moved", [False, True])
def test_what_the_model_has_quantized_keeps_its_scale(moved: bool) -> None:
    """Float weights are quantized beside it, and weights that are quantized too are as they are."""
    net = Net()
    x = _dequantized(net, net.input("batch", 8, 8))
    x = net.reshape(x, [net.size(x, 0), 1, 8, 8]) if moved else x
    ones = (1,) * (x.rank - 2)
    float_weights = net.network.add(MatrixMultiply(), x, net.weight(*ones, 8, 8))
    levels = net.permute(
        _dequantized(net, net.weight(*ones, 8, 8)), [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    )
    network = net.done(float_weights, net.network.add(MatrixMultiply(), x, levels))
    sites = find_sites(network, _nothing)
    assert (list(sites.activations.values()), sites.reasons) == ([()], {})
    assert [n.outputs[0].name for n in sites.weights] == ["y0"]
    assert [n.outputs[0].name for n in sites.elsewhere] == ["y1"]


def test_a_maximum_keeps_the_scale_of_the_model() -> None:
    net = Net()
    x = _dequantized(net, net.input("batch", 4, 8, 8))
    x = net.network.add(Pooling("MAX", (2, 2), (2, 2), (0, 0), (0, 0)), x)
    sites = find_sites(net.done(net.elementwise("SUM", net.conv(x, 4), x)), _nothing)
    assert (len(sites.weights), sites.tensors) == (1, [])


def test_exceptions_are_reasons() -> None:
    def keep(node: Node) -> str | None:
        return "asked for" if isinstance(node.layer, MatrixMultiply) else None

    sites = find_sites(conv_net(), keep)
    assert _kinds(sites) == ["Convolution", "Convolution"]
    assert list(sites.reasons.values()) == ["asked for"]


def test_dense_quantizes_every_float_tensor() -> None:
    network = conv_net()
    sites = find_sites(network, _nothing, dense=True)
    every = {t for n in network.nodes for t in (*n.inputs, *n.outputs) if not t.is_constant}
    assert set(sites.tensors) == {t for t in every if t.dtype.is_float}
    assert set(network.outputs) <= set(sites.tensors)


def _names(groups: list[set[Tensor]]) -> list[list[str]]:
    return sorted(sorted(t.name for t in group) for group in groups)


def test_what_is_concatenated_pooled_or_moved_shares_a_scale() -> None:
    net = Net()
    x = net.input("batch", 4, 8, 8)
    a, b = net.activation("RELU", net.conv(x, 4)), net.activation("RELU", net.conv(x, 4))
    both = net.network.add(Concatenation(1), a, b)
    pooled = net.network.add(Pooling("MAX", (2, 2), (2, 2), (0, 0), (0, 0)), both)
    outputs = [net.conv(t, 2) for t in (a, b, pooled)]
    network = net.done(*outputs)
    tensors = find_sites(network, _nothing).tensors
    assert _names(share(network, tensors)) == [sorted([a.name, b.name, pooled.name])]
    assert x in tensors


@pytest.mark.parametrize("quantized", [False, True])
def test_parts_of_a_tensor_share_its_scale_if_it_has_one(quantized: bool) -> None:
    """Positions and forces in one vector are of very different sizes."""
    net = Net()
    x = net.input(4, 16)
    parts = [net.network.add(Slice((1,), (start,), (8,), (1,)), x) for start in (0, 8)]
    outputs = [net.linear(part, 3) for part in parts]
    network = net.done(*outputs, *([net.linear(x, 2)] if quantized else []))
    tensors = find_sites(network, _nothing).tensors
    groups = _names(share(network, tensors))
    assert groups == ([sorted(t.name for t in (x, *parts))] if quantized else [])


def test_averages_and_additions_share_on_a_dla_only() -> None:
    net = Net()
    x = net.input("batch", 4, 8, 8)
    pooled = net.network.add(Pooling("AVERAGE", (2, 2), (2, 2), (0, 0), (0, 0)), x)
    network = net.done(net.conv(pooled, 4), net.conv(x, 4))
    tensors = find_sites(network, _nothing).tensors
    assert share(network, tensors) == []
    assert len(share(network, tensors, dense=True)) == 1


def test_the_axis_of_output_channels() -> None:
    net = Net()
    x = net.input("batch", 4, 8, 8)
    up = net.network.add(Deconvolution((1, 1), (0, 0), (0, 0), (1, 1)), x, net.weight(4, 6, 3, 3))
    last = net.network.add(MatrixMultiply(), net.conv(x, 4), net.weight(1, 1, 8, 5))
    network = net.done(up, last, net.linear(x, 7))
    axes = {
        (node.layer.kind, getattr(node.layer, "op1", "")): weight.axis
        for node, weight in find_sites(network, _nothing).weights.items()
    }
    assert axes == {
        ("Convolution", ""): 0,
        ("Deconvolution", ""): 1,
        ("MatrixMultiply", "NONE"): 3,
        ("MatrixMultiply", "TRANSPOSE"): 2,
    }
