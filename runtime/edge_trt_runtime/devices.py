# SPDX-License-Identifier: Apache-2.0
"""Names of devices, and which of them this machine has."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from edge_trt_runtime.cuda import Device

log = logging.getLogger("edge_trt_runtime")


def check_device(name: str) -> None:
    """Refuse what is no device's name.

    Raises:
        EngineError: With the names that there are.
    """
    if name in {"auto", "cpu", "cuda"}:
        return
    kind, _, index = name.partition(":")
    if kind == "cuda" and index.isdecimal():
        return
    if kind == "dla":
        raise EngineError(
            f"device {name!r} can't be loaded on its own",
            hint="a bundle says itself which of its segments run on DLA: use device='cuda:0'",
        )
    raise EngineError(
        f"unknown device {name!r}", hint=did_you_mean(name, ["auto", "cpu", "cuda", "cuda:0"])
    )


def find_device(name: str) -> Device | None:
    """Open a GPU; None where ``auto`` finds none.

    Raises:
        EngineError: When a GPU that is named can't be used.
    """
    if name == "cpu" or (name == "auto" and importlib.util.find_spec("pycuda") is None):
        return None
    from edge_trt_runtime.cuda import open_device

    try:
        return open_device(int(name.partition(":")[2] or 0))
    except EngineError as error:
        if name != "auto":
            raise
        log.info("runs on the CPU: %s", error)
        return None
