# SPDX-License-Identifier: Apache-2.0
"""A machine with a GPU and a TensorRT, both made up."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.fake_cuda import FakeDevice
from tests.support.fake_tensorrt import FakeTensorRt


@dataclass(frozen=True)
class Machine:
    """What is there; `flavour` is how manifests name the TensorRT."""

    device: FakeDevice
    trt: FakeTensorRt
    flavour: str

    @property
    def release(self) -> tuple[int, int, int]:
        version: str = self.trt.__version__
        major, minor, patch = map(int, version.split("."))
        return major, minor, patch
