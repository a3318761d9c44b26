# SPDX-License-Identifier: Apache-2.0
"""Which int8 products ONNX Runtime computes in integers on x86, and which in float all the same.

There it wants levels from 0 to 255 on both sides of a convolution. What stands between a
convolution and the layer that quantizes its result (a sum, an activation) keeps the product in
float, and a product of two matrices that gets a bias becomes a Gemm, which stays in float too. Such
a product dequantizes its weights in every run, unless that is done once when the model is loaded.
"""

from __future__ import annotations

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import (
    Convolution,
    Deconvolution,
    Dequantize,
    MatrixMultiply,
    Quantize,
)
from edge_trt.network.types import volume

PRODUCTS = (Convolution, Deconvolution, MatrixMultiply)


def mostly_in_float(network: Network) -> bool:
    """Whether more weights are of products that stay in float than of others."""
    users = network.users()
    sizes = {True: 0, False: 0}
    for node in network.nodes:
        weight = node.inputs[1] if isinstance(node.layer, PRODUCTS) else None
        if weight is None or not (_is_dequantized(node.inputs[0]) and _is_dequantized(weight)):
            continue
        count = volume(weight.shape)
        assert isinstance(count, int)  # of a constant
        sizes[_in_integers(node, users.get(node.outputs[0], []))] += count
    return sizes[False] > sizes[True]


def _in_integers(node: Node, users: list[Node]) -> bool:
    if isinstance(node.layer, MatrixMultiply) and node.inputs[0].rank > 2:
        return True
    return bool(users) and all(isinstance(user.layer, Quantize) for user in users)


def _is_dequantized(tensor: Tensor) -> bool:
    return tensor.producer is not None and isinstance(tensor.producer.layer, Dequantize)
