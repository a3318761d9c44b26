# SPDX-License-Identifier: Apache-2.0
"""float16 networks: close to float32, finite, with as few casts as can be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_trt.engines.onnx import CpuRunner, run_network
from edge_trt.network.graph import Network, Node
from edge_trt.network.layers import (
    Cast,
    Dequantize,
    ElementWise,
    Fill,
    Gather,
    GridSample,
    Quantize,
    Scale,
    TopK,
)
from edge_trt.network.types import DType, TensorType
from edge_trt.precision import Kept, to_fp16
from tests.precision.networks import Net, attention_net, conv_net
from tests.support.layer_networks.control import CONTROL

F16, F32 = DType.FLOAT16, DType.FLOAT32


def rewritten(network: Network, **options: object) -> tuple[Network, dict[str, str]]:
    """The float16 network, checked for what holds always, and the reasons by layer kind or op."""
    text = str(network)
    half, kept = to_fp16(network, **options)  # type: ignore[arg-type]
    assert str(network) == text
    half.verify()
    for old, new in zip(
        (*network.inputs, *network.outputs), (*half.inputs, *half.outputs), strict=True
    ):
        assert (old.name, old.type) == (new.name, new.type)
    _check_casts(network, half)
    nodes = {n.name: n for n in network.nodes}
    return half, {_label(nodes[k.layer]): k.reason for k in kept}


def _check_casts(network: Network, half: Network) -> None:
    old = {n.name for n in network.nodes}
    added = [n for n in half.nodes if n.name not in old]
    for node in added:
        assert isinstance(node.layer, Cast)
        source = node.inputs[0]
        assert not source.is_constant, "constants are converted, not cast"
        assert source.producer not in added, "casts of casts cancel"
    made = [(id(n.inputs[0]), n.layer) for n in added]
    assert len(set(made)) == len(made), "a tensor is cast once to a type"


def _label(node: Node) -> str:
    return str(getattr(node.layer, "op", "") or getattr(node.layer, "type", "") or node.layer.kind)


def casts(network: Network) -> int:
    return sum(isinstance(n.layer, Cast) for n in network.nodes)


def run(network: Network, seed: int = 0, scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    feeds = {}
    for tensor in network.inputs:
        shape = [2 if isinstance(d, str) else d for d in tensor.shape]
        feeds[tensor.name] = (rng.standard_normal(shape) * scale).astype(tensor.dtype.numpy)
    found = CpuRunner(network, threads=1).run(feeds)
    return [found[t.name] for t in network.outputs]


def close(network: Network, half: Network, tolerance: float = 1e-2, scale: float = 1.0) -> None:
    for expected, found in zip(run(network, scale=scale), run(half, scale=scale), strict=True):
        assert found.dtype == expected.dtype
        assert np.isfinite(found).all()
        error = np.abs(found - expected).max() / np.abs(expected).max()
        assert error < tolerance


@pytest.mark.parametrize("make", [conv_net, attention_net])
def test_results_stay_close(make: Callable[[], Network]) -> None:
    network = make()
    half, _ = rewritten(network)
    close(network, half)
    exact = [np.array_equal(a, b) for a, b in zip(run(network), run(half), strict=True)]
    assert not all(exact), "nothing was computed in float16"


def test_a_convolutional_net_is_cast_at_its_edges_only() -> None:
    half, reasons = rewritten(conv_net())
    assert reasons == {}
    assert casts(half) == 2
    assert all(t.dtype is F16 for t in half.constants())
    names = [n.name for n in half.nodes if not isinstance(n.layer, Cast)]
    assert names == [n.name for n in conv_net().nodes]
    modules = {n.origin.module for n in half.nodes}
    assert modules == {"stem", "block", "head.fc"}


def test_norms_and_softmax_stay_with_one_cast_on_each_side() -> None:
    half, reasons = rewritten(attention_net())
    assert set(reasons) == {"Normalization", "SoftMax"}
    # In and out of the softmax, of the second norm, and of the network; out of the first norm,
    # which reads the input as it is.
    assert casts(half) == 2 + 2 + 2 + 1
    kinds = {n.layer.kind: [t.dtype for t in n.inputs] for n in half.nodes}
    assert set(kinds["Normalization"]) == {F32}
    assert kinds["SoftMax"] == [F32]


def test_large_activations_stay_finite() -> None:
    network = attention_net()
    half, _ = rewritten(network)
    close(network, half, tolerance=2e-2, scale=300.0)


def _rms_norm(size: int = 16) -> Network:
    net = Net()
    x = net.linear(net.input("batch", size), size)
    mean = net.reduce("AVG", net.elementwise("PROD", x, x), [1], keep_dims=True)
    deviation = net.unary("SQRT", net.elementwise("SUM", mean, 1e-6))
    scaled = net.elementwise("DIV", x, deviation)
    return net.done(net.linear(net.elementwise("PROD", scaled, net.weight(1, size)), 4))


def test_norms_written_out_stay_float32_as_a_whole() -> None:
    network = _rms_norm()
    half, reasons = rewritten(network)
    # The square, its mean, epsilon, root and division; not the weight after them.
    assert set(reasons) == {"PROD", "AVG", "SUM", "SQRT", "DIV"}
    assert casts(half) == 4
    close(network, half, scale=1000.0)  # squares of which float16 does not hold


def test_large_reductions_stay_and_small_ones_do_not() -> None:
    for shape, op, stays in [
        ((2, 4, 32, 32), "AVG", True),
        ((2, 4, 7, 7), "AVG", False),
        ((2, 4, 16, 16), "SUM", True),
        ((2, 4, "h", 2), "SUM", True),
        ((2, 4, 32, 32), "MAX", False),
        ((2, 4, 1, 2), "PROD", True),
    ]:
        net = Net()
        y = net.activation("RELU", net.conv(net.input(*shape), 4))
        _, reasons = rewritten(net.done(net.conv(net.reduce(op, y, [2, 3], keep_dims=True), 2)))
        assert (op in reasons) == stays
        assert "RELU" not in reasons


def test_softmax_written_out_stays_float32() -> None:
    net = Net()
    x = net.linear(net.input("batch", 8), 8)
    e = net.unary("EXP", x)
    y = net.elementwise("DIV", e, net.reduce("SUM", e, [1], keep_dims=True))
    network = net.done(net.linear(y, 3))
    half, reasons = rewritten(network)
    assert set(reasons) == {"EXP", "SUM", "DIV"}
    assert casts(half) == 4
    close(network, half, scale=10.0)


def test_constants_beyond_float16_keep_their_layer() -> None:
    net = Net()
    scores = net.linear(net.input("batch", 8), 8)
    mask = np.where(np.arange(8) < 5, 0, -1e9).astype(np.float32)[None]
    network = net.done(net.softmax(net.elementwise("SUM", scores, net.constant(mask))))
    half, reasons = rewritten(network)
    assert "beyond float16" in reasons["SUM"]
    assert casts(half) == 2, "nothing is cast between the mask, the softmax and the output"
    close(network, half)
    assert run(half)[0][:, 5:].max() == 0


def test_epsilons_keep_their_layer() -> None:
    net = Net()
    x = net.activation("RELU", net.linear(net.input("batch", 8), 8))
    network = net.done(net.unary("LOG", net.elementwise("SUM", x, 1e-7)))
    half, reasons = rewritten(network)
    assert set(reasons) == {"SUM", "LOG"}
    close(network, half)


def test_tiny_weights_keep_their_layer_and_tiny_biases_do_not() -> None:
    net = Net()
    x = net.linear(net.input("batch", 8), 8)
    y = net.elementwise("SUM", x, net.weight(1, 8, scale=1e-7))
    z = net.matmul(y, net.weight(8, 8, scale=1e-7))
    network = net.done(z)
    half, reasons = rewritten(network)
    assert set(reasons) == {"MatrixMultiply"}
    close(network, half)


def test_a_scale_of_channels_is_a_light_layer_with_a_bias() -> None:
    net = Net()
    x = net.conv(net.input("batch", 4, 8, 8), 6)
    weights = net.weight(6), net.weight(6, scale=1e-7)
    half, reasons = rewritten(net.done(net.conv(net.network.add(Scale(), x, *weights), 6)))
    assert reasons == {}
    assert all(t.dtype is F16 for t in half.constants())
    tiny = Net()
    x = tiny.conv(tiny.input("batch", 4, 8, 8), 6)
    weights = tiny.weight(6, scale=1e-7), tiny.weight(6)
    half, reasons = rewritten(tiny.done(tiny.conv(tiny.network.add(Scale(), x, *weights), 6)))
    assert set(reasons) == {"Scale"}


def test_shape_arithmetic_is_left_alone() -> None:
    net = Net()
    x = net.input("batch", "n", 4)
    y = net.activation("RELU", x)
    rows = net.calculate("PROD", net.size(x, 0), net.size(x, 1))
    half, _ = rewritten(net.done(net.linear(net.reshape(y, [rows, 4]), 3)))
    for node in half.nodes:
        if node.layer.kind in ("Shape", "Gather"):
            assert all(t.dtype is DType.INT64 for t in node.outputs)
    (shape,) = {n.inputs[0].name for n in half.nodes if n.layer.kind == "Shape"}
    assert shape == "x", "the size of the input needs no cast"


def test_positions_keep_their_digits() -> None:
    """Angles from counted positions, as in rotary embeddings, then ordinary data."""
    net = Net()
    x = net.input("n", 4)
    count = net.shape_tensor([net.size(x, 0)])
    zero, one = net.constant(0.0), net.constant([1.0])
    places = net.network.add(Fill(), count, zero, one)
    angles = net.matmul(net.unsqueeze(places, [1]), net.constant(np.float32([[1.0, 0.5, 0.1, 3]])))
    turned = net.elementwise("PROD", net.linear(x, 4), net.unary("SIN", angles))
    half, reasons = rewritten(net.done(turned))
    assert {"Fill", "MatrixMultiply", "SIN"} <= set(reasons)
    assert "PROD" not in reasons
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((5000, 4)).astype(np.float32)}
    expected, found = (CpuRunner(n, threads=1).run(feeds)["y0"] for n in (net.network, half))
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_what_becomes_an_index_keeps_its_digits() -> None:
    net = Net()
    x = net.input(600, name="x")
    scaled = net.unary("FLOOR", net.elementwise("PROD", x, 10.0))
    places = net.network.add(Cast(DType.INT64), scaled)
    table = net.weight(8000, 2)
    taken = net.network.add(Gather(0), table, places)
    network = net.done(taken, net.elementwise("PROD", places, 1))
    half, reasons = rewritten(network)
    assert {"FLOOR", "PROD"} <= set(reasons)
    feeds = {"x": np.linspace(0, 799, 600, dtype=np.float32)}
    expected, found = (CpuRunner(n, threads=1).run(feeds)["y1"] for n in (network, half))
    np.testing.assert_array_equal(found, expected)


def test_sampling_positions_stay_float32() -> None:
    net = Net()
    x, grid = net.conv(net.input(1, 2, 8, 8), 2), net.input(1, 4, 4, 2, name="grid")
    shifted = net.elementwise("SUM", net.elementwise("PROD", grid, 0.5), 0.1)
    half, reasons = rewritten(net.done(net.conv(net.network.add(GridSample(), x, shifted), 2)))
    assert set(reasons) == {"GridSample", "PROD", "SUM"}
    assert casts(half) == 4


def test_casts_of_the_model_change_their_meaning() -> None:
    net = Net()
    image = net.input("batch", 3, 8, 8, dtype=DType.UINT8, name="image")
    flag = net.input("batch", 3, 8, 8, dtype=DType.BOOL, name="flag")
    count = net.input("batch", 3, 8, 8, dtype=DType.INT64, name="count")
    x = net.elementwise("PROD", net.cast(image, F32), net.cast(flag, F32))
    y = net.elementwise("PROD", x, net.cast(count, F32))
    narrow = net.cast(net.conv(y, 4), F16)
    network = net.done(net.activation("RELU", narrow), net.cast(narrow, F32))
    half, reasons = rewritten(network)
    types = {n.inputs[0].name: n.layer for n in half.nodes if isinstance(n.layer, Cast)}
    assert types["image"] == types["flag"] == Cast(F16)
    assert types["count"] == Cast(F32)
    assert "integers above 2048" in reasons["Cast"] or "the model itself" in reasons["Cast"]


def test_quantized_layers_keep_their_scales() -> None:
    net = Net()
    x = net.conv(net.input("batch", 3, 8, 8), 4)
    scale = net.constant(np.float32(0.02), name="scale")
    q = net.network.add(Quantize(), x, scale)
    d = net.network.add(Dequantize(), q, scale)
    network = net.done(net.conv(d, 4))
    half, _ = rewritten(network)
    (quantize,) = (n for n in half.nodes if isinstance(n.layer, Quantize))
    assert [t.dtype for t in quantize.inputs] == [F16, F32]
    close(network, half, tolerance=3e-2)


def test_results_that_are_not_float() -> None:
    net = Net()
    x = net.linear(net.input("batch", 8), 8)
    values, indices = net.network.add_multi(TopK("MAX", 3, 1), x)
    network = net.done(indices, net.elementwise("GREATER", x, 0.0), values)
    half, _ = rewritten(network)
    assert [t.dtype for t in half.outputs] == [DType.INT32, DType.BOOL, F32]
    assert casts(half) == 2


def test_outputs_inside_the_network_are_given_in_both_types() -> None:
    net = Net()
    x = net.conv(net.input(1, 3, 4, 4), 4)
    network = net.done(x, net.activation("RELU", x))
    half, _ = rewritten(network)
    close(network, half)
    assert casts(half) == 3


def test_other_float_types_are_left_alone() -> None:
    net = Net()
    x = net.input("batch", 4, dtype=DType.BFLOAT16)
    network = net.done(net.activation("RELU", x))
    half, reasons = rewritten(network)
    assert str(half) == str(network)
    assert reasons == {}


def test_a_function_decides_too() -> None:
    def keep(node: Node) -> str | None:
        return "because" if node.layer == ElementWise("SUM") else None

    _, kept = to_fp16(conv_net(), keep_fp32=keep)
    assert {k.kind for k in kept} == {"ElementWise"}
    assert (
        str(kept[0])
        == f"{kept[0].layer} (ElementWise, aten.op.default, module block, model.py:1): because"
    )
    assert isinstance(kept[0], Kept)


def test_chains_of_kept_layers_have_no_casts_between() -> None:
    half, _ = rewritten(conv_net(), keep_fp32=["stem", "block"])
    _, kept = to_fp16(conv_net(), keep_fp32=["stem", "block"])
    assert {k.origin.module: k.reason for k in kept} == {
        "stem": "asked for by fp32_layers pattern 'stem'",
        "block": "asked for by fp32_layers pattern 'block'",
    }
    assert casts(half) == 2
    everything, _ = rewritten(conv_net(), keep_fp32=["*"])
    assert casts(everything) == 0
    assert str(everything) == str(conv_net())


def test_scalars_and_empty_constants() -> None:
    network = Network("net")
    x = network.input("x", TensorType(F32, ()))
    y = network.add(ElementWise("SUM"), x, network.constant(np.float32(2)))
    network.mark_output(y, "y0")
    half, _ = rewritten(network)
    close(network, half)


def test_a_loop_stays_float32_with_the_reason() -> None:
    case = next(case for case in CONTROL if case.name == "loop_batch")
    network = case.network(dynamic=True)
    half, kept = to_fp16(network)
    half.verify()
    assert [(k.kind, k.reason) for k in kept] == [
        ("Loop", "rounding errors of its state would be carried from step to step")
    ]
    feeds = {
        t.name: np.ones([{"batch": 2}.get(d, d) for d in t.shape], "f") for t in network.inputs
    }
    for name, result in run_network(network, feeds).items():
        np.testing.assert_array_equal(run_network(half, feeds)[name], result)
