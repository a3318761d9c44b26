# SPDX-License-Identifier: Apache-2.0
"""A float32 network as a strongly typed float16 one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_trt.network.graph import Network, Node, Origin, Tensor
from edge_trt.network.layers import Cast, Dequantize, Quantize
from edge_trt.network.rewrite import Rewriter
from edge_trt.network.types import DType
from edge_trt.precision.decision import Decision, Keep
from edge_trt.precision.exceptions import Patterns
from edge_trt.precision.reasons import is_float32


@dataclass(frozen=True, slots=True)
class Kept:
    """A layer that stays at a higher precision, for the report."""

    layer: str
    kind: str
    reason: str
    origin: Origin

    def as_dict(self) -> dict[str, str]:
        """A row of the report."""
        return {
            "layer": self.layer,
            "kind": self.kind,
            "module": self.origin.module,
            "source": self.origin.source,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        return f"{self.layer} ({self.kind}, {self.origin}): {self.reason}"


def to_fp16(
    network: Network, *, keep_fp32: Callable[[Node], str | None] | Sequence[str] = ()
) -> tuple[Network, list[Kept]]:
    """Rewrites float32 layers and constants to float16, except where that loses the result.

    Inputs and outputs keep their types: casts stand at the edges, and between layers of different
    types once per tensor. What is not float32 (sizes, indices, masks, int8, bfloat16) is left
    alone. `reasons` and `decision` tell which layers stay float32.

    Args:
        network: a network that passes `verify`; it is not changed.
        keep_fp32: further layers that stay float32: patterns as `Patterns` takes them, or a
            function that gives the reason, or None.

    Returns:
        The new network, and the layers that stayed float32 with the reasons.
    """
    keep: Keep = keep_fp32 if callable(keep_fp32) else Patterns(keep_fp32)
    reasons = Decision(network, keep).reasons
    rewriter = _Fp16(network, reasons)
    kept = [
        Kept(node.name, node.layer.kind, reasons[node], node.origin)
        for node in network.nodes
        if node in reasons
    ]
    return rewriter.run(), kept


class _Fp16:
    """The rewrite itself; every float32 tensor of the old network may have two forms."""

    def __init__(self, network: Network, reasons: dict[Node, str]) -> None:
        self._rewriter = Rewriter(network)
        self._reasons = reasons
        self._outputs = set(network.outputs)
        self._forms: dict[tuple[Tensor, DType], Tensor] = {}

    def run(self) -> Network:
        source = self._rewriter.source
        for node in source.nodes:
            self._node(node)
        for tensor in source.outputs:
            if is_float32(tensor):
                self._rewriter.replace(tensor, self._form(tensor, DType.FLOAT32, tensor.producer))
        return self._rewriter.finish()

    def _node(self, node: Node) -> None:
        dtype = self._type_of(node)
        layer = node.layer
        if isinstance(layer, Cast) and self._cast(node, layer, dtype):
            return
        inputs = [self._input(node, i, dtype) for i in range(len(node.inputs))]
        names = [self._name(t, dtype) for t in node.outputs]
        if isinstance(layer, Dequantize) and is_float32(node.outputs[0]):
            layer = replace(layer, to_type=None if dtype is DType.FLOAT32 else dtype)
        results = self._rewriter.copy(node, inputs, layer=layer, names=names)
        for old, new in zip(node.outputs, results, strict=True):
            self._rewriter.replace(old, new)

    def _type_of(self, node: Node) -> DType:
        """The float type that a layer computes in."""
        if node in self._reasons:
            return DType.FLOAT32
        if any(map(is_float32, node.outputs)):
            return DType.FLOAT16
        # Nothing float comes out (a comparison, a cast to integers): take what there is.
        data = [t for t in node.inputs if is_float32(t) and not t.is_constant]
        wide = any(self._rewriter[t].dtype is DType.FLOAT32 for t in data)
        return DType.FLOAT32 if wide else DType.FLOAT16

    def _cast(self, node: Node, layer: Cast, dtype: DType) -> bool:
        """Handles casts that change their meaning; False for the others."""
        (x,), (result,) = node.inputs, node.outputs
        if layer.to_type is DType.FLOAT32 and dtype is DType.FLOAT16:
            inputs = [self._input(node, 0, dtype)]
            if inputs[0].dtype is dtype:
                self._rewriter.replace(result, inputs[0])
                return True
            names = [self._name(result, dtype)]
            (new,) = self._rewriter.copy(node, inputs, layer=Cast(dtype), names=names)
            self._rewriter.replace(result, new)
            return True
        if layer.to_type is DType.FLOAT16 and is_float32(x):
            self._rewriter.replace(result, self._form(x, DType.FLOAT16, node))
            return True
        return False

    def _input(self, node: Node, position: int, dtype: DType) -> Tensor:
        tensor = node.inputs[position]
        is_scale = isinstance(node.layer, (Quantize, Dequantize)) and position == 1
        if not is_float32(tensor) or is_scale:  # a small scale has few digits in float16
            return self._rewriter[tensor]
        return self._form(tensor, dtype, node)

    def _form(self, tensor: Tensor, dtype: DType, user: Node | None) -> Tensor:
        """A float32 tensor of the old network in either type, made on first use."""
        new = self._rewriter[tensor]
        if new.dtype is dtype:
            return new
        key = (tensor, dtype)
        if key not in self._forms:
            node = tensor.producer or user
            origin = Origin() if node is None else node.origin
            self._forms[key] = self._made(tensor, new, dtype, origin)
        return self._forms[key]

    def _made(self, tensor: Tensor, new: Tensor, dtype: DType, origin: Origin) -> Tensor:
        name = f"{tensor.name}.{dtype}"
        if tensor.data is None:
            return self._rewriter.insert(Cast(dtype), new, name=name, origin=origin)
        with np.errstate(over="ignore"):  # infinities stay what they are
            return self._rewriter.constant(tensor.data.astype(dtype.numpy), name)

    def _name(self, tensor: Tensor, dtype: DType) -> str:
        """The old name, unless a network's output of another type needs it."""
        narrow = is_float32(tensor) and dtype is DType.FLOAT16 and tensor in self._outputs
        return f"{tensor.name}.{dtype}" if narrow else tensor.name
