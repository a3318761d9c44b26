# SPDX-License-Identifier: Apache-2.0
"""Where a network is quantized: at the inputs of products with weights, and where a shortcut joins.

Two schemes. *Sparse* is what a GPU wants: convolutions and products with a constant matrix read
int8; between them nothing is quantized but the shortcut that is added to a convolution, so that
convolution, bias, addition and activation stay one kernel. Softmax, normalization, GELU and
products of two activations read what they are given. *Dense* is what a DLA wants: every tensor has
a scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.layers import (
    Cast,
    Convolution,
    Deconvolution,
    Dequantize,
    Einsum,
    ElementWise,
    Identity,
    MatrixMultiply,
    Pooling,
    Quantize,
    Scale,
    Shuffle,
)
from edge_trt.network.types import DType
from edge_trt.precision.reasons import is_float32

WEIGHTED = (Convolution, Deconvolution, MatrixMultiply, Einsum)
"""Kinds that int8 is about; each of these is quantized, or has a reason why it is not."""

ONE_OPERAND = (
    "the model itself quantizes one operand to int8 around zero, and not the other:"
    " quantize both so, or neither"
)
"""Why a layer that reads another tensor beside one of a Dequantize layer of the model is left."""


CAST = "a cast stands between it and the model's own quantization: quantize after the cast"
"""Why a layer is left that reads what the model has quantized and then cast."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant operand and the axis of its output channels; None gives it one scale."""

    operand: int
    axis: int | None


@dataclass(slots=True)
class Sites:
    """What is quantized in a network.

    Attributes:
        activations: positions of the operands that are quantized, by node.
        weights: the constant that is, by node.
        elsewhere: layers that are in int8 already: the model itself quantizes both operands.
        reasons: why other weighted layers are not in int8.
        ranged: results that need a range though no layer reads them in int8, as those of the
            network: a calibration cache has to name every tensor.
    """

    activations: dict[Node, tuple[int, ...]] = field(default_factory=dict[Node, tuple[int, ...]])
    weights: dict[Node, Weight] = field(default_factory=dict[Node, Weight])
    elsewhere: list[Node] = field(default_factory=list[Node])
    reasons: dict[Node, str] = field(default_factory=dict[Node, str])
    ranged: list[Tensor] = field(default_factory=list[Tensor])

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that need a range, once each, in order of first use."""
        found = (node.inputs[i] for node, places in self.activations.items() for i in places)
        return list(dict.fromkeys([*found, *self.ranged]))


Keep = Callable[[Node], "str | None"]


def find_sites(network: Network, keep: Keep, *, dense: bool = False) -> Sites:
    """Decides for every weighted layer, and with `dense` for every float tensor.

    Args:
        network: a network; what computes in another type than float32 is left with a reason.
        keep: the user's own exceptions: the reason, or None.
        dense: quantize every tensor.
    """
    sites = Sites()
    for node in network.walk():
        if isinstance(node.layer, WEIGHTED) and node.outputs[0].dtype.is_float:
            _weighted(network, node, sites, keep)
    if dense:
        _everything(network, sites, keep)
    else:
        _shortcuts(network, sites, keep)
    order = {node: i for i, node in enumerate(network.nodes)}
    sites.activations = dict(sorted(sites.activations.items(), key=lambda item: order[item[0]]))
    return sites


def _weighted(network: Network, node: Node, sites: Sites, keep: Keep) -> None:
    """Decides for one weighted layer."""
    operands = [_is_int8(t) for t in node.inputs[:2]]
    if is_float32(node.outputs[0]) and operands == [True, True]:
        sites.elsewhere.append(node)
    elif reason := _refusal(network, node) or keep(node):
        sites.reasons[node] = reason
    else:
        # What the model itself has quantized has its scale; the weights are still to be.
        sites.activations[node] = () if operands[0] else (0,)
        sites.weights[node] = _weight(node)


def _refusal(network: Network, node: Node) -> str | None:
    """Why a weighted layer can't be, or had better not be quantized."""
    layer, inputs = node.layer, node.inputs
    if node not in network.nodes:
        return "stands inside a loop or a branch, which computes in one precision"
    if isinstance(layer, Einsum):
        if any(t.is_constant for t in inputs):
            return "an Einstein sum of another form than data times one constant matrix"
        if len(inputs) != 2:
            return f"an Einstein sum of {len(inputs)} operands has no int8 kernel"
    quantized = [_is_int8(t, cast=True) for t in inputs[:2]]
    if any(quantized) and not inputs[1].is_constant:
        return (_of_type(node) or CAST) if all(quantized) else ONE_OPERAND
    if inputs[0].is_constant or not inputs[1].is_constant:
        return "a product of two activations: attention loses accuracy in int8"
    if isinstance(layer, MatrixMultiply):
        if layer.op0 != "NONE" or layer.op1 == "VECTOR":
            return "a product of vectors has no int8 kernel"
        if any(size != 1 for size in inputs[1].shape[:-2]):
            return "a product with a batch of constant matrices has no int8 kernel"
    if isinstance(layer, Deconvolution) and layer.num_groups > 1:
        return "TensorRT has no int8 kernel for a deconvolution with groups"
    return _of_type(node)


def _of_type(node: Node) -> str | None:
    dtype = node.outputs[0].dtype
    return None if dtype is DType.FLOAT32 else f"computes in {dtype}: give the model in float32"


def _is_dequantized(tensor: Tensor) -> bool:
    return tensor.producer is not None and isinstance(tensor.producer.layer, Dequantize)


def _is_int8(tensor: Tensor, *, cast: bool = False) -> bool:
    """Whether a tensor is dequantized, with nothing since but layers that can move int8."""
    while tensor.producer is not None and (
        _moves(tensor.producer.layer) or (cast and isinstance(tensor.producer.layer, Cast))
    ):
        tensor = tensor.producer.inputs[0]
    return _is_dequantized(tensor)


def _moves(layer: Layer) -> bool:
    maximum = isinstance(layer, Pooling) and layer.type == "MAX"
    return maximum or isinstance(layer, (Shuffle, Identity))


def _weight(node: Node) -> Weight:
    """The constant operand of a weighted layer."""
    layer, rank = node.layer, node.inputs[1].rank
    if isinstance(layer, MatrixMultiply):
        return Weight(1, rank - 2 if layer.op1 == "TRANSPOSE" else rank - 1)
    return Weight(1, 1 if isinstance(layer, Deconvolution) else 0)


def _shortcuts(network: Network, sites: Sites, keep: Keep) -> None:
    """Quantizes what is added to the result of a quantized convolution.

    With both operands in int8 TensorRT adds inside the convolution's kernel; otherwise that kernel
    has to write and read the wider type.
    """
    for node in network.nodes:
        if not isinstance(node.layer, ElementWise) or node.layer.op != "SUM":
            continue
        if any(t.is_constant or not is_float32(t) for t in node.inputs):
            continue
        from_convolution = [_source(t) in sites.activations for t in node.inputs]
        if any(from_convolution) and node.inputs[0].shape == node.inputs[1].shape:
            place = 1 if from_convolution[0] else 0
            if not _is_int8(node.inputs[place]) and not keep(node):
                sites.activations[node] = (place,)


def _source(tensor: Tensor) -> Node | None:
    """The convolution that gives a tensor, with nothing but a scale per channel between."""
    node = tensor.producer
    while node is not None and isinstance(node.layer, Scale):
        node = node.inputs[0].producer
    return node if node is not None and isinstance(node.layer, Convolution) else None


def _everything(network: Network, sites: Sites, keep: Keep) -> None:
    """Adds every float operand of every layer, and ranges for every result."""
    for node in network.nodes:
        if isinstance(node.layer, (Quantize, Dequantize)) or keep(node):
            continue
        sites.ranged += [t for t in node.outputs if _is_data(t)]
        places = tuple(i for i, t in enumerate(node.inputs) if _is_data(t))
        if places and node not in sites.reasons and node not in sites.elsewhere:
            sites.activations[node] = places


def _is_data(tensor: Tensor) -> bool:
    return is_float32(tensor) and not tensor.is_constant and not _is_dequantized(tensor)


def weighted(network: Network) -> Iterator[Node]:
    """The layers that int8 is about, those of loops and branches too."""
    return (n for n in network.walk() if isinstance(n.layer, WEIGHTED))
