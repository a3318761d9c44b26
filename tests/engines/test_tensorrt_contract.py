# SPDX-License-Identifier: Apache-2.0
"""Emission and build use only what TensorRT 10.3 (JetPack 6), 10.13 and 11.4 have.

The stand-in is generated from those versions' API tables; nothing is computed here.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_trt.engines.plan_file import PlanFile
from edge_trt.engines.tensorrt import BuildSettings, Flavour, build_plan, emit
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network
from edge_trt.network.layers import Cumulative
from edge_trt.network.types import DType, TensorType
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.manifest import Range
from edge_trt_runtime.tensorrt.messages import Messages, error_recorder
from tests.support.layer_networks import CASES, Case
from tests.support.trt_contract import VERSIONS, Contract, ViolationError, is_fixed, read_table

RANGES = {"batch": Range(1, 2, 4)}
GROUPS = "normalization_float32[N, 8, 4, 4](2, 3)(1, 8, 1, 1)4"
"""Four groups of eight channels, with a scale per channel."""


def emitted(version: str, network: Network) -> Contract:
    api = Contract(version, network)
    emit(network, api, definition(api))
    return api


def definition(api: Contract) -> Any:
    return api.Builder(api.ILogger()).create_network(0)


def named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_layer_is_emitted(version: str, case: Case):
    network = case.network(dynamic=case.has_batch)
    api = emitted(version, network)
    assert len(api.outputs) == len(network.outputs)
    assert {n.name for n in network.nodes} <= {added.name for added in api.layers}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_build_with_every_option(version: str, tmp_path):
    network = named("conv").network(dynamic=True)
    api = Contract(version, network)
    settings = BuildSettings(3, 1 << 30, str(tmp_path / "cache"), RANGES, weight_streaming=True)
    told: list[tuple[str, float]] = []
    result = build_plan(
        network,
        flavour=Flavour("tensorrt", api, version),
        settings=settings,
        progress=lambda stage, fraction, text: told.append((stage, fraction)),
    )
    assert result.plan.nbytes == 2048
    assert result.timing_cache == "new"
    assert (tmp_path / "cache").stat().st_size == 2048
    assert told == [("emit", 1.0)]
    assert "IOptimizationProfile.set_shape" in api.calls
    assert "IBuilderConfig.set_memory_pool_limit" in api.calls
    assert "IBuilderConfig.set_flag" in api.calls  # weights may be streamed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_goes_to_its_file(version: str, tmp_path: Path):
    network = named("conv").network(dynamic=False)
    api, file = Contract(version, network), PlanFile(tmp_path / "plan")
    result = build_plan(network, flavour=Flavour("tensorrt", api, version), file=file)
    assert bytes(result.plan) == bytes(2048)
    assert file.entry() == file_entry(str(tmp_path / "plan"))
    in_pieces = "Builder.build_serialized_network_to_stream" in api.calls
    assert in_pieces == (version != "10.3.0")


def test_a_timing_cache_is_reused_or_replaced(tmp_path, monkeypatch):
    network = named("conv").network(dynamic=False)
    path = tmp_path / "cache"
    path.write_bytes(b"timings")
    build = {"settings": BuildSettings(timing_cache=str(path))}
    api = Contract("10.3.0", network)
    flavour = Flavour("tensorrt", api, "10.3.0")
    assert build_plan(network, flavour=flavour, **build).timing_cache == "reused"
    monkeypatch.setattr(api.IBuilderConfig, "set_timing_cache", lambda config, cache, ignore: False)
    assert build_plan(network, flavour=flavour, **build).timing_cache == "replaced"
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_a_folder_of_a_timing_cache_is_made_for_the_shared_one_alone(tmp_path):
    network = named("conv").network(dynamic=False)
    path = tmp_path / "a/b/cache"
    flavour = Flavour("tensorrt", Contract("10.3.0", network), "10.3.0")
    with pytest.raises(BuildError, match="a/b/cache: its folder does not exist: create it first"):
        build_plan(network, flavour=flavour, settings=BuildSettings(timing_cache=str(path)))
    assert [*tmp_path.iterdir()] == []
    build_plan(network, flavour=flavour, settings=BuildSettings(shared_timing_cache=str(path)))
    assert path.is_file()


def test_shape_tensors_get_their_values(monkeypatch):
    network = named("shuffle_sizes").network(dynamic=False)
    sizes = network.input("sizes", TensorType(DType.INT64, (2,)))
    network.add(network.nodes[-1].layer, network.inputs[0], sizes)
    api = Contract("10.3.0", network)
    read = api.read
    monkeypatch.setattr(
        api,
        "read",
        lambda thing, name: (
            thing.name == "sizes" if name == "is_shape_tensor" else read(thing, name)
        ),
    )
    flavour = Flavour("tensorrt", api, "10.3.0")
    with pytest.raises(BuildError, match=r"sizes: int64.* used as sizes, and have no range"):
        build_plan(network, flavour=flavour)
    values = ([1, 20], [2, 20], [4, 20])
    build_plan(network, flavour=flavour, settings=BuildSettings(values={"sizes": values}))
    assert "IOptimizationProfile.set_shape_input" in api.calls


# -- the stand-in itself -----------------------------------------------------------------------


def use(api: Contract) -> tuple[Any, Any]:
    net = definition(api)
    return net, net.add_input("x", api.DataType.FLOAT, api.Dims([2, 3]))


SEEDED = {
    "no add_squeeze before 10.5": ("10.3.0", lambda api, net, x: net.add_squeeze(x)),
    "no add_cumulative before 10.5": ("10.3.0", lambda api, net, x: net.add_cumulative(x)),
    "no v2 in 10.13": ("10.13.3", lambda api, net, x: net.add_normalization_v2(x, x, x, 1)),
    "no explicit batch flag in 11": (
        "11.4.0",
        lambda api, net, x: api.NetworkDefinitionCreationFlag.EXPLICIT_BATCH,
    ),
    "no FP16 flag in 11": ("11.4.0", lambda api, net, x: api.BuilderFlag.FP16),
    "no dynamic range in 11": ("11.4.0", lambda api, net, x: x.set_dynamic_range(-1.0, 1.0)),
    "no cumulative enum in 10.3": ("10.3.0", lambda api, net, x: api.CumulativeOperation.SUM),
    "argument missing": ("10.3.0", lambda api, net, x: net.add_reduce(x, api.ReduceOperation.SUM)),
    "argument too many": ("10.3.0", lambda api, net, x: net.add_shape(x, x)),
    "wrong keyword": ("11.4.0", lambda api, net, x: net.add_identity(tensor=x)),
    "wrong enum": ("11.4.0", lambda api, net, x: net.add_unary(x, api.ActivationType.RELU)),
    "number for a tensor": ("11.4.0", lambda api, net, x: net.add_elementwise(x, 1, None)),
    "unknown property": (
        "10.3.0",
        lambda api, net, x: setattr(net.add_softmax(x), "axis", 1),
    ),
    "precision in 11": (
        "11.4.0",
        lambda api, net, x: setattr(net.add_softmax(x), "precision", api.DataType.HALF),
    ),
    "fixed property": ("11.4.0", lambda api, net, x: setattr(net.add_softmax(x), "num_inputs", 1)),
}


@pytest.mark.parametrize("what", SEEDED)
def test_violations_are_caught(what: str):
    version, wrong = SEEDED[what]
    api = Contract(version)
    with pytest.raises(ViolationError, match=version):
        wrong(api, *use(api))


def test_an_incomplete_interface_is_caught():
    api = Contract("10.3.0")
    with pytest.raises(ViolationError, match=r"IProgressMonitor\.phase_finish"):
        type("Monitor", (api.IProgressMonitor,), {"phase_start": lambda s, a, b, c: None})


@pytest.mark.parametrize(
    ("case", "version"),
    [("cumulative_float32_False_False", "10.3.0"),
     (GROUPS, "10.13.3")],
)  # fmt: skip
def test_emission_without_the_equivalents_is_caught(case: str, version: str, monkeypatch):
    """The very mistake the equivalents prevent: taking a layer for granted."""
    monkeypatch.setattr(Emitter, "has", lambda self, method: True)
    with pytest.raises(ViolationError, match=version):
        emitted(version, named(case).network(dynamic=True))


def test_tables_are_of_their_versions():
    for version in (*VERSIONS, "rtx-1.7.1"):
        assert read_table(version)["version"] == version


@pytest.mark.rtx
def test_a_table_says_what_its_module_has():
    """Shown where the module can be imported: names, enums, what can be set."""
    trt = pytest.importorskip("tensorrt_rtx")
    table = read_table("rtx-1.7.1")
    if not trt.__version__.startswith("1.7.1"):
        pytest.skip(f"the table is of 1.7.1, not {trt.__version__}")
    for name, members in table["enums"].items():
        assert set(members) == set(getattr(trt, name).__members__), name
    for name, entry in table["classes"].items():
        kind = getattr(trt, name)
        if name != "IOutputAllocator":  # its methods are looked up in classes made of it alone
            assert all(hasattr(kind, member) for member in entry["methods"]), name
        for member in entry["properties"]:
            found = getattr(kind, member)
            if isinstance(found, property):
                assert (found.fset is None) == is_fixed(name, member), (name, member)


# -- equivalents for older versions ------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "exclusive", "reverse"),
    list(itertools.product((1, 2, 5, 8), (False, True), (False, True))),
)
def test_running_sum_of_10_3_is_right(size: int, exclusive: bool, reverse: bool):
    network = Network("sum")
    x = network.input("x", TensorType(DType.INT32, (2, size)))
    layer = Cumulative(1, exclusive, reverse)
    network.mark_output(network.add(layer, x), "y")
    (output,) = emitted("10.3.0", network).outputs
    data = np.arange(1, 2 * size + 1).reshape(2, size) ** 2
    expected = data[:, ::-1] if reverse else data
    expected = np.cumsum(expected, 1) - (expected if exclusive else 0)
    np.testing.assert_array_equal(
        computed(output, data), expected[:, ::-1] if reverse else expected
    )


def computed(tensor: Any, data: np.ndarray) -> np.ndarray:
    """What the recorded slices and sums give for an input."""
    layer = tensor.producer
    if layer is None:
        return data
    if layer.kind == "ISliceLayer":
        source = computed(layer.inputs[0], data)
        (start,), (size,) = (layer.arguments[k].arguments["shape"] for k in ("start", "shape"))
        assert layer.mode.name == "FILL"
        places = np.arange(start, start + size)
        inside = (places >= 0) & (places < source.shape[1])
        return np.where(inside, source[:, places.clip(0, source.shape[1] - 1)], 0)
    if layer.kind == "IElementWiseLayer":
        assert layer.arguments["op"].name == "SUM"
        return computed(layer.inputs[0], data) + computed(layer.inputs[1], data)
    assert layer.kind == "IIdentityLayer"
    return computed(layer.inputs[0], data)


def test_running_sum_of_an_open_size_is_refused_by_10_3():
    network = Network("sum")
    x = network.input("x", TensorType(DType.FLOAT32, ("batch", 3)))
    network.mark_output(network.add(Cumulative(0), x), "y")
    with pytest.raises(BuildError, match=r"size is batch, needs TensorRT 10\.5 or a fixed size"):
        emitted("10.3.0", network)
    assert emitted("10.13.3", network).layers[-1].kind == "ICumulativeLayer"


def test_groups_with_a_scale_per_channel():
    network = named(GROUPS).network(dynamic=True)
    old = [layer.method for layer in emitted("10.3.0", network).layers]
    assert old[-3:] == ["add_normalization", "add_elementwise", "add_elementwise"]
    assert emitted("11.4.0", network).layers[-1].method == "add_normalization_v2"


@pytest.mark.rtx
@pytest.mark.parametrize(
    "case", ["cumulative_int64_True_True", "cumulative_half", "cumulative_one", GROUPS]
)
def test_the_real_builder_takes_the_equivalents(case: str, monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    from edge_trt.engines.tensorrt import load_flavour

    missing = ("add_cumulative", "add_normalization_v2")
    monkeypatch.setattr(Emitter, "has", lambda self, method: method not in missing)
    network = named(case).network(dynamic=True)
    settings = BuildSettings(ranges=RANGES)
    plan = build_plan(network, flavour=load_flavour("tensorrt_rtx"), settings=settings).plan
    assert plan.nbytes > 1000


def test_the_error_recorder_keeps_what_concerns_the_network():
    api = Contract("10.3.0")
    messages = Messages()
    recorder = error_recorder(api, messages)
    driver = "Cuda Runtime (CUDA driver version is insufficient for CUDA runtime version)"
    problem = "f: Error Code 4: API Usage Error (conv: bad kernel. In a at b.cpp:1)"
    for text in (problem, driver, problem):
        recorder.report_error(None, text)
    assert recorder.num_errors() == 3
    assert messages.take() == ["conv: bad kernel"]
    recorder.report_error(None, driver)
    assert len(messages.take()) == 1, "a harmless message is better than none"
