# SPDX-License-Identifier: Apache-2.0
"""Names of devices, and what is said where there is no GPU, no PyCUDA, or one that breaks."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError
from edge_trt_runtime.cuda import device as cuda_device
from edge_trt_runtime.cuda.failures import explain, is_sticky
from tests.support.bundles import relu_draft
from tests.support.fake_cuda import FakeDevice


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    return relu_draft().write(tmp_path / "relu.edge")


class Driver(ModuleType):
    """As much of `pycuda.driver` as opening a device asks for."""

    Error = RuntimeError
    device_attribute = SimpleNamespace(INTEGRATED=1)

    def __init__(self, *, gpus: int = 1, start: str = "", take: str = "") -> None:
        super().__init__("pycuda.driver")
        self.stack: list[str] = []
        context = SimpleNamespace(push=lambda: self.stack.append("c"))
        self.Context = SimpleNamespace(pop=self.stack.pop)

        def fail(text: str) -> None:
            if text:
                raise RuntimeError(text)

        class Device(SimpleNamespace):
            @staticmethod
            def count() -> int:
                return gpus

            def retain_primary_context(self) -> Any:
                fail(take)
                return context

        self.init = lambda: fail(start)
        self.Device = lambda ordinal: Device(
            name=lambda: "Orin", compute_capability=lambda: (8, 7), get_attribute=lambda which: 1
        )
        self.Device.count = Device.count  # type: ignore[attr-defined]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(driver: Driver) -> Driver:
        package = ModuleType("pycuda")
        package.__spec__ = ModuleSpec("pycuda", None)
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        monkeypatch.setattr(cuda_device, "_devices", {})
        return driver

    return put


@pytest.mark.parametrize(
    ("driver", "name", "message"),
    [
        (None, "cuda", "PyCUDA is not installed: pip install 'edge-trt-runtime[jetson]'"),
        (
            Driver(start="cuInit failed: no CUDA-capable device is detected"),
            "cuda:0",
            "started (cuInit failed: no CUDA-capable device is detected): use device='cpu', or",
        ),
        (Driver(gpus=1), "cuda:1", "there is no cuda:1: this machine has 1 GPU: count from 0"),
        (
            Driver(take="out of memory"),
            "cuda",
            "the GPU could not be taken into use (out of memory): close other sessions",
        ),
    ],
)
def test_a_gpu_that_can_not_be_used(
    relu: Path,
    driver: Driver | None,
    name: str,
    message: str,
    install: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if driver is None:
        monkeypatch.setitem(sys.modules, "pycuda", None)
        monkeypatch.delitem(sys.modules, "pycuda.driver", raising=False)
        monkeypatch.setattr(cuda_device, "_devices", {})
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    else:
        install(driver)
    with pytest.raises(EngineError) as caught:
        edge_trt_runtime.load(relu, device=name)
    assert message in str(caught.value)
    with edge_trt_runtime.load(relu) as session:  # "auto" goes on without it
        assert session.places == []
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4


def test_a_bundle_with_nothing_for_the_gpu_says_why(
    relu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_trt_runtime.loaded.find_device", lambda name: FakeDevice())
    message = "main: the bundle has no plan for cuda:0"
    with pytest.raises(EngineError, match=message) as caught:
        edge_trt_runtime.load(relu, device="cuda:0")
    assert "edge_trt build" in caught.value.hint
    with edge_trt_runtime.load(relu) as session:
        assert session.places == []


def test_the_context_is_popped_however_a_block_ends(install: Any) -> None:
    driver = install(Driver())
    device = cuda_device.open_device(0)
    assert device is cuda_device.open_device(0)
    assert device.describe() == "cuda:0 (Orin, sm_87)"
    with device, device:
        assert driver.stack == ["c", "c"]
    with pytest.raises(KeyError), device:
        raise KeyError
    message = r"Orin failed \(an illegal address.*start the process"
    with pytest.raises(EngineError, match=message), device:
        raise driver.Error("an illegal address was encountered\nin some call")
    assert driver.stack == []


def test_after_a_fork_cuda_is_refused(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(Driver())
    device = cuda_device.open_device(0)
    monkeypatch.setattr(cuda_device, "_forked", True)
    for use in (device.__enter__, lambda: cuda_device.open_device(0)):
        with pytest.raises(EngineError, match="forked, and can't be used in the child"):
            use()


@pytest.mark.parametrize("before", [False, True])
def test_a_forked_child_uses_cuda_where_its_parent_did_not(install: Any, before: bool) -> None:
    install(Driver())
    if before:
        cuda_device.open_device(0)
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python, that other threads are there
        child = os.fork()
    if not child:
        try:
            with cuda_device.open_device(0) as device:
                os.write(write, b"lost" if device.lost else b"used")
        except EngineError:
            os.write(write, b"refused")
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 100) == (b"refused" if before else b"used")
    os.close(read)
    os.waitpid(child, 0)


def test_errors_that_a_context_does_not_survive_are_known() -> None:
    assert is_sticky("cuStreamSynchronize failed: an illegal memory access / illegal address")
    assert not is_sticky("cuMemAlloc failed: out of memory")
    error = explain(RuntimeError("cuMemAlloc failed: out of memory"), "no")
    assert "fewer frames" in str(error)
