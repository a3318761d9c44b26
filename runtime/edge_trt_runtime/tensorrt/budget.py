# SPDX-License-Identifier: Apache-2.0
"""Sizes of memory as people write them, and what may be said of TensorRT's."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from edge_trt_runtime.errors import EngineError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


class PlanOptions(NamedTuple):
    """How to run plans; see :func:`edge_trt_runtime.load`.

    Attributes:
        weight_streaming: Bytes of weights that stay on the device, ``"auto"``, or None for all.
        persistent_cache: Bytes of the L2 cache, or None for TensorRT's own choice.
        dla_core: Core of the plans that run on a DLA, or None for the one that they were built on.
        stream: Which of the placements that share the accelerators.
    """

    weight_streaming: int | Literal["auto"] | None = None
    persistent_cache: int | None = None
    dla_core: int | None = None
    stream: int = 1


def plan_options(
    weight_streaming: int | str | None,
    persistent_cache: int | str | None,
    dla_core: int | None = None,
    stream: int = 1,
) -> PlanOptions:
    """Return options with their sizes in bytes.

    Raises:
        EngineError: When one is no size, the core is none, or the stream is no number.
    """
    if type(stream) is not int or stream < 1:
        raise EngineError(f"stream is {stream!r}", hint="give 1 or more")
    if dla_core is not None and dla_core not in (0, 1):
        raise EngineError(f"dla_core is {dla_core!r}", hint="give 0 or 1, or None")
    return PlanOptions(
        "auto" if weight_streaming == "auto" else bytes_of(weight_streaming, "weight_streaming"),
        bytes_of(persistent_cache, "persistent_cache"),
        dla_core,
        stream,
    )


def bytes_of(size: int | str | None, what: str) -> int | None:
    """Return a size that may be a number, a text, or not given.

    Args:
        size: The size.
        what: Which option it is, for the error.

    Raises:
        EngineError: When it is none.
    """
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        return size
    return parse_bytes(str(size), what)


def parse_bytes(text: str, what: str) -> int:
    """Return a number of bytes: ``"2GB"``, ``"512 MiB"``, ``"1000000"``.

    Args:
        text: The size.
        what: Where it was given, for the error.

    Raises:
        EngineError: When it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]I?)?B?\s*", text.upper())
    if match is None:
        raise EngineError(f"{what} is {text!r}, which is no size", hint="give one such as 2GB")
    return int(float(match[1]) * _UNITS[match[2] or ""])
