# SPDX-License-Identifier: Apache-2.0
"""Runs a compiled model on sample data and shows what its tensors hold.

The networks run by ONNX Runtime, fallbacks by what runs them on the device, so that neither torch
nor a GPU is needed: a bundle can be calibrated where it will be used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_trt.engines.onnx.observer import LIMIT, Group, Observer
from edge_trt.network.graph import Network
from edge_trt.network.layers import (
    Activation,
    Normalization,
    ParametricReLU,
    Scale,
    SoftMax,
    Unary,
)
from edge_trt.network.weights import release
from edge_trt.precision.range_names import key
from edge_trt.precision.reasons import is_float32
from edge_trt.precision.sites import WEIGHTED, Sites
from edge_trt_calibration import CalibrationError, InputSpec, Ranges
from edge_trt_calibration.collect import SAMPLES
from edge_trt_calibration.ranges import listed

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle
    from edge_trt_runtime.executors import Executor
    from edge_trt_runtime.manifest import ImageSpec, Signature, TensorSpec

    Fallbacks = Mapping[str, Executor]


class ObservedModel:
    """The segments of a bundle, ready to run and to be looked at.

    Args:
        bundle: a model.
        names: the tensors to show, by network.
        fallbacks: what `fallback_executors` made of it, or of it with other networks.
    """

    def __init__(
        self, bundle: Bundle, names: Mapping[str, Sequence[str]], fallbacks: Fallbacks
    ) -> None:
        self._parts = bundle.parts
        self._results = bundle.results
        shapes = usual_shapes(bundle)
        self._observers = {
            network.name: Observer(network, names[network.name], shapes)
            for network in bundle.networks
        }
        self._fallbacks = fallbacks
        self._many = len(self._observers) > 1
        self.most_rows = max(1, LIMIT // max(1, self._bytes_per_row(bundle)))
        self.outputs: Group = {}

    def observe(self, feed: Mapping[str, np.ndarray]) -> Iterator[Group]:
        """Runs the model on one batch; yields what is to be seen, by `key`."""
        values: Group = dict(feed)
        for part in self._parts:
            given = {name: values[name] for name in part.inputs}
            if part.network is None:
                found = self._fallbacks[part.name].run(list(given.values()))
                values |= dict(zip(part.outputs, found, strict=True))
                continue
            observer = self._observers[part.name]
            for group in observer.run(given):
                yield {key(part.name, n, many=self._many): array for n, array in group.items()}
            values |= observer.outputs
        self.outputs = {name: values[value] for name, value in self._results.items()}

    def _bytes_per_row(self, bundle: Bundle) -> int:
        shown = sum(observer.shown_bytes for observer in self._observers.values())
        rows = [_usual(spec, bundle.signature)[:1] for spec in bundle.signature.inputs]
        return shown // max(1, max((r[0] for r in rows if r), default=1))


def runner(bundle: Bundle, fallbacks: Fallbacks) -> Callable[[Group], Group]:
    """A function that runs a bundle on one batch, without showing anything but its outputs.

    Args:
        bundle: what to run.
        fallbacks: as for `ObservedModel`.
    """
    model = ObservedModel(bundle, {n.name: [] for n in bundle.networks}, fallbacks)

    def run(feed: Group) -> Group:
        for _ in model.observe(feed):
            pass
        # The arrays are used again by the run after the next.
        return {name: array.copy() for name, array in model.outputs.items()}

    return run


def shown(sites: Mapping[str, Sites]) -> dict[str, list[str]]:
    """Names of the tensors that need ranges, by network."""
    return {name: [t.name for t in found.tensors] for name, found in sites.items()}


SIZELESS = (*WEIGHTED, Activation, Unary, SoftMax, Normalization, Scale, ParametricReLU)
"""Kinds of layers that a model has whatever sizes of its inputs are open."""


def digest(bundle: Bundle) -> str:
    """Tells whether ranges belong to a model: a digest of what it computes, and its weights.

    Shapes are left out, and so are layers that move values or compute sizes: the same model with
    other open sizes has the same ranges.
    """
    state = hashlib.blake2b(digest_size=16)
    nodes = [n for network in bundle.networks for n in network.walk()]
    for node in nodes:
        layer = node.layer
        if not isinstance(layer, SIZELESS) or not any(map(is_float32, node.outputs)):
            continue
        what = layer if isinstance(layer, WEIGHTED) else getattr(layer, "op", "")
        state.update(f"{layer.kind} {what} {getattr(layer, 'type', '')}".encode())
        for tensor in node.inputs:
            if tensor.data is not None:
                state.update(np.ascontiguousarray(tensor.data).reshape(-1).view(np.uint8).data)
                release([tensor.data])  # a session has a copy of most of them, beside this map
    return state.hexdigest()


def check_ranges(ranges: Ranges, bundle: Bundle, sites: Mapping[str, Sites]) -> None:
    """Refuses ranges of another model; those of other tools are compared by names alone.

    Raises:
        CalibrationError: naming the tensors without a range, and those that the model lacks.
    """
    many = len(sites) > 1
    wanted = {key(n, t.name, many=many) for n, found in sites.items() for t in found.tensors}
    missing = sorted(wanted - set(ranges.tensors))
    if ranges.model and ranges.model != digest(bundle):
        unknown = sorted(set(ranges.tensors) - wanted)
        differ = [f"it has no {listed(unknown)}"] if unknown else []
        differ += [f"they lack its {listed(missing)}"] if missing else []
        which = ", and ".join(differ) or "its weights differ"
        raise CalibrationError(
            f"the ranges were taken from another model than this: {which}",
            names=[*unknown, *missing],
            hint="calibrate this model",
        )
    if missing:
        raise CalibrationError(
            f"there are no ranges for {listed(missing)}",
            names=missing,
            hint="calibrate with the options of this build",
        )


def input_specs(
    signature: Signature, most_rows: int, states: Mapping[str, np.ndarray]
) -> list[InputSpec]:
    """What a feed has to look like; an open first axis takes as many rows as fit into memory.

    Args:
        signature: the model's inputs.
        most_rows: how many fit.
        states: what inputs begin with that are states.
    """
    specs: list[InputSpec] = []
    for spec in signature.inputs:
        shape: list[int | tuple[int, int]] = []
        for size in spec.shape:
            if isinstance(size, int):
                shape.append(size)
                continue
            found = signature.dims.get(size)
            shape.append((found.min, found.max) if found else (0, np.iinfo(np.int64).max))
        if shape and isinstance(shape[0], tuple):
            low, high = shape[0]
            shape[0] = (low, max(low, min(high, most_rows)))
        names = tuple(s if isinstance(s, str) and s in signature.dims else None for s in spec.shape)
        pixels = spec.image is not None and _is_raw(spec.image)
        initial = states.get(spec.name)
        specs.append(InputSpec(spec.name, spec.dtype, tuple(shape), names, pixels, initial))
    return specs


def usual_samples(inputs: Sequence[InputSpec]) -> int:
    """Samples that calibrate where no number is asked for: whole batches of a model of one size."""
    firsts = {spec.shape[0] for spec in inputs if spec.shape and spec.initial is None}
    low = max((s if isinstance(s, int) else s[0] for s in firsts), default=1)
    if any(isinstance(size, int) for size in firsts):
        return max(SAMPLES // max(low, 1), 1) * max(low, 1)
    return max(SAMPLES, low)


def _is_raw(image: ImageSpec) -> bool:
    """Whether an image goes in as it is read, and the network prepares it."""
    return image.scale == 1 and not any(image.mean) and all(std == 1 for std in image.std)


def _usual(spec: TensorSpec, signature: Signature) -> tuple[int, ...]:
    """The shape that an input usually has; 1 for what is not known."""
    dims = signature.dims
    return tuple(s if isinstance(s, int) else dims[s].opt if s in dims else 1 for s in spec.shape)


def usual_shapes(bundle: Bundle) -> dict[str, tuple[int, ...]]:
    """The shape that each input of a segment usually has, by name."""
    specs = [*bundle.signature.inputs, *(spec for part in bundle.parts for spec in part.tensors)]
    return {spec.name: _usual(spec, bundle.signature) for spec in specs}


def with_networks(bundle: Bundle, networks: Mapping[str, Network]) -> Bundle:
    """The bundle with other networks; nothing else is copied."""
    parts = [replace(p, network=networks[p.name]) if p.network else p for p in bundle.parts]
    return replace(bundle, parts=parts)


def fallback_executors(bundle: Bundle, folder: Path) -> Fallbacks:
    """What runs the fallbacks, by segment; they read their programs from a saved bundle.

    Args:
        bundle: the model.
        folder: an empty folder, which has to outlive them.
    """
    if all(part.network is not None for part in bundle.parts):
        return {}
    from edge_trt.bundle.save import save_bundle
    from edge_trt_runtime.bundle import open_bundle
    from edge_trt_runtime.executors import open_executor
    from edge_trt_runtime.plan import Step

    path = folder / "model.edge"
    save_bundle(bundle, path, durable=False)
    opened = open_bundle(path)
    return {
        s.name: open_executor(opened, Step(s, tuple(s.outputs), (), (), ()), None)
        for s in opened.manifest.segments
        if s.kind != "network"
    }


def network_ranges(ranges: Ranges, network: Network, *, many: bool) -> dict[str, float]:
    """The largest magnitudes of one network's tensors by name."""
    prefix = key(network.name, "", many=many)
    found = ranges.tensors.items()
    return {n.removeprefix(prefix): r.amax for n, r in found if n.startswith(prefix)}
