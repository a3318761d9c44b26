# SPDX-License-Identifier: Apache-2.0
"""What helps against what TensorRT says when it refuses a plan."""

from __future__ import annotations

_REMEDIES = (
    (("magictag", "magic tag", "serialization version"),
     "the plan is of another TensorRT or damaged: copy the bundle again, or build it again here"),
    (("platform specific tag",),
     "the plan is for another processor or system: build it again here"),
    (("blobsize", "end-of-plan", "plan.header.size"),
     "the plan is cut short: copy the whole bundle again"),
    (("expecting library version", "plan major version", "forward compatibility",
      "old deserialization call"),
     "the plan is of another TensorRT version: build it again on this machine"),
    (("enginehostcodeallowed",),
     "the plan brings a runtime of its own, which edge_trt does not load: build it again here"),
    (("kdla_standalone",), "the plan is for cuDLA alone: build it again with edge_trt"),
    (("compute capability", "not support"),
     "this GPU is not one that the plan was built for: build it again on this machine"),
    (("out of memory", "cudamalloc", "insufficient memory"),
     "close other sessions or programs, use fewer frames in flight, or build a smaller model"),
    (("driver version is insufficient",), "update the NVIDIA driver; `edge_trt doctor` shows it"),
)  # fmt: skip
"""Parts of messages in lower case, and the remedy."""


def remedy(text: str) -> str:
    """Return what to do about a message, or that the plan should be built again."""
    lower = text.lower()
    for parts, advice in _REMEDIES:
        if any(part in lower for part in parts):
            return advice
    return "build it again on this machine: `edge_trt build BUNDLE`"
