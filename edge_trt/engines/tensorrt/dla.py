# SPDX-License-Identifier: Apache-2.0
"""Layers of a TensorRT network on a deep learning accelerator, in both regimes.

weak (TensorRT 10.3 to 10.7): the network has no types and no quantization layers; every tensor
    gets its range, and layers around a tensor without one compute in float16.
strong (11.4.1 on): the network's own types and Quantize and Dequantize layers decide.

The plan says which layers are to go there. TensorRT has the last word on each: what it refuses runs
on the GPU, and is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_trt.engines.tensorrt.emit import Emitted
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network, Node, Tensor

LARGEST = 127
"""The greatest int8 level: a range is this many steps to either side."""


@dataclass(frozen=True, slots=True)
class OnDla:
    """What a build is to put on a DLA.

    Attributes:
        layers: names of the nodes that run there.
        core: the core that the plan is built on; it runs on any.
        fallback: whether other layers may run on the GPU; without, they are an error.
        insist: whether it is an error that TensorRT refuses one of `layers`.
        weak: the regime; in it the network is one without quantization layers, in float32.
        scales: in the weak regime: the int8 step of a tensor, by its name; empty for float16.
        float32: in the weak regime: names of nodes that lose too much in float16.
    """

    layers: frozenset[str]
    core: int = 0
    fallback: bool = True
    insist: bool = False
    weak: bool = True
    scales: Mapping[str, float] = field(default_factory=dict[str, float])
    float32: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a placement.

    Attributes:
        layers: names of the nodes that TensorRT lets run on the DLA.
        refused: nodes of the plan that it does not.
        core: the core that it was built on.
    """

    layers: tuple[str, ...]
    refused: tuple[Node, ...]
    core: int = 0


def place(network: Network, emitted: Emitted, config: Any, trt: Any, wanted: OnDla) -> Placed:
    """Sets devices, and in the weak regime ranges and precisions.

    Args:
        network: what was emitted.
        emitted: TensorRT's side of it.
        config: the builder configuration.
        trt: the TensorRT module.
        wanted: the placement.

    Raises:
        BuildError: TensorRT refuses a layer, and nothing may fall back; or it refuses a range.
    """
    config.DLA_core = wanted.core
    if wanted.fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    layers = [*_layers(emitted)]
    if wanted.weak:
        _set_types(network, emitted, layers, config, trt, wanted)
    taken: dict[str, None] = {}
    refused: dict[str, Node] = {}
    for layer, node in layers:
        if node.name not in wanted.layers:
            continue
        config.set_device_type(layer, trt.DeviceType.DLA)
        if config.can_run_on_DLA(layer):
            taken[node.name] = None
        else:
            config.set_device_type(layer, trt.DeviceType.GPU)
            refused[node.name] = node
    _insist(network, wanted, refused)
    return Placed(
        tuple(name for name in taken if name not in refused), tuple(refused.values()), wanted.core
    )


def _insist(network: Network, wanted: OnDla, refused: Mapping[str, Node]) -> None:
    """Names the first layer that was to run on the DLA, and does not."""
    for node in network.nodes:
        outside = not wanted.fallback and node.name not in wanted.layers
        if outside or (node.name in refused and (wanted.insist or not wanted.fallback)):
            who = "the plan leaves it out" if outside else "TensorRT refuses it there"
            raise BuildError(
                f"layer {node.name} = {node.layer} ({node.origin}) does not run on the DLA: {who}",
                layer=node.name,
                module=node.origin.module,
                hint="build with --dla auto, which leaves it to the GPU",
            )


def _layers(emitted: Emitted) -> Iterable[tuple[Any, Node]]:
    """Layers that compute, with the nodes they came from."""
    definition = emitted.definition
    for index in range(definition.num_layers):
        layer = definition.get_layer(index)
        node = emitted.layers.get(layer.name)
        if node is not None:
            yield layer, node


def _set_types(
    network: Network,
    emitted: Emitted,
    layers: Iterable[tuple[Any, Node]],
    config: Any,
    trt: Any,
    wanted: OnDla,
) -> None:
    """Flags, ranges of tensors, and the precision of layers that can't be int8."""
    config.set_flag(trt.BuilderFlag.FP16)
    if wanted.scales:
        config.set_flag(trt.BuilderFlag.INT8)
    config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
    for tensor, theirs in emitted.tensors.items():
        step = wanted.scales.get(tensor.name)
        if step is None:
            continue
        if not theirs.set_dynamic_range(-LARGEST * step, LARGEST * step):
            raise BuildError(f"TensorRT refuses the range of {tensor!r}, {LARGEST * step:g}")
    for layer, node in layers:
        if node.name in wanted.float32:
            layer.precision = trt.DataType.FLOAT
        elif wanted.scales and not _in_int8(node, wanted.scales):
            layer.precision = trt.DataType.HALF


def _in_int8(node: Node, scales: Mapping[str, float]) -> bool:
    """Whether int8 is possible for a layer, or it does not compute with floats at all."""
    return all(t.name in scales for t in _activations(node))


def _activations(node: Node) -> Iterable[Tensor]:
    tensors = (*node.inputs, *node.outputs)
    return (t for t in tensors if t.dtype.is_float and not t.is_constant)
