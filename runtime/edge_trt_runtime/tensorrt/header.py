# SPDX-License-Identifier: Apache-2.0
"""What a plan says of itself in its first bytes, read before TensorRT sees any of it.

Little endian: four letters at byte 0, the format's version at 4, for TensorRT-RTX the plan's size
at 16, and the version of the TensorRT that built it in the bytes from 24. The letters and the
version's place are those that trtexec reads (TensorRT's samples, `--getPlanVersionOnly`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_MAGIC = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
_LENGTH = 28


class Header(NamedTuple):
    """The beginning of a plan.

    Attributes:
        flavour: Which TensorRT wrote it: ``tensorrt`` or ``tensorrt_rtx``.
        release: Its version's first three numbers.
        size: Bytes of the whole plan, or 0 where the format does not tell.
    """

    flavour: str
    release: tuple[int, ...]
    size: int


def read_header(data: bytes | memoryview) -> Header | None:
    """Read the header of a plan, or None when this is none."""
    start = bytes(data[:_LENGTH])
    flavour = _MAGIC.get(start[:4])
    if flavour is None or len(start) < _LENGTH:
        return None
    # TensorRT's own plans may have their size there too, but nothing documents that.
    size = struct.unpack_from("<Q", start, 16)[0] if flavour == "tensorrt_rtx" else 0
    return Header(flavour, tuple(start[24:27]), size)
