# SPDX-License-Identifier: Apache-2.0
"""Ranges for NVIDIA's profilers: Nsight Systems shows what a run was doing, by segment and frame.

By the library ``libnvToolsExt`` that CUDA brought until version 12, through ctypes; where that is
missing, by the package ``nvtx``, which holds its successor, NVTX 3.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_trt_runtime.marks import Mark

    Push = Callable[[Any], object]

LIBRARY = "libnvToolsExt.so.1"


def asked_for(nvtx: bool | None) -> bool:
    """Whether there shall be ranges; without a word of the caller the environment says it."""
    return os.environ.get("EDGE_TRT_NVTX", "") == "1" if nvtx is None else nvtx


def nvtx_mark() -> Mark:
    """Return a mark that puts every call into a range with its label.

    Raises:
        EngineError: When there is no NVTX on this machine.
    """
    push, pop, encode = _library() or _package()

    def mark(label: str, call: Callable[..., Any]) -> Callable[..., Any]:
        text = encode(label)

        def ranged(*arguments: Any) -> Any:
            push(text)
            try:
                return call(*arguments)
            finally:
                pop()

        return ranged

    return mark


_Functions = tuple["Push", "Callable[[], object]", "Callable[[str], Any]"]


def _library() -> _Functions | None:
    try:
        library = ctypes.CDLL(LIBRARY)
        push, pop = library.nvtxRangePushA, library.nvtxRangePop
    except (OSError, AttributeError):
        return None
    push.argtypes, push.restype = [ctypes.c_char_p], ctypes.c_int
    pop.argtypes, pop.restype = [], ctypes.c_int
    return push, pop, str.encode


def _package() -> _Functions:
    try:
        module: Any = importlib.import_module("nvtx")
    except ImportError as error:
        raise EngineError(
            f"NVTX ranges need {LIBRARY} or the package nvtx, and neither is here",
            hint="pip install nvtx, or load without nvtx (and without EDGE_TRT_NVTX=1)",
        ) from error
    return module.push_range, module.pop_range, str
