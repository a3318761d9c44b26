# SPDX-License-Identifier: Apache-2.0
"""What the layers of an ONNX model take, by ONNX Runtime's own profile."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import msgspec

from edge_trt_runtime.layers import RawTime, medians

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

_SUFFIX = "_kernel_time"


def profiled(
    open_session: Callable[[Any], Any], options: Any, inputs: dict[str, np.ndarray], runs: int
) -> list[RawTime]:
    """Run a model some times, in a session of its own that writes a profile.

    Args:
        open_session: Makes a session with options.
        options: ONNX Runtime's, used for nothing else.
        inputs: Of a run.
        runs: How many are counted; one comes before.
    """
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "profile")
        session = open_session(options)
        for _ in range(runs + 1):
            session.run(None, inputs)
        with open(session.end_profiling(), "rb") as file:
            events: list[dict[str, Any]] = msgspec.json.decode(file.read())
    kernels = [e for e in events if e.get("cat") == "Node" and e["name"].endswith(_SUFFIX)]
    each = len(kernels) // (runs + 1)
    counted: list[dict[str, float]] = []
    for run in range(1, runs + 1):
        took: dict[str, float] = {}
        for event in kernels[run * each : (run + 1) * each]:
            name = event["name"].removesuffix(_SUFFIX) or event["args"]["op_name"]
            took[name] = took.get(name, 0.0) + event["dur"]
        counted.append(took)
    return [RawTime(name, seconds) for name, seconds in medians(counted, 1e-6)]
