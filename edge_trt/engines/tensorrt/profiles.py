# SPDX-License-Identifier: Apache-2.0
"""Optimization profiles: for which sizes of its inputs a plan is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_trt.engines.tensorrt.emit import Emitted
from edge_trt.engines.tensorrt.settings import BuildSettings
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.size_bounds import size_range
from edge_trt_runtime.manifest import Range
from edge_trt_runtime.tensorrt.messages import Messages


def add_profiles(
    network: Network, emitted: Emitted, builder: Any, config: Any, settings: BuildSettings,
    messages: Messages,
) -> None:  # fmt: skip
    """Adds a profile for the ranges, or one for each that is asked for; fixed sizes need none.

    Raises:
        BuildError: a size or a shape tensor has no range, or TensorRT refuses the ranges.
    """
    shapes = [t for t in network.inputs if not t.type.is_static]
    values = [t for t in network.inputs if emitted.inputs[t].is_shape_tensor]
    if not shapes and not values:
        return
    for ranges in settings.profiles or (settings.ranges,):
        profile = builder.create_optimization_profile()
        for tensor in shapes:
            sizes = [size_range(s, ranges, f"input {tensor!r}") for s in tensor.shape]
            least, usual, most = zip(*((s.min, s.opt, s.max) for s in sizes), strict=True)
            profile.set_shape(tensor.name, least, usual, most)
        for tensor in values:
            profile.set_shape_input(tensor.name, *_values(tensor, settings, ranges))
        if config.add_optimization_profile(profile) < 0:
            raise BuildError(f"TensorRT refuses the input ranges: {'; '.join(messages.take())}")


def _values(
    tensor: Tensor, settings: BuildSettings, ranges: Mapping[str, Range]
) -> tuple[list[int], list[int], list[int]]:
    known = settings.values.get(tensor.name)
    size = settings.sizes.get(tensor.name)
    if known is None and size is not None:
        value = size_range(size, ranges, f"the value of input {tensor!r}")
        return [value.min], [value.opt], [value.max]
    if known is None:
        raise BuildError(
            f"the values of input {tensor!r} are used as sizes, and have no range",
            hint="TensorRT needs their least, usual and largest values; keep the operators that"
            " compute them and those that use them in one block",
        )
    least, usual, most = (list(value) for value in known)
    return least, usual, most
