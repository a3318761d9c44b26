# SPDX-License-Identifier: Apache-2.0
"""Whether an integrated GPU reads large inputs where they lie, or copies them first.

It reads the host's memory past its cache. An input that is read once is read soonest in place; one
that is read again and again is worth a copy. That depends on the engine, so both are tried.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.hybrid.frame import Frame
from edge_trt_runtime.hybrid.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.device_arrays import Blocks
    from edge_trt_runtime.hybrid.prepared import Prepared
    from edge_trt_runtime.manifest import Manifest

log = logging.getLogger("edge_trt_runtime")

WARM_UP, TIMED = 3, 5
"""Runs of each kind: the first one makes the list of calls, the second one captures graphs."""


def faster(
    device: Device, copied: Prepared, in_place: Prepared, blocks: Blocks, manifest: Manifest
) -> Prepared:
    """Return what runs sooner on zeros of the usual sizes; ``copied`` where that can't be told.

    Args:
        device: An integrated GPU, current.
        copied: Large inputs are copied; its segments are loaded.
        in_place: Large inputs are read in place; it gets the segments of ``copied``.
        blocks: Memory for results that stay on the device.
        manifest: Types and sizes of inputs.
    """
    if in_place.mapped == copied.mapped:
        return copied
    inputs = _zeros(manifest)
    if inputs is None:
        return copied
    in_place = replace(
        in_place,
        device_executors=copied.device_executors,
        host_executors=copied.host_executors,
        capturable=copied.capturable,
        variable=copied.variable,
        use_graphs=copied.use_graphs,
        mark=copied.mark,
        turns=Turns(),
    )
    try:
        took = [_seconds(device, one, blocks, inputs) for one in (copied, in_place)]
    except Exception as error:  # zeros may be no input that the model takes
        log.info("large inputs are copied, as zeros could not be run: %s", error)
        return copied
    chosen = in_place if took[1] < took[0] else copied
    log.info(
        "large inputs are %s: %.3f ms a run when copied, %.3f ms when read in place",
        "read in place" if chosen is in_place else "copied",
        *(1e3 * seconds for seconds in took),
    )
    return chosen


def _seconds(
    device: Device, prepared: Prepared, blocks: Blocks, inputs: Sequence[np.ndarray]
) -> float:
    frame = Frame(device, prepared, blocks)
    try:
        times: list[float] = []
        for _ in range(WARM_UP + TIMED):
            start = perf_counter()
            frame.run(inputs)
            times.append(perf_counter() - start)
        return median(times[WARM_UP:])
    finally:
        frame.close()
        prepared.turns.close()


def _zeros(manifest: Manifest) -> list[np.ndarray] | None:
    """Return inputs of the usual sizes, or None where a size is an expression."""
    dims = manifest.signature.dims
    arrays: list[np.ndarray] = []
    for spec in manifest.signature.inputs:
        shape: list[Any] = [
            size if isinstance(size, int) else dims[size].opt if size in dims else None
            for size in spec.shape
        ]
        if None in shape:
            return None
        arrays.append(np.zeros(shape, NUMPY_DTYPES[spec.dtype]))
    return arrays
