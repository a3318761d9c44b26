# SPDX-License-Identifier: Apache-2.0
"""What TensorRT is told of a placement: devices, ranges, precisions, by the API of each version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_trt.engines.tensorrt import BuildSettings, Flavour, build_plan
from edge_trt.engines.tensorrt.dla import OnDla
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network, Origin
from edge_trt.network.layers import Activation, Convolution, SoftMax
from edge_trt.network.types import DType, TensorType
from tests.support.trt_contract import VERSIONS, Contract


def network() -> Network:
    """Convolution, ReLU, and a softmax that is left in float."""
    net = Network("net", origin=Origin("head", "model.py:7"))
    x = net.input("x", TensorType(DType.FLOAT32, (1, 3, 8, 8)))
    kernel = net.constant(np.ones((4, 3, 3, 3), np.float32), "kernel")
    bias = net.constant(np.zeros(4, np.float32), "bias")
    plain = Convolution(
        stride_nd=(1, 1), pre_padding=(0, 0), post_padding=(0, 0), dilation_nd=(1, 1), num_groups=1
    )
    conv = net.add(plain, x, kernel, bias, name="conv")
    relu = net.add(Activation("RELU"), conv, name="relu")
    net.mark_output(net.add(SoftMax(1), relu, name="softmax"), "y")
    return net


SCALES = {"x": 0.5, "conv": 0.25, "relu": 0.125}


class Board(Contract):
    """TensorRT of a board, whose DLA refuses some layers."""

    refuses: tuple[str, ...] = ()
    creation: int | None = None

    def _create_network(self, _: Any, flags: int) -> Any:
        self.creation = flags
        return self.classes["INetworkDefinition"]()

    def _create_builder_config(self, *_: Any, **__: Any) -> Any:
        self.config = self.classes["IBuilderConfig"]()
        return self.config

    def _can_run_on_DLA(self, config: Any, layer: Any) -> bool:
        return layer.name not in self.refuses

    def _set_dynamic_range(self, tensor: Any, **limits: float) -> bool:
        tensor.__dict__["range"] = (limits["min"], limits["max"])
        return True

    def build(self, net: Network, wanted: OnDla | None, **more: Any) -> Any:
        flavour = Flavour("tensorrt", self, self.version)
        return build_plan(net, flavour=flavour, settings=BuildSettings(dla=wanted, **more))

    def flags(self) -> list[str]:
        return [a["flag"].name for m, a in self.config.calls if m == "set_flag"]

    def devices(self) -> dict[str, str]:
        """The last device that each layer was given."""
        calls = [a for m, a in self.config.calls if m == "set_device_type"]
        return {a["layer"].name: a["device_type"].name for a in calls}


def test_the_weak_regime():
    net = network()
    trt = Board("10.3.0", net)
    wanted = OnDla(frozenset({"conv", "relu"}), core=1, scales=SCALES)
    result = trt.build(net, wanted)
    assert trt.config.DLA_core == 1
    assert trt.flags() == ["GPU_FALLBACK", "FP16", "INT8", "PREFER_PRECISION_CONSTRAINTS"]
    assert trt.devices() == {"conv": "DLA", "relu": "DLA"}
    conv, relu, softmax = trt.layers
    assert conv.inputs[0].range == (-63.5, 63.5)
    assert conv.get_output(0).range == (-31.75, 31.75)
    assert "range" not in softmax.get_output(0).__dict__
    precisions = [layer.__dict__.get("precision") for layer in (conv, relu, softmax)]
    assert [p and p.name for p in precisions] == [None, None, "HALF"]
    assert (result.placed.layers, result.placed.refused) == (("conv", "relu"), ())
    assert trt.creation == 0


def test_float16_in_the_weak_regime():
    net = network()
    trt = Board("10.3.0", net)
    trt.build(net, OnDla(frozenset({"conv"}), float32=frozenset({"softmax"})))
    assert trt.flags() == ["GPU_FALLBACK", "FP16", "PREFER_PRECISION_CONSTRAINTS"]
    assert trt.layers[2].precision.name == "FLOAT"


def test_what_tensorrt_refuses_goes_to_the_gpu():
    net = network()
    trt = Board("10.3.0", net)
    trt.refuses = ("relu",)
    placed = trt.build(net, OnDla(frozenset({"conv", "relu"}), scales=SCALES)).placed
    assert trt.devices() == {"conv": "DLA", "relu": "GPU"}
    assert (placed.layers, [n.name for n in placed.refused]) == (("conv",), ["relu"])


@pytest.mark.parametrize(
    ("layers", "why"), [({"conv", "relu"}, "the plan leaves it out"), (
        {"conv", "relu", "softmax"}, "TensorRT refuses it there")],
)  # fmt: skip
def test_nothing_may_fall_back(layers: set[str], why: str):
    net = network()
    trt = Board("10.3.0", net)
    trt.refuses = ("softmax",)
    with pytest.raises(BuildError, match=rf"layer softmax .*head, model\.py:7.*DLA: {why}"):
        trt.build(net, OnDla(frozenset(layers), fallback=False, scales=SCALES))


def test_the_strong_regime():
    net = network()
    trt = Board("11.4.0", net)
    trt.build(net, OnDla(frozenset({"conv"}), weak=False))
    assert trt.flags() == ["GPU_FALLBACK"]
    assert trt.devices() == {"conv": "DLA"}
    assert "ITensor.set_dynamic_range" not in trt.calls


@pytest.mark.parametrize("version", VERSIONS)
def test_weights_of_typed_networks_can_be_streamed(version: str):
    net = network()
    trt = Board(version, net)
    trt.build(net, None, weight_streaming=True)
    assert trt.flags() == ["WEIGHT_STREAMING"]
    assert trt.creation == 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    with pytest.raises(
        BuildError, match=r"streams weights of strongly typed.*build with --dla off"
    ):
        trt.build(net, OnDla(frozenset({"conv"}), scales=SCALES), weight_streaming=True)


def test_no_weak_regime_in_11():
    net = network()
    with pytest.raises(BuildError, match=r"TensorRT 11\.4\.0 has no networks without types"):
        Board("11.4.0", net).build(net, OnDla(frozenset({"conv"})))


def test_a_range_that_is_refused(monkeypatch: pytest.MonkeyPatch):
    net = network()
    trt = Board("10.3.0", net)
    monkeypatch.setattr(Board, "_set_dynamic_range", lambda *_, **__: False)
    with pytest.raises(BuildError, match="TensorRT refuses the range of %x"):
        trt.build(net, OnDla(frozenset({"conv"}), scales=SCALES))
