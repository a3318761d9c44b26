# SPDX-License-Identifier: Apache-2.0
"""Ranges for NVIDIA's profilers, told to a stand-in for NVTX."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError
from edge_trt_runtime.__main__ import main
from edge_trt_runtime.executors.onnx import OnnxExecutor
from tests.support.bundles import relu_draft

X = {"x": np.ones((1, 4), np.float32)}
RANGE = "segment 'main' on the CPU"


class Recorder:
    """Both forms of NVTX; what was told to it in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, library: bool) -> None:
        self.told: list[Any] = []
        monkeypatch.setattr(ctypes, "CDLL", self._open if library else self._missing)
        package = SimpleNamespace(push_range=self.told.append, pop_range=self._pop)
        monkeypatch.setitem(sys.modules, "nvtx", None if library else package)

    def _pop(self) -> None:
        self.told.append("pop")

    def _open(self, name: str) -> Any:
        assert name == "libnvToolsExt.so.1"

        class Function:
            def __init__(self, call: Any) -> None:
                self.call, self.argtypes, self.restype = call, None, None

            def __call__(self, *arguments: Any) -> Any:
                assert [type(a) for a in arguments] == [bytes] * len(self.argtypes or [])
                return self.call(*arguments)

        return SimpleNamespace(
            nvtxRangePushA=Function(lambda text: self.told.append(text.decode())),
            nvtxRangePop=Function(self._pop),
        )

    @staticmethod
    def _missing(name: str) -> Any:
        raise OSError(name)


@pytest.mark.parametrize("library", [True, False])
def test_segments_are_ranges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: bool
) -> None:
    nvtx = Recorder(monkeypatch, library=library)
    path = relu_draft().write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cpu", nvtx=True) as session:
        session.run(X)
        session.run(X)
    assert nvtx.told == [RANGE, "pop"] * 2


def test_a_range_ends_where_its_segment_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvtx = Recorder(monkeypatch, library=False)

    def fail(*_: object) -> None:
        raise EngineError("injected")

    monkeypatch.setattr(OnnxExecutor, "run", fail)
    path = relu_draft().write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, nvtx=True) as session, pytest.raises(EngineError):
        session.run(X)
    assert nvtx.told == [RANGE, "pop"]


def test_the_environment_asks_for_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvtx = Recorder(monkeypatch, library=False)
    path = relu_draft().write(tmp_path / "m.edge")
    for value, nvtx_argument, count in [("1", None, 2), ("1", False, 0), ("", None, 0)]:
        monkeypatch.setenv("EDGE_TRT_NVTX", value)
        nvtx.told.clear()
        with edge_trt_runtime.load(path, nvtx=nvtx_argument) as session:
            session.run(X)
        assert len(nvtx.told) == count


def test_without_nvtx_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", Recorder._missing)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setitem(sys.modules, "nvtx", None)
    path = relu_draft().write(tmp_path / "m.edge")
    assert main([str(path), "--bench", "0.01", "--nvtx"]) == 1
    assert "neither is here: pip install nvtx" in capsys.readouterr().err
