# SPDX-License-Identifier: Apache-2.0
"""Sessions that take arrays of other libraries, and leave results on the GPU."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edge_trt_runtime
from edge_trt_runtime import DeviceArray, EngineError, InputError
from edge_trt_runtime.foreign import LEGACY_STREAM
from tests.runtime.tensorrt.machine import Machine
from tests.support.bundles import relu_draft
from tests.support.fake_tensorrt import plan_bytes
from tests.support.foreign_arrays import LEFT_OUT, Foreign, WithDlpack, WithInterface

X = np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)
RELU = np.maximum(X, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    data = plan_bytes("relu", {"x": [1, 4]}, {"main.0": [1, 4]})
    return relu_draft().plan("main", data).write(tmp_path / "m.edge")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tensors_of_pytorch_on_the_host(
    machine: Callable[..., Machine], path: Path, device: str
) -> None:
    """And everything else that DLPack shows on the host; nothing is copied on the way in."""
    machine()
    with edge_trt_runtime.load(path, device=device) as session:
        x = torch.from_numpy(X.copy())
        out = torch.empty(1, 4)
        for given in (x, torch.from_numpy(np.repeat(X, 2, 0))[:1], X):
            np.testing.assert_array_equal(session.run({"x": given})["output"], RELU)
        assert session.run({"x": x}, out={"output": out})["output"] is out
        np.testing.assert_array_equal(out.numpy(), RELU)
        frames = [x, x[0], X]
        for result in session.stream(frames):
            np.testing.assert_array_equal(result.outputs["output"], RELU)
        with pytest.raises(InputError, match=r"'x' can't be taken from torch\.Tensor \(.*grad.*\)"):
            session.run({"x": torch.ones(1, 4, requires_grad=True)})
        with pytest.raises(InputError, match=r"'x' must be float32, got float64"):
            session.run({"x": x.double()})


class Picture(WithDlpack):
    """One without a batch, to which its library can add that as a view."""

    ndim = 1

    def __getitem__(self, key: None) -> WithDlpack:
        assert key is None
        view = WithDlpack(self.device, self.value[None], at=self.pointer)
        view.stream = self.stream
        return view


def test_a_stream_of_frames_on_the_gpu(machine: Callable[..., Machine], path: Path) -> None:
    here = machine()
    with edge_trt_runtime.load(path, device="cuda") as session:
        frames = [Picture(here.device, row) for row in (X[0], -X[0])]
        frames.append(WithDlpack(here.device, X))  # type: ignore[arg-type]
        got = [result.outputs["output"] for result in session.stream(frames)]
        for output, right in zip(got, (X, -X, X), strict=True):
            np.testing.assert_array_equal(output, np.maximum(right, 0))


@pytest.mark.parametrize("kind", [WithDlpack, WithInterface])
def test_arrays_on_the_gpu(
    machine: Callable[..., Machine], path: Path, kind: type[Foreign]
) -> None:
    here = machine()
    with edge_trt_runtime.load(path, device="cuda") as session:
        x, out = kind(here.device, X), kind(here.device, X * 0)
        for run in range(6):
            value = X + run
            x.make(value)
            staying = session.run({"x": x}, device_outputs=True)["output"]
            assert isinstance(staying, DeviceArray)
            assert (staying.shape, staying.dtype, staying.device) == ((1, 4), np.float32, "cuda:0")
            assert session.run({"x": x}, out={"output": out})["output"] is out
            for got in (staying.numpy(), out.now(), session.run({"x": x})["output"]):
                np.testing.assert_array_equal(got, np.maximum(value, 0))
        # A result is an input of the next run, also of another session.
        again = session.submit({"x": staying}, device_outputs=True).result()["output"]
        np.testing.assert_array_equal(again.numpy(), staying.numpy())
        for result in session.stream([x] * 3, depth=1):
            np.testing.assert_array_equal(result.outputs["output"], np.maximum(X + 5, 0))
        assert session.profile({"x": x})
        with edge_trt_runtime.load(path, device="cpu") as other:
            with pytest.raises(InputError, match=r"is on a GPU, and this session runs on the CPU"):
                other.run({"x": x})
            with pytest.raises(EngineError, match=r"can't stay on a GPU: this session runs on the"):
                other.run({"x": X}, device_outputs=True)
    np.testing.assert_array_equal(staying.numpy(), np.maximum(X + 5, 0))  # it is the caller's
    for copied in (copy.copy, copy.deepcopy, np.asarray):
        with pytest.raises(TypeError, match=r"DeviceArray .* by its numpy\(\)"):
            copied(staying)
    shown = staying.__cuda_array_interface__
    assert (shown["version"], shown["stream"], shown["typestr"]) == (3, None, "<f4")
    for array in (x, out):
        array.free()
    del staying, again, result
    assert not here.device.allocations


SAID: list[tuple[dict[str, Any], int]] = [
    ({}, 1),
    ({"stream": None}, 0),  # nobody has to wait
    ({"stream": LEFT_OUT}, 1),
    ({"version": 2, "stream": LEFT_OUT}, 1),  # the default stream, which waits for others
    ({"stream": LEGACY_STREAM}, 1),
    ({"strides": (16, 4)}, 1),
    ({"strides": (999, 4)}, 1),  # of a dimension of size 1
    ({"strides": None, "mask": None, "data": "read-only"}, 1),
]


@pytest.mark.parametrize(("said", "joins"), SAID, ids=[" ".join(said) for said, _ in SAID])
def test_what_an_interface_says(
    machine: Callable[..., Machine], path: Path, said: dict[str, Any], joins: int
) -> None:
    here = machine()
    with edge_trt_runtime.load(path, device="cuda") as session:
        x = WithInterface(here.device, X)
        if said.get("data"):
            said = {**said, "data": (x.pointer, True)}
        x.said = said
        if not joins:
            with here.device:
                x.stream.synchronize()
        for run in range(4):
            assert np.array_equal(session.run({"x": x})["output"], RELU)
            assert here.device.counts.get("join", 0) == joins * (run + 1)
        if "data" in said:
            with pytest.raises(InputError, match=r"out\['output'\] is no array that can be writt"):
                session.run({"x": X}, out={"output": x})


REFUSED: list[tuple[type[Foreign], dict[str, Any], str]] = [
    (WithInterface, {"said": {"strides": (32, 8)}}, "(it is not contiguous: strides [32, 8] of"),
    (WithInterface, {"said": {"mask": X}}, "(it has a mask): pass a dense array"),
    (WithInterface, {"said": {"typestr": "<f8"}}, "'x' must be float32, got float64"),
    (WithInterface, {"said": {"typestr": ">f4"}}, "got float32 in foreign byte order"),
    (WithInterface, {"said": {"shape": (4,)}}, "must have the shape [1, 4], got [4]"),
    (WithInterface, {"at": 77}, "says that it is at 0x4d, which is no memory of CUDA's"),
    (WithInterface, {"elsewhere": 1}, "'x' is on cuda:1, and this session runs on cuda:0: copy"),
    (WithDlpack, {"ordinal": 3}, "'x' is on cuda:3, and this session runs on cuda:0"),
    (WithDlpack, {"kind": 10}, "'x' is on a device of DLPack's kind 10, which is neither"),
    (WithDlpack, {"code": (4, 16)}, "(numpy has no bfloat16): pass a dense array of a type"),
    (WithDlpack, {"code": (6, 8)}, "'x' must be float32, got bool"),
    (WithDlpack, {"strides": (1, 2)}, "(it is not contiguous: strides [4, 8] of shape [1, 4]"),
    (WithDlpack, {"refuses": "no gradients"}, "foreign_arrays.WithDlpack (no gradients): pass"),
]


@pytest.mark.parametrize(("kind", "how", "message"), REFUSED, ids=[row[2][:30] for row in REFUSED])
def test_arrays_that_are_refused(
    machine: Callable[..., Machine],
    path: Path,
    kind: type[Foreign],
    how: dict[str, Any],
    message: str,
) -> None:
    here = machine()
    with edge_trt_runtime.load(path, device="cuda") as session:
        given = {key: value for key, value in how.items() if key in ("said", "at")}
        x = kind(here.device, X, **given)
        for key in how.keys() - given.keys() - {"elsewhere"}:
            setattr(x, key, how[key])
        if "elsewhere" in how:
            here.device.elsewhere[x.pointer] = how["elsewhere"]
        with pytest.raises(InputError, match=re.escape(message)):
            session.run({"x": x})
        for other in (X * 0, np.zeros((1, 5), np.float32), np.zeros((1, 4), np.int8)):
            out = WithDlpack(here.device, other)
            if other.shape == X.shape and other.dtype == X.dtype:
                session.run({"x": X}, out={"output": out})
                np.testing.assert_array_equal(out.now(), RELU)
            else:
                with pytest.raises(InputError, match=r"and the output is float32 of shape \[1, 4"):
                    session.run({"x": X}, out={"output": out})
        np.testing.assert_array_equal(session.run({"x": X})["output"], RELU)
