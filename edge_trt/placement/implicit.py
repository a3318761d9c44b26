# SPDX-License-Identifier: Apache-2.0
"""A network without its quantization layers, with the scales beside it.

That is what a DLA takes in the weak regime (dynamic ranges by tensor), and what the rules and the
planner look at in every regime.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import Cast, Dequantize, Quantize
from edge_trt.network.rewrite import Rewriter, rewrite
from edge_trt.network.types import DType


def without_quantization(
    network: Network, *, values: bool = True
) -> tuple[Network, dict[str, float]]:
    """Takes Quantize and Dequantize layers out.

    Args:
        network: it is not changed.
        values: whether int8 weights become their float32 values; otherwise they become zeros of
            their shape that take no memory, for who looks at shapes alone.

    Returns:
        The network, and the int8 step of every activation that was quantized with one scale, by
        the tensor's name. What has several scales along an axis keeps its layers.
    """
    rule = _Stripped(values)
    stripped = rewrite(network, rule)
    stripped.prune()
    return stripped, rule.scales


def in_float32(network: Network) -> Network:
    """A float16 network with every value in float32: what the weak regime makes float16 itself.

    Args:
        network: it is not changed. Its constants have the values that float16 left them.
    """
    changed = rewrite(network, _widened)
    changed.prune()
    return changed


def _widened(rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
    inputs = [_wide_constant(rewriter, tensor) for tensor in node.inputs]
    if isinstance(node.layer, Cast) and node.layer.to_type in (DType.FLOAT16, DType.FLOAT32):
        source = inputs[0]
        return [source] if source.dtype is DType.FLOAT32 else None
    return rewriter.copy(node, inputs)


def _wide_constant(rewriter: Rewriter, tensor: Tensor) -> Tensor:
    stands = rewriter[tensor]
    if not stands.is_constant or stands.dtype is not DType.FLOAT16:
        return stands
    assert stands.data is not None
    wide = rewriter.constant(stands.data.astype(np.float32), tensor.name)
    rewriter.replace(tensor, wide)
    return wide


class _Stripped:
    """The rule of the rewrite."""

    def __init__(self, values: bool) -> None:
        self.scales: dict[str, float] = {}
        self._values = values
        self._weights: dict[Tensor, Tensor] = {}

    def __call__(self, rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        if isinstance(node.layer, Quantize) and _whole(node):
            source = rewriter[node.inputs[0]]
            step = node.inputs[1].data
            if step is not None and not source.is_constant:
                self.scales[source.name] = float(step.reshape(-1)[0])
            return [source]
        if not isinstance(node.layer, Dequantize):
            return None
        read = node.inputs[0]
        if read.is_constant:
            return [self._weight(rewriter, node)]
        quantize = read.producer
        through = quantize is not None and isinstance(quantize.layer, Quantize)
        if through and quantize is not None and _whole(quantize) and _whole(node):
            return [rewriter[read]]
        return None

    def _weight(self, rewriter: Rewriter, node: Node) -> Tensor:
        """The float32 constant that int8 levels stand for."""
        levels, scale = node.inputs[0], node.inputs[1].data
        assert levels.data is not None
        assert scale is not None
        if levels in self._weights:
            return self._weights[levels]
        array: np.ndarray
        if self._values:
            shape = [1] * levels.rank
            if scale.ndim:
                shape[node.layer.axis] = -1  # type: ignore[attr-defined]
            array = levels.data.astype(np.float32) * scale.astype(np.float32).reshape(shape)
        else:
            array = np.broadcast_to(np.float32(0), levels.data.shape)
        dtype = node.outputs[0].dtype
        if dtype is not DType.FLOAT32:
            array = array.astype(dtype.numpy) if self._values else np.broadcast_to(
                dtype.numpy.type(0), array.shape
            )  # fmt: skip
        self._weights[levels] = rewriter.constant(array, node.outputs[0].name)
        return self._weights[levels]


def _whole(node: Node) -> bool:
    """Whether a quantization layer has one constant scale for the whole tensor."""
    scale = node.inputs[1].data
    return scale is not None and scale.size == 1
