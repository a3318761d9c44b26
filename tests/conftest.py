# SPDX-License-Identifier: Apache-2.0
"""What every test gets: skips by marker, seeded randomness, one hypothesis profile.

torch is not imported here, so that the parts without it start at once.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import random
import sys
import zlib

import hypothesis
import pytest

# Read by OpenMP when torch or ONNX Runtime loads: more threads than cores only slow small models.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))

hypothesis.settings.register_profile("edge_trt", deadline=None, max_examples=30)
hypothesis.settings.load_profile("edge_trt")


def _has_gpu() -> bool:
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


def _missing(marker: str) -> str | None:
    """Why a test with that marker can't run here; None if it can."""
    if marker == "gpu" and not _has_gpu():
        return "needs an NVIDIA GPU"
    if marker == "rtx" and importlib.util.find_spec("tensorrt_rtx") is None:
        return "needs tensorrt_rtx: pip install 'edge-trt[rtx]'"
    if marker == "aarch64" and platform.machine() != "aarch64":
        return "needs an arm64 Python: tests/aarch64/run.sh"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {marker: _missing(marker) for marker in ("gpu", "rtx", "aarch64")}
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> int:
    """Seed every generator from the test's name: the same numbers in any order and selection."""
    value = zlib.crc32(request.node.nodeid.encode())
    random.seed(value)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(value)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(value)
    return value
