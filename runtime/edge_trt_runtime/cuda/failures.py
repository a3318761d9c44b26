# SPDX-License-Identifier: Apache-2.0
"""CUDA's errors in our words, with what can be done about them."""

from __future__ import annotations

from edge_trt_runtime.errors import EngineError

_STICKY = (
    "illegal address",
    "misaligned address",
    "launch failed",
    "launch failure",
    "hardware stack error",
    "illegal instruction",
    "uncorrectable ECC",
    "device-side assert",
    "invalid pc",
)
"""After these the context is lost: every later call fails until the process is started again."""


def explain(error: Exception, what: str) -> EngineError:
    """Make an error of ours from one of PyCUDA's, whose text is all that it carries.

    Args:
        error: What PyCUDA raised.
        what: What could not be done.
    """
    text = str(error).strip().partition("\n")[0]
    return EngineError(f"{what} ({text})", hint=_hint(text))


def is_sticky(text: str) -> bool:
    """Whether an error's text says that the process can't use the device any more."""
    return any(part in text for part in _STICKY)


def _hint(text: str) -> str:
    if is_sticky(text):
        return "the device's context is lost; start the process again"
    if "out of memory" in text:
        return "close other sessions or programs, or use fewer frames in flight"
    if "no CUDA-capable device" in text or "insufficient" in text:
        return "use device='cpu', or see `edge_trt doctor`"
    return ""
