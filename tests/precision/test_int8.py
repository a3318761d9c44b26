# SPDX-License-Identifier: Apache-2.0
"""int8 networks: their layers, their numbers against plain arithmetic, and the real builder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_trt.engines.onnx import CpuRunner, run_network
from edge_trt.engines.tensorrt import BuildSettings, build_plan, load_flavour
from edge_trt.network.graph import Network, Node
from edge_trt.network.layers import (
    Activation,
    Concatenation,
    Convolution,
    Deconvolution,
    Dequantize,
    Pooling,
    Quantize,
)
from edge_trt.network.types import DType
from edge_trt.precision import to_fp16
from edge_trt.precision.int8 import activation_scales, to_int8, with_twins
from edge_trt.precision.sites import find_sites
from edge_trt_calibration import CalibrationError
from edge_trt_runtime.manifest import Range
from tests.precision.networks import Net, attention_net, conv_net
from tests.precision.simulation import requantized


def _nothing(_: Node) -> None:
    return None


def _feeds(network: Network, seed: int = 0, batch: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {t.name: [batch if d == "batch" else int(d) for d in t.shape] for t in network.inputs}
    return {n: rng.standard_normal(shape).astype(np.float32) for n, shape in shapes.items()}


def _ranges(network: Network, names: list[str]) -> dict[str, float]:
    found = run_network(network, _feeds(network, batch=8), outputs=names)
    return {name: float(np.abs(array).max()) for name, array in found.items()}


def quantized(network: Network, *, dense: bool = False) -> Network:
    sites = find_sites(network, _nothing, dense=dense)
    ranges = _ranges(network, [t.name for t in sites.tensors])
    result, _ = to_int8(network, sites, ranges, dense=dense)
    result.verify()
    return result


def residual_net() -> Network:
    """A stem with pooling, a block with a shortcut, one with a projection, two branches, scores."""
    net = Net()
    x = net.activation("RELU", net.conv(net.input("batch", 3, 16, 16), 8))
    x = net.network.add(Pooling("MAX", (2, 2), (2, 2), (0, 0), (0, 0)), x)
    x = net.activation("RELU", net.elementwise("SUM", net.conv(x, 8), x))
    x = net.activation("RELU", net.elementwise("SUM", net.conv(x, 12), net.conv(x, 12)))
    branches = [net.activation("RELU", net.conv(x, 4)) for _ in range(2)]
    x = net.network.add(Concatenation(1), *branches)
    x = net.conv(x, 8)
    return net.done(net.linear(net.reduce("AVG", x, [2, 3], keep_dims=False), 5))


NETWORKS = [conv_net, attention_net, residual_net]


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("dense", [False, True])
def test_it_stays_close(make: Callable[[], Network], dense: bool) -> None:
    network = make()
    int8 = quantized(network, dense=dense)
    for seed in range(3):
        feeds = _feeds(network, seed)
        exact, found = run_network(network, feeds), run_network(int8, feeds)
        for name, wanted in exact.items():
            error = np.abs(found[name] - wanted).max() / np.abs(wanted).max()
            assert 0 < error < (0.2 if dense else 0.05)


@pytest.mark.parametrize("make", NETWORKS)
def test_weights_are_int8_constants_and_tensors_are_quantized_once(
    make: Callable[[], Network],
) -> None:
    network = quantized(make())
    kinds = Counter(type(n.layer) for n in network.nodes)
    read = [n.inputs[0] for n in network.nodes if isinstance(n.layer, Quantize)]
    assert len(read) == len(set(read))
    constants = [
        n.inputs[0] for n in network.nodes
        if isinstance(n.layer, Dequantize) and n.inputs[0].is_constant
    ]  # fmt: skip
    assert {t.dtype for t in constants} == {DType.INT8}
    assert kinds[Dequantize] == kinds[Quantize] + len(constants)
    assert all(t.data is not None and t.data.min() >= -127 for t in constants)


def test_nothing_splits_what_is_one_kernel() -> None:
    """Between a convolution, its addition and its activation there is no Quantize."""
    network = quantized(residual_net())
    users = network.users()
    fused = (Convolution, Deconvolution)
    for node in network.nodes:
        if not isinstance(node.layer, Quantize):
            continue
        producer = node.inputs[0].producer
        if producer is None or not isinstance(producer.layer, fused):
            continue
        others = [n for n in users[producer.outputs[0]] if n is not node]
        assert not any(isinstance(n.layer, Activation) for n in others)


@pytest.mark.parametrize("make", [conv_net, residual_net])  # softmax is no integer arithmetic
@pytest.mark.parametrize("seed", range(3))
def test_a_requantization_is_at_most_one_level_off(make: Callable[[], Network], seed: int) -> None:
    _check_levels(quantized(make()), seed)


def _check_levels(network: Network, seed: int) -> None:
    names = [n.outputs[0].name for n in network.nodes if isinstance(n.layer, Quantize)]
    feeds = _feeds(network, seed)
    levels = CpuRunner(network, outputs=names).run(feeds)
    exact = requantized(network, feeds, levels)
    for name in names:
        # Half a level is rounding itself, the rest what an engine may be off.
        assert np.abs(levels[name] - exact[name]).max() <= 1.5


@settings(max_examples=15)
@given(
    channels=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    activations=st.lists(st.sampled_from(["RELU", ""]), min_size=4, max_size=4),
    shortcut=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_random_networks_are_at_most_one_level_off(
    channels: list[int], activations: list[str], shortcut: bool, seed: int
) -> None:
    net = Net(seed)
    x = net.input("batch", channels[0], 7, 9)
    for maps, activation in zip(channels, activations, strict=False):
        y = net.conv(x, maps)
        if shortcut and y.shape == x.shape:
            y = net.elementwise("SUM", y, x)
        x = net.activation("RELU", y) if activation else y
    _check_levels(quantized(net.done(net.conv(x, 3))), seed)


SETTINGS = BuildSettings(
    optimization_level=0, ranges={"batch": Range(1, 2, 4)}, compute_capabilities=("8.6",)
)


@pytest.mark.rtx
@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_it_builds(make: Callable[[], Network], dense: bool, half: bool) -> None:
    network = quantized(make(), dense=dense)
    if half:
        network, _ = to_fp16(network)
        network.verify()
    result = build_plan(network, flavour=load_flavour("tensorrt_rtx"), settings=SETTINGS)
    assert len(result.plan) > 1000


def test_float16_between_keeps_float32_scales() -> None:
    half, _ = to_fp16(quantized(conv_net()))
    for node in half.nodes:
        if isinstance(node.layer, (Quantize, Dequantize)):
            assert node.inputs[1].dtype is DType.FLOAT32
        if isinstance(node.layer, Convolution):
            assert node.inputs[0].dtype is DType.FLOAT16


def test_twins_change_nothing_and_are_the_quantized_layers() -> None:
    network = conv_net()
    sites = find_sites(network, _nothing)
    ranges = _ranges(network, [t.name for t in sites.tensors])
    twins, names = with_twins(network, sites, ranges)
    twins.verify()
    feeds = _feeds(network)
    wanted = run_network(network, feeds)
    found = run_network(twins, feeds, outputs=[*wanted, *names, *names.values()])
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
    for name, twin in names.items():
        error = np.abs(found[twin] - found[name]).max() / np.abs(found[name]).max()
        assert 0 < error < 0.03


def test_tensors_of_a_group_have_the_largest_scale() -> None:
    network = residual_net()
    sites = find_sites(network, _nothing)
    ranges = {t.name: float(i + 1) for i, t in enumerate(sites.tensors)}
    scales = activation_scales(network, sites.tensors, ranges)
    pooling = next(n for n in network.nodes if isinstance(n.layer, Pooling))
    before, after = pooling.inputs[0], pooling.outputs[0]
    assert before not in scales
    assert scales[after] == np.float32(ranges[after.name] / 127)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {}, "there are no ranges for x, "),
        (lambda r: dict.fromkeys(r, float("inf")), "are no magnitudes"),
        (lambda r: dict.fromkeys(r, -1.0), "are no magnitudes"),
    ],
)
def test_bad_ranges_are_refused_by_name(
    change: Callable[[dict[str, float]], dict[str, float]], message: str
) -> None:
    network = conv_net()
    sites = find_sites(network, _nothing)
    ranges = _ranges(network, [t.name for t in sites.tensors])
    with pytest.raises(CalibrationError, match=message):
        to_int8(network, sites, change(ranges))


def test_weights_that_are_not_finite_are_refused_by_layer() -> None:
    network = conv_net()
    sites = find_sites(network, _nothing)
    ranges = _ranges(network, [t.name for t in sites.tensors])
    kernel = network.nodes[0].inputs[1]
    kernel.data = np.full_like(kernel.data, np.inf)
    with pytest.raises(CalibrationError, match=r"weights of .* \(aten.op.default, module stem"):
        to_int8(network, sites, ranges)
