# SPDX-License-Identifier: Apache-2.0
"""A program in ONNX that did not come from a network: bytes, and the weights they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edge_trt.network.weights import Extent

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True)
class OnnxProgram:
    """A serialized ONNX model with its larger weights beside it.

    Attributes:
        data: the model; weights above some size are external data of the bundle's weights file.
        weights: name and values of what the model reads at an offset of that file. A program that
            is not in a bundle yet has provisional offsets, which only tell its weights apart.
    """

    data: bytes
    weights: Mapping[Extent, tuple[str, np.ndarray]] = field(
        default_factory=dict[Extent, tuple[str, np.ndarray]]
    )


def assemble(model: ModelProto, arrays: Mapping[str, np.ndarray], location: str) -> OnnxProgram:
    """A model whose initializers `arrays` are still missing, with these as external data.

    Args:
        model: it gets the initializers.
        arrays: what to add, by name.
        location: the file that they will lie in.
    """
    from onnx import TensorProto, helper

    weights: dict[Extent, tuple[str, np.ndarray]] = {}
    for number, (name, array) in enumerate(arrays.items()):
        extent = Extent(number, array.nbytes)
        weights[extent] = (name, array)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = model.graph.initializer.add(name=name, data_type=kind, dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), *extent.entries()):
            tensor.external_data.add(key=key, value=value)
    return OnnxProgram(model.SerializeToString(deterministic=True), weights)


def relocated(data: bytes, places: Mapping[Extent, Extent]) -> bytes:
    """The model with external data at other places; nothing is parsed where they are the same."""
    if all(old == new for old, new in places.items()):
        return data
    from onnx import ModelProto, TensorProto

    model = ModelProto.FromString(data)
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            entries = {e.key: e for e in tensor.external_data}
            old = Extent(int(entries["offset"].value), int(entries["length"].value))
            for key, value in places[old].entries():
                entries[key].value = value
    return model.SerializeToString()
