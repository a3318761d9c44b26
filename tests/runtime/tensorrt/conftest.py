# SPDX-License-Identifier: Apache-2.0
"""The machine that tests of this folder run on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

from edge_trt_runtime.tensorrt.shared import PLANS
from tests.runtime.tensorrt.machine import Machine
from tests.support.fake_cuda import FakeDevice
from tests.support.fake_tensorrt import FakeTensorRt


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Machine]]:
    """Makes a machine with a TensorRT: `machine("10.3.0", cores=2)`."""

    def make(version: str = "10.3.0", **more: Any) -> Machine:
        device = FakeDevice()
        kind = version.rpartition("-")[0]
        flavour = f"tensorrt_{kind}" if kind else "tensorrt"
        trt = FakeTensorRt(version, device, **more)
        monkeypatch.setitem(sys.modules, flavour, trt)
        found = MagicMock(return_value=device)
        monkeypatch.setattr("edge_trt_runtime.loaded.find_device", found)
        monkeypatch.setattr("edge_trt_runtime.pool.lanes.find_device", found)
        return Machine(device, trt, flavour)

    yield make
    PLANS.close_idle()
    PLANS._leaving = False  # pyright: ignore[reportPrivateUsage]
    PLANS.budget = None
    PLANS.budgets.clear()
