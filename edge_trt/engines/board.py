# SPDX-License-Identifier: Apache-2.0
"""Which Jetson this machine is: plans for a board are built on that board alone."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import cache

from edge_trt.errors import OptionError
from edge_trt_jetson import boards
from edge_trt_jetson.detect import Detection, detect
from edge_trt_runtime.cuda import open_device
from edge_trt_runtime.errors import EngineError


@cache
def this_board() -> Detection | None:
    """What the files of this machine say; None where nothing in them belongs to a Jetson."""
    return detect()


def native_target() -> str | None:
    """The target that this machine is, or None where it is no Jetson.

    Raises:
        OptionError: it is a Jetson that can't be a target, or one of several.
    """
    found = this_board()
    if found is None:
        return None
    if found.board is not None and found.board.supported:
        return found.board.name
    names = [board.name for board in found.candidates if board.supported]
    if names:
        raise OptionError(
            f"this Jetson is one of {', '.join(names)}, its files do not say which",
            option="target",
            hint=f"name it: --target {names[0]}",
        )
    named = found.board or found.model or found.soc or "this board"
    raise OptionError(
        f"{named} can't be a target",
        option="target",
        hint="edge_trt needs a Jetson with JetPack 6 or newer (edge_trt boards lists them)",
    )


def why_not_here(target: str) -> str:
    """Why plans for a board can't be built on this machine; empty where they can.

    A container may hide the files that tell a board. There the GPU decides: one of the board's
    compute capability, on an Arm processor.
    """
    found, board = this_board(), boards.find(target)
    if found is None:
        if board is not None and platform.machine() == "aarch64" and this_gpu() == board.sm:
            return ""
        return (
            "TensorRT measures kernels, so its plans are built on the board; the bundle is portable"
            " until then"
        )
    if board in found.candidates:
        return ""
    here = found.board.name if found.board else found.model or found.soc
    return f"TensorRT measures kernels, so its plans are built on that board, and this is {here}"


def built_here(targets: Sequence[str]) -> str | None:
    """The one of some targets that is a board, and whose plans are built on this machine."""
    return next((t for t in targets if boards.find(t) and not why_not_here(t)), None)


def this_gpu() -> str:
    """Compute capability of the GPU that the builder measures kernels on.

    Empty where nothing tells it: the runtime then leaves it to TensorRT to refuse another GPU.
    """
    try:
        return ".".join(map(str, open_device().capability))
    except EngineError:
        return ""
