# SPDX-License-Identifier: Apache-2.0
"""What a plan is built for: everything besides the network that changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_trt.network.types import Dim
from edge_trt_runtime.manifest import Range

if TYPE_CHECKING:
    from edge_trt.engines.tensorrt.dla import OnDla

Values = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Least, usual and largest values of a tensor that holds sizes."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Options of a build.

    Attributes:
        optimization_level: 0 (fast build) to 5 (slow build, fast plan); None is TensorRT's own, 3.
        workspace: Bytes of scratch memory a layer may use; None is all of the device's.
        timing_cache: File that remembers measured kernels. Only flavours that measure use it.
        ranges: Range of each symbolic size of the inputs.
        profiles: Narrower ranges, each with an optimization profile of its own; empty is one
            profile for `ranges`.
        values: For an input whose values are used as sizes: the range of those values.
        sizes: For an input whose value is a size: that size, in terms of `ranges`.
        compute_capabilities: GPUs a `tensorrt_rtx` plan is for, as `("8.6", "8.9")`. Empty is its
            default: one plan for 8.0, 8.6, 8.9, 12.0 and later, which is what a bundle that travels
            needs. Naming some excludes the others; Turing (7.5) has to be named.
        shared_timing_cache: The one to use where `timing_cache` is None; no build fails for it.
        dla: What goes to a DLA; None is the GPU for everything.
        weight_streaming: Whether weights may be brought from the host while the plan runs.
    """

    optimization_level: int | None = None
    workspace: int | None = None
    timing_cache: str | None = None
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    profiles: tuple[Mapping[str, Range], ...] = ()
    values: Mapping[str, Values] = field(default_factory=dict[str, Values])
    sizes: Mapping[str, Dim] = field(default_factory=dict[str, Dim])
    compute_capabilities: tuple[str, ...] = ()
    shared_timing_cache: str | None = None
    dla: OnDla | None = None
    weight_streaming: bool = False
