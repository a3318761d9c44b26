# SPDX-License-Identifier: Apache-2.0
"""NVML on a real GPU, at rest and at work."""

from __future__ import annotations

import time

import pytest

from edge_trt_jetson import nvml
from edge_trt_jetson.telemetry.reader import Reader
from edge_trt_jetson.telemetry.sampler import Sampler

pytestmark = pytest.mark.gpu


def test_real_gpu() -> None:
    library = nvml.Nvml()
    found = library.read()
    library.close()
    assert found.load is not None
    assert 0 <= found.load <= 1
    assert found.hz is not None
    assert 1e8 < found.hz < 5e9
    assert found.watts is None or 1 < found.watts < 2000
    assert found.celsius is not None
    assert 10 < found.celsius < 110


def test_work_is_seen() -> None:
    """A second of matrix products shows in load and power."""
    torch = pytest.importorskip("torch")
    matrix = torch.zeros(4096, 4096, device="cuda")
    with Reader() as reader, Sampler(0.05, read=reader.read) as sampler:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for _ in range(20):
                matrix @ matrix
            torch.cuda.synchronize()
    loads = [s.gpu.load for s in sampler.samples() if s.gpu is not None and s.gpu.load is not None]
    assert max(loads) > 0.5
    watts = sampler.energy(rail="GPU").watts
    assert watts is None or watts > 10
