# SPDX-License-Identifier: Apache-2.0
"""Whether memory and disk are large enough for a build that measures kernels.

On a Jetson the GPU takes its memory from the same pool as everything else, and what happens when it
is used up is seldom an error: the kernel ends the build, or the desktop beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edge_trt.errors import BuildError
from edge_trt.network.graph import Network
from edge_trt_jetson.telemetry.cpu import read_memory
from edge_trt_runtime.describe import format_size

BESIDE = 1 << 30
"""Bytes that libraries, a CUDA context and scratch memory may take on top (a guess, not measured on
a board): with less than that to spare there is a remark and no error."""

STOP = (
    "close other programs (a desktop ends with: sudo systemctl isolate multi-user.target), add swap"
    " space, or give less scratch memory by --workspace"
)


def check_room(
    networks: Sequence[Network], folder: Path | None, root: Path = Path("/")
) -> list[str]:
    """Compares what a build needs at least with what there is.

    Args:
        networks: what is built, one after the other.
        folder: where plans are written, or None for memory.
        root: below which Linux tells of its memory.

    Returns:
        A sentence where it will be tight.

    Raises:
        BuildError: there is less than the weights take: TensorRT holds those of one network twice,
            as it reads them and in the plan, and the disk gets all plans.
    """
    sizes = [_weights(network) for network in networks]
    memory = read_memory(root)
    free = None if memory is None else memory.free + memory.swap_free
    least = 2 * max(sizes, default=0)
    if folder is not None and (disk := shutil.disk_usage(folder).free) < sum(sizes):
        raise BuildError(
            f"the plans need about {format_size(sum(sizes))} on the disk, and {format_size(disk)}"
            f" are free in {folder.parent}",
            hint="free some space, or build with -o on another disk",
        )
    if free is None or free >= least + BESIDE:
        return []
    text = f"{format_size(free)} of memory are free, and the build needs"
    if free < least:
        raise BuildError(f"{text} {format_size(least)} for weights alone", hint=STOP)
    return [f"{text} {format_size(least)} and about {format_size(BESIDE)} for TensorRT; {STOP}"]


def _weights(network: Network) -> int:
    """Bytes of a network's constants."""
    return sum(t.data.nbytes for t in network.constants() if t.data is not None)
