# SPDX-License-Identifier: Apache-2.0
"""Tensors of PyTorch on a real GPU: their streams, their addresses, and results that stay."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edge_trt_runtime
from edge_trt_runtime import DeviceArray, InputError
from tests.support.gpu_bundles import kernels, write_torch

pytestmark = pytest.mark.gpu
SHAPE = [256, 4096]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_torch(tmp_path_factory.mktemp("arrays") / "m.edge", SHAPE, kernels(3))


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    return write_torch(folder / "m.edge", SHAPE, kernels(2), kernels(2))


class Interface:
    """A tensor that shows itself by `__cuda_array_interface__` alone, with its stream."""

    def __init__(self, tensor: torch.Tensor, stream: int | None) -> None:
        self.tensor, self.stream = tensor, stream

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        said = dict(self.tensor.__cuda_array_interface__)
        return {**said, "version": 3, "stream": self.stream}


def right(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(torch.sin(torch.sin(x)))


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("by", ["dlpack", "interface"])
@pytest.mark.parametrize("side", [False, True])
def test_inputs_that_are_still_being_made(path: Path, graphs: bool, by: str, side: bool) -> None:
    """Some milliseconds of work are queued before the input: who does not wait is wrong."""
    stream = torch.cuda.Stream() if side else torch.cuda.default_stream()
    slow = torch.randn(4096, 4096, device="cuda")
    ring = [torch.empty(SHAPE, device="cuda") for _ in range(3)]
    with edge_trt_runtime.load(path, device="cuda", graphs=graphs) as session:
        for run in range(30):
            x = ring[run % 3] if run < 20 else torch.empty(SHAPE, device="cuda")
            with torch.cuda.stream(stream):
                for _ in range(3):
                    slow = torch.mm(slow, slow).clamp_(-1, 1)
                x.fill_(run / 7)
                given: Any = Interface(x, stream.cuda_stream or 1) if by == "interface" else x
                y = session.run({"x": given}, device_outputs=True)["y"]
            assert isinstance(y, DeviceArray)
            expected = right(torch.full(SHAPE, run / 7))
            np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_results_are_taken_without_a_copy_and_used_again(path: Path) -> None:
    from pycuda import driver

    from edge_trt_runtime.cuda import open_device

    device = open_device(0)
    x = torch.randn(SHAPE, device="cuda")
    with edge_trt_runtime.load(path, device="cuda") as session:
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        for run in range(8):
            array = session.run({"x": x + run}, device_outputs=True)["y"]
            tensor = torch.as_tensor(array, device="cuda")
            assert tensor.data_ptr() == array.pointer
            kept.append((tensor, right(x + run)))
        for tensor, expected in kept:
            torch.testing.assert_close(tensor, expected)
        del kept, tensor, array
        gc.collect()
        # A kernel still reads the result when its tensor goes, and the next run writes there.
        for run in range(50):
            sums = torch.as_tensor(session.run({"x": x}, device_outputs=True)["y"]).sum()
            if run == 10:
                torch.cuda.synchronize()
                with device:
                    free = driver.mem_get_info()[0]
        torch.testing.assert_close(sums, right(x).sum())
        torch.cuda.synchronize()
        with device:
            assert driver.mem_get_info()[0] == free
    last = session_result(path, x)
    torch.testing.assert_close(torch.as_tensor(last), right(x))  # after the session was closed


def session_result(path: Path, x: torch.Tensor) -> DeviceArray:
    with edge_trt_runtime.load(path, device="cuda") as session:
        return session.run({"x": x}, device_outputs=True)["y"]


def test_results_in_tensors_of_the_caller_and_the_host_between(hybrid: Path) -> None:
    x, out = torch.randn(SHAPE, device="cuda"), torch.empty(SHAPE, device="cuda")
    with (
        edge_trt_runtime.load(hybrid, device="cpu") as cpu,
        edge_trt_runtime.load(hybrid, device="cuda") as session,
    ):
        expected = cpu.run({"x": x.cpu()})["y"]
        for _ in range(5):
            out.zero_()
            assert session.run({"x": x}, out={"y": out})["y"] is out
            np.testing.assert_allclose(out.cpu().numpy(), expected, rtol=1e-5, atol=1e-6)
        with pytest.raises(InputError, match=r"is on a GPU, and this session runs on the CPU"):
            cpu.run({"x": x})
        for wrong, message in (
            (x.half(), "'x' must be float32, got float16"),
            (x.t().contiguous().t(), "it is not contiguous"),
            (x.clone().requires_grad_(), "requires? grad|require gradient"),
            (x.bfloat16(), "numpy has no bfloat16"),
        ):
            with pytest.raises(InputError, match=message):
                session.run({"x": wrong})


def test_memory_that_is_none_of_cuda_is_refused(path: Path) -> None:
    """It would be an illegal access, after which the process could not use the GPU any more."""
    pytest.importorskip("cuda.bindings")
    host = np.ones(SHAPE, np.float32)

    class Lying:
        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            return {**host.__array_interface__, "version": 3, "strides": None, "stream": None}

    with edge_trt_runtime.load(path, device="cuda") as session:
        with pytest.raises(InputError, match="no memory of CUDA's"):
            session.run({"x": Lying()})
        assert session.run({"x": host})["y"].shape == tuple(SHAPE)
