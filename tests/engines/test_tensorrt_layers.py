# SPDX-License-Identifier: Apache-2.0
"""Every layer kind, emitted into a real TensorRT network and built ahead of time, without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from edge_trt.engines.tensorrt import BuildSettings, Emitted, emit
from edge_trt.engines.tensorrt.flavours import network_flags
from edge_trt.engines.tensorrt.profiles import add_profiles
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.types import UNKNOWN, DType
from edge_trt_runtime.manifest import Range
from edge_trt_runtime.tensorrt.messages import Messages, error_recorder, logging_to
from tests.support.layer_networks import CASES, Case

trt = pytest.importorskip("tensorrt_rtx")
pytestmark = pytest.mark.rtx
RANGES = {"batch": Range(1, 2, 4)}

FORMS = [
    pytest.param(case, dynamic, id=f"{case.name}-{'dynamic' if dynamic else 'static'}")
    for case in CASES
    for dynamic in ((False, True) if case.has_batch else (False,))
]


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with logging_to(trt, Messages()) as log:
        yield Builder(log)


class Builder:
    """The real builder, used again and again."""

    def __init__(self, log: Any) -> None:
        self.messages = Messages()
        self.recorder = error_recorder(trt, self.messages)
        self.builder = trt.Builder(log)
        self.builder.error_recorder = self.recorder

    def emit(self, network: Network) -> Emitted:
        self.messages.take()
        definition = self.builder.create_network(network_flags(trt))
        return emit(network, trt, definition, self.messages)

    def build(self, network: Network, emitted: Emitted) -> Any:
        config = self.builder.create_builder_config()
        settings = BuildSettings(ranges=RANGES)
        add_profiles(network, emitted, self.builder, config, settings, self.messages)
        return self.builder.build_serialized_network(emitted.definition, config)


@pytest.mark.parametrize(("case", "dynamic"), FORMS)
def test_builder_takes_the_layer(case: Case, dynamic: bool, builder: Builder):
    """Both forms have our shapes and types; the form with the most freedom is built."""
    network = case.network(dynamic=dynamic)
    emitted = builder.emit(network)
    for node in network.nodes:
        for tensor in node.outputs:
            assert same_type(tensor, emitted.tensors[tensor]), tensor
    assert [t.name for t in network.outputs] == output_names(emitted)
    if dynamic or not case.has_batch:
        plan = builder.build(network, emitted)
        assert (plan is None) == bool(case.construct_only), builder.messages.take()


def same_type(ours: Tensor, theirs: object) -> bool:
    """As strict as can be: a number is that number, a name is open, only `?` may be either."""
    sizes = zip(ours.shape, theirs.shape, strict=True)
    fits = all(b == (a if isinstance(a, int) else -1) or a == UNKNOWN for a, b in sizes)
    name = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BF16", "uint8": "INT32"}
    wanted = name.get(ours.dtype.value, ours.dtype.value.upper())
    return fits and theirs.dtype == getattr(trt.DataType, wanted)


def output_names(result: Emitted) -> list[str]:
    definition = result.definition
    return [definition.get_output(i).name for i in range(definition.num_outputs)]


def test_the_table_has_every_layer_kind():
    used = {type(n.layer) for case in CASES for n in case.network(dynamic=False).nodes}
    assert {kind.__name__ for kind in used} == set(Layer.kinds)


def test_inputs_and_outputs_keep_their_types(builder: Builder):
    for dtype in DType:
        (case,) = [c for c in CASES if c.name == f"identity_{dtype.value}"]
        definition = builder.emit(case.network(dynamic=True)).definition
        source, result = definition.get_input(0), definition.get_output(0)
        assert source.dtype == result.dtype
        assert source.dtype.name == {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BF16"}.get(
            dtype.value, dtype.value.upper()
        )
        assert source.get_dimension_name(0) == "batch"
