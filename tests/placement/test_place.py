# SPDX-License-Identifier: Apache-2.0
"""Plans of whole networks: rewrites that join a loadable, assignments, policies, reports."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edge_trt.engines.onnx import run_network
from edge_trt.errors import OptionError
from edge_trt.network.graph import Network
from edge_trt.network.layers import (
    Activation,
    Cast,
    Identity,
    Normalization,
    Pooling,
    Reduce,
    Shuffle,
)
from edge_trt.network.types import DType
from edge_trt.options import CompileOptions
from edge_trt.placement.assignment import Assignment
from edge_trt.placement.place import Wish, placed, planned, rewritten
from edge_trt.placement.planner import ALL_GPU, DLA_ONLY, MIXED, OBJECTIVES, Objective
from edge_trt.placement.regimes import Decision
from edge_trt.placement.report import of_site
from edge_trt.placement.site import Site, check_targets, site_of
from edge_trt.placement.step import Placement
from tests.precision.networks import Net
from tests.precision.test_int8 import quantized

LATENCY = Wish("auto", "latency", "int8")
ONLY = Wish("only", "latency", "int8")


def site(name: str = "agx-orin-64gb", **given: Any) -> Site:
    found = site_of(name, **given)
    assert isinstance(found, Site)
    return found


def classifier(depth: int = 6, maps: int = 64, size: int = 64) -> Network:
    """Convolutions with a mean and a product at the end, heavy enough for a DLA at 15 W."""
    net = Net()
    x = net.input(1, maps, size, size)
    for n in range(depth):
        net.at(f"body.{n}")
        x = net.activation("RELU", net.conv(x, maps))
    net.at("head.pool")
    x = net.network.add(Reduce("AVG", (2, 3), True), x)
    x = net.network.add(Shuffle(reshape_dims=(1, maps)), x)
    net.at("head.fc")
    return net.done(net.linear(x, 10))


def normalized() -> Network:
    """A layer that no DLA takes between two convolutions."""
    net = Net()
    x = net.activation("RELU", net.conv(net.input(1, 64, 64, 64), 64))
    net.at("norm")
    scale, bias = net.weight(1, 64, 1, 1), net.weight(1, 64, 1, 1)
    x = net.network.add(Normalization((2, 3)), x, scale, bias)
    return net.done(net.conv(x, 64))


def test_a_rewrite_stays_where_it_joins_a_loadable() -> None:
    network = classifier()
    found = rewritten(network, site(mode="15W"), ONLY)
    assert sorted(found.recipes.values()) == ["linear", "linear", "reduce"]
    assert sum(isinstance(n.layer, Pooling) for n in found.network.nodes) == 2
    found.network.verify()
    feed = {"x": np.random.default_rng(0).standard_normal((1, 64, 64, 64)).astype(np.float32)}
    before, after = (run_network(n, feed)["y0"] for n in (network, found.network))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def test_a_rewrite_that_stays_on_the_gpu_is_taken_back() -> None:
    network = classifier(depth=1, size=16)
    found = rewritten(network, site(mode="MAXN"), LATENCY)
    assert found.recipes == {}
    assert found.network is network
    assert found.whole["MAXN"].figures is not None
    again = placed(network, site(mode="MAXN"), LATENCY, whole=found.whole)
    assert again.modes[0].chosen.name == ALL_GPU
    assert not again.possible
    assert again.modes[0].alternatives[-1].why == "with more rewrites, which --dla only makes"


def test_an_assignment_has_every_layer_once() -> None:
    network = rewritten(classifier(), site(mode="15W"), ONLY).network
    int8 = quantized(network, dense=True)
    found = placed(int8, site(mode="15W"), ONLY)
    assert found.possible
    assert found.modes[0].chosen.name == DLA_ONLY
    names = [layer for region in found.assignment.regions for layer in region.layers]
    assert sorted(names) == sorted(node.name for node in network.nodes)
    assert found.assignment.loadables == 1
    assert [region.device for region in found.assignment.regions] == ["dla:0", "gpu"]
    assert found.assignment.cores == "split"
    assert found.labels == {n for n, d in found.assignment.devices.items() if d == "dla:0"}
    data = json.loads(json.dumps(found.assignment.as_dict()))
    assert Assignment.from_dict(data) == found.assignment


def test_what_runs_side_by_side_is_assigned_too() -> None:
    found = planned(classifier(), site(mode="MAXN"), Wish("auto", "throughput", "int8"))
    assert len(found.streams) == 2
    assert found.assignment in [assignment for assignment, _ in found.streams]
    assert all(rate > 0 for _, rate in found.streams)
    alone = planned(classifier(), site(mode="MAXN"), LATENCY)
    assert alone.streams == ()


def test_layers_without_a_scale_are_named_as_fp16() -> None:
    net = Net()
    x = net.conv(net.input(1, 64, 64, 64), 64)
    y = net.network.add(Activation("SIGMOID"), x)
    network = net.done(net.conv(y, 64))
    int8 = quantized(network, dense=True)
    (result,) = network.outputs
    found = placed(int8, site(mode="15W"), ONLY, ranged={result.name: 0.1})
    (region,) = [r for r in found.assignment.regions if r.device != "gpu"]
    assert region.fp16 == (y.name,)
    sparse = planned(network, site(mode="15W"), LATENCY, {})
    assert sparse.modes[0].chosen.name == ALL_GPU  # convolutions in fp16 are slow on Orin


def test_why_not_everything_can_be_on_dla() -> None:
    found = planned(normalized(), site(), ONLY)
    assert not found.possible
    why = found.modes[0].alternatives[-1].why
    assert "1 layer is refused (1 by G9-normalization)" in why
    assert "norm, model.py:1" in why
    assert "train with batch normalization" in why


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_network_that_computes_nothing(objective: Objective) -> None:
    net = Net()
    network = net.done(net.network.add(Identity(), net.input(1, 4, 8, 8)))
    found = planned(network, site(), Wish("auto", objective, "int8"))
    assert found.modes[0].chosen.name == ALL_GPU
    json.dumps(of_site(site(), LATENCY, [found], {}), allow_nan=False)


def test_casts_and_reshapes_at_the_border_do_not_count() -> None:
    net = Net()
    x = net.network.add(Cast(DType.FLOAT16), net.input(1, 8, 8, 8))
    x = net.network.add(Activation("RELU"), x)
    x = net.network.add(Shuffle(reshape_dims=(1, 512)), x)
    network = net.done(net.network.add(Cast(DType.FLOAT32), x))
    found = planned(network, site(), Wish("only", "latency", "fp16"), {})
    assert found.possible
    assert len(found.labels) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("orin-nano-8gb", "Jetson Orin Nano 8GB has no DLA"),
        ("thor-t5000", "Jetson T5000 (AGX Thor) has no DLA"),
        ("cpu", "target cpu has no DLA"),
    ],
)
def test_targets_without_dla(name: str, reason: str) -> None:
    found = site_of(name)
    assert isinstance(found, Decision)
    assert reason in found.reason
    auto = Placement(CompileOptions(target=name, dla="auto", precision="fp16"))
    report = auto.place([classifier(depth=1, size=8)])
    assert reason in report["targets"][name]["reason"]
    assert report["targets"][name]["networks"] == []
    network = classifier(depth=1, size=8)
    assert auto.rewrite(network) is network


def test_what_a_board_says_replaces_what_a_host_assumes() -> None:
    assert isinstance(site_of("agx-orin-64gb", tensorrt="10.3.0", offered=0), Decision)
    assert site(tensorrt="10.3.0", l4t="36.4.4", offered=1).decision.cores == 1
    strong = site(tensorrt="11.4.1", l4t="39.2.2", offered=2)
    assert strong.decision.regime == "strong-dla"
    found = planned(classifier(depth=2), strong, LATENCY)
    assert found.assignment.regime == "strong-dla"


def test_an_unknown_mode_names_those_of_the_board() -> None:
    with pytest.raises(OptionError, match="power mode of orin-nx-16gb '15 W'"):
        site_of("orin-nx-16gb", mode="15 W")


@pytest.mark.parametrize(
    ("name", "written", "mode"),
    [
        ("agx-orin-64gb", "MODE_30W", "30W"),
        ("agx-orin-64gb", "mode_30w", "30W"),
        ("agx-orin-64gb", "30w", "30W"),
        ("agx-orin-64gb", "maxn", "MAXN"),
        ("orin-nx-16gb", "MAXN_SUPER", "MAXN_SUPER"),
        ("orin-nx-16gb", "maxn super", "MAXN_SUPER"),
    ],
)
def test_a_mode_may_be_written_as_power_prints_it(name: str, written: str, mode: str) -> None:
    assert site(name, mode=written).mode == mode


def int8_options(**given: Any) -> CompileOptions:
    base = {"target": "agx-orin-64gb", "precision": "int8", "calibration": "x.npy", "dla": "auto"}
    return CompileOptions(**(base | given))


def test_only_is_an_error_with_the_reason_before_calibration() -> None:
    with pytest.raises(OptionError, match=r"dla='only' can't be on agx-orin-64gb: 1 layer"):
        Placement(int8_options(dla="only")).check([normalized()])
    Placement(int8_options()).check([normalized()])
    with pytest.raises(OptionError, match="TensorRT runs nothing of this model"):
        Placement(int8_options(dla="only")).place([])


def test_a_mix_that_is_worse_than_the_gpu_says_what_its_figures_are() -> None:
    found = planned(classifier(depth=2), site(mode="MAXN"), ONLY)
    mixed = next(a for a in found.modes[0].alternatives if a.name == MIXED)
    assert found.modes[0].chosen.name == ALL_GPU  # the mean is not for a DLA
    assert mixed.why == "the mix with most on DLA: none is better than all GPU in the planned mode"


def test_fp32_leaves_nothing_to_a_dla() -> None:
    options = CompileOptions(target="agx-orin-64gb", dla="auto")
    report = Placement(options).place([classifier(depth=1, size=8)])
    assert "a DLA computes in int8 or fp16" in report["targets"]["agx-orin-64gb"]["reason"]


def test_a_report_has_the_reasons_and_every_mode() -> None:
    options = int8_options(dla_mode="15W", target=("agx-orin-64gb", "orin-nx-8gb", "orin-nano-8gb"))
    step = Placement(options.__class__(**{**options.as_dict(), "dla_mode": None}))
    network = normalized()
    report = json.loads(json.dumps(step.place([quantized(network, dense=True)])))
    agx = report["targets"]["agx-orin-64gb"]
    assert agx["tensorrt"] == "10.3.0.30"
    assert "estimates" in report["estimates"]
    (plan,) = agx["networks"]
    assert plan["refused"][0]["rule"] == "G9-normalization"
    assert plan["refused"][0]["count"] == 1
    assert "train with batch normalization" in plan["refused"][0]["first"]
    assert {mode["mode"] for mode in plan["modes"]} == {"MAXN", "50W", "30W", "15W"}
    assert sum(plan["layers"].values()) == len(network.nodes)
    nx = report["targets"]["orin-nx-8gb"]
    assert not nx["certain"]
    assert report["targets"]["orin-nano-8gb"]["networks"] == []


@pytest.mark.parametrize(
    ("targets", "refused"),
    [
        (("agx-orin-64gb", "orin-nano-8gb"), "orin-nano-8gb: Jetson Orin Nano 8GB has no DLA"),
        (("orin-nano-8gb", "cpu"), "orin-nano-8gb: Jetson Orin Nano 8GB has no DLA"),
        (("cpu", "rtx"), "cpu: target cpu has no DLA"),
        (("cpu", "agx-orin-64gb", "orin-nx-16gb"), ""),
    ],
)
def test_only_is_an_error_for_each_board_without_dla(
    targets: tuple[str, ...], refused: str
) -> None:
    check_targets(targets, "auto", None, "int8")
    if not refused:
        check_targets(targets, "only", None, "int8")
        return
    with pytest.raises(OptionError, match=f"dla='only' can't be on {refused}"):
        check_targets(targets, "only", None, "int8")
