# SPDX-License-Identifier: Apache-2.0
"""Whether memory and disk are large enough for a build that measures kernels.

On a Jetson the GPU takes its memory from the same pool as everything else, and what happens when it
is used up is seldom an error: the kernel ends the build, or the desktop beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Room:
    """What there is, and what a build needs at least.

    Attributes:
        free: bytes of memory with swap; None where Linux does not tell.
        weights: bytes for the weights of the largest network, which TensorRT holds twice: as it
            reads them and in the plan.
        disk: free bytes where plans are written; None for memory.
        plans: bytes of all plans, which are about those of their weights.
    """

    free: int | None
    weights: int
    disk: int | None
    plans: int

    def __str__(self) -> str:
        memory = "not told" if self.free is None else format_size(self.free)
        text = (
            f"memory: {memory} free; needed are {format_size(self.weights)} for weights and about "
            f"{format_size(BESIDE)} for TensorRT (a guess)"
        )
        if self.disk is None:
            return text
        return (
            f"{text}\ndisk: {format_size(self.disk)} free; the plans need about "
            f"{format_size(self.plans)}"
        )


def room_for(networks: Sequence[Network], folder: Path | None, root: Path = Path("/")) -> Room:
    """Looks at memory and disk.

    Args:
        networks: what is built, one after the other.
        folder: where plans are written, or None for memory.
        root: below which Linux tells of its memory.
    """
    sizes = [_weights(network) for network in networks]
    memory = read_memory(root)
    free = None if memory is None else memory.free + memory.swap_free
    disk = None if folder is None else shutil.disk_usage(folder).free
    return Room(free, 2 * max(sizes, default=0), disk, sum(sizes))


def check_room(
    networks: Sequence[Network], folder: Path | None, root: Path = Path("/")
) -> list[str]:
    """Compares what a build needs at least with what there is.

    Args:
        networks: as of `room_for`, like `folder` and `root`.
        folder: where plans are written.
        root: of the files.

    Returns:
        A sentence where it will be tight.

    Raises:
        BuildError: there is less than the weights or the plans take.
    """
    room = room_for(networks, folder, root)
    if folder is not None and room.disk is not None and room.disk < room.plans:
        raise BuildError(
            f"the plans need about {format_size(room.plans)} on the disk, and "
            f"{format_size(room.disk)} are free in {folder.parent}",
            hint="free some space, or build with -o on another disk",
        )
    if room.free is None or room.free >= room.weights + BESIDE:
        return []
    text = f"{format_size(room.free)} of memory are free, and the build needs"
    least = format_size(room.weights)
    if room.free < room.weights:
        raise BuildError(f"{text} {least} for weights alone", hint=STOP)
    return [f"{text} {least} and about {format_size(BESIDE)} for TensorRT; {STOP}"]


def _weights(network: Network) -> int:
    """Bytes of a network's constants."""
    return sum(t.data.nbytes for t in network.constants() if t.data is not None)
