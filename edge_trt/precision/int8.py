# SPDX-License-Identifier: Apache-2.0
"""A float32 network with explicit quantization, as TensorRT wants it.

    sites = find_sites(network, keep)
    ranges = ...                                        # of `sites.tensors`
    network, kept = to_int8(network, sites, ranges)

What is read by several layers is quantized once. Weights become int8 constants, a quarter of their
size, with a scale per output channel; biases stay float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import Dequantize, Quantize
from edge_trt.network.rewrite import Rewriter, rewrite
from edge_trt.precision.fp16 import Kept
from edge_trt.precision.sharing import share
from edge_trt.precision.sites import Sites
from edge_trt_calibration import CalibrationError
from edge_trt_calibration.methods import LEVELS
from edge_trt_calibration.ranges import listed
from edge_trt_calibration.weights import quantize, weight_scales

QuantizedWeights = dict[tuple[Tensor, "int | None"], tuple[np.ndarray, np.ndarray]]
"""Levels and steps by the constant and its axis, which many networks of one model share."""


def to_int8(
    network: Network,
    sites: Sites,
    ranges: Mapping[str, float],
    *,
    weights: str = "max",
    dense: bool = False,
    known: QuantizedWeights | None = None,
) -> tuple[Network, list[Kept]]:
    """Puts Quantize and Dequantize layers where `sites` says.

    Args:
        network: a float32 network that passes `verify`; it is not changed.
        sites: what `find_sites` found in it.
        ranges: the largest magnitude of each tensor by name; those of one group share the largest.
        weights: how scales of weights are chosen, as `weight_scales` takes it.
        dense: groups follow the rules of a DLA.
        known: weights that were quantized before by the same method; new ones are added.

    Returns:
        The new network, and the weighted layers that stayed as they were, with the reasons.

    Raises:
        CalibrationError: ranges are missing, or no numbers; all names at once.
    """
    scales = activation_scales(network, sites.tensors, ranges, dense=dense)
    change = _Quantized(sites, scales, weights, known)
    kept = [Kept(n.name, n.layer.kind, why, n.origin) for n, why in sites.reasons.items()]
    return rewrite(network, change), kept


def with_twins(
    network: Network,
    sites: Sites,
    ranges: Mapping[str, float],
    *,
    weights: str = "max",
    dense: bool = False,
    known: QuantizedWeights | None = None,
) -> tuple[Network, dict[str, str]]:
    """The network with a quantized twin beside each quantized layer, which nothing reads.

    Returns:
        The network, and the name of the twin's result by that of the layer's.
    """
    scales = activation_scales(network, sites.tensors, ranges, dense=dense)
    change = _Twins(sites, scales, weights, known)
    return rewrite(network, change), change.twins


def activation_scales(
    network: Network,
    tensors: Sequence[Tensor],
    ranges: Mapping[str, float],
    *,
    dense: bool = False,
) -> dict[Tensor, np.float32]:
    """The step of every tensor, after tensors that share one were brought together."""
    if missing := [t.name for t in tensors if t.name not in ranges]:
        raise CalibrationError(
            f"there are no ranges for {listed(missing)}",
            names=missing,
            hint="these ranges are of another model, or of other options; calibrate again",
        )
    largest = {tensor: float(ranges[tensor.name]) for tensor in tensors}
    if odd := [t.name for t, amax in largest.items() if not 0 <= amax < float("inf")]:
        raise CalibrationError(f"the ranges of {listed(odd)} are no magnitudes", names=odd)
    for group in share(network, tensors, dense=dense):
        largest.update(dict.fromkeys(group, max(largest[t] for t in group)))
    tiny = float(np.finfo(np.float32).tiny)
    # A tensor that was always zero is zero at any scale.
    return {t: np.float32(max(a / LEVELS, tiny) if a else 1.0) for t, a in largest.items()}


class _Quantized:
    """The rule of the rewrite; every tensor and every weight is quantized once."""

    def __init__(
        self,
        sites: Sites,
        scales: Mapping[Tensor, np.float32],
        method: str,
        known: QuantizedWeights | None,
    ) -> None:
        self._sites = sites
        self._scales = scales
        self._method = method
        self._known = {} if known is None else known
        self._done: dict[tuple[Tensor, int | None], Tensor] = {}

    def __call__(self, rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        inputs = self._inputs(rewriter, node)
        return None if inputs is None else rewriter.copy(node, inputs)

    def _inputs(self, rewriter: Rewriter, node: Node) -> list[Tensor] | None:
        places = self._sites.activations.get(node)
        if places is None:
            return None
        inputs = list(rewriter.inputs(node))
        for place in places:
            inputs[place] = self._activation(rewriter, node, node.inputs[place])
        weight = self._sites.weights.get(node)
        if weight is not None:
            constant = node.inputs[weight.operand]
            inputs[weight.operand] = self._weight(rewriter, node, constant, weight.axis)
        return inputs

    def _activation(self, rewriter: Rewriter, node: Node, tensor: Tensor) -> Tensor:
        key = (tensor, None)
        if key not in self._done:
            scale = rewriter.constant(np.array(self._scales[tensor]), f"{tensor.name}.scale")
            origin = tensor.producer.origin if tensor.producer else node.origin
            levels = rewriter.insert(
                Quantize(), rewriter[tensor], scale, name=f"{tensor.name}.int8", origin=origin
            )
            self._done[key] = rewriter.insert(
                Dequantize(), levels, scale, name=f"{tensor.name}.quantized", origin=origin
            )
        return self._done[key]

    def _weight(self, rewriter: Rewriter, node: Node, tensor: Tensor, axis: int | None) -> Tensor:
        key = (tensor, axis)
        if key not in self._done:
            if key not in self._known:
                self._known[key] = self._quantized(node, tensor, axis)
            numbers, steps = self._known[key]
            levels = rewriter.constant(numbers, f"{tensor.name}.int8")
            scale = rewriter.constant(steps, f"{tensor.name}.scale")
            self._done[key] = rewriter.insert(
                Dequantize(-1 if axis is None else axis), levels, scale,
                name=f"{tensor.name}.quantized", origin=node.origin,
            )  # fmt: skip
        return self._done[key]

    def _quantized(
        self, node: Node, tensor: Tensor, axis: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        assert tensor.data is not None
        try:
            steps = weight_scales(tensor.data, axis, self._method)
        except CalibrationError as error:
            raise CalibrationError(
                f"the weights of {node.name} ({node.origin}) can't be quantized: {error}",
                names=[tensor.name],
            ) from error
        return quantize(tensor.data, steps, axis), steps


class _Twins(_Quantized):
    """Leaves the layers as they are, and adds the quantized ones."""

    def __init__(
        self,
        sites: Sites,
        scales: Mapping[Tensor, np.float32],
        method: str,
        known: QuantizedWeights | None,
    ) -> None:
        super().__init__(sites, scales, method, known)
        self.twins: dict[str, str] = {}

    def __call__(self, rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        results = rewriter.copy(node)
        if node in self._sites.weights:
            inputs = self._inputs(rewriter, node) or []
            twin = rewriter.insert(
                node.layer, *inputs, name=f"{node.name}.twin", origin=node.origin
            )
            self.twins[results[0].name] = twin.name
        return results
