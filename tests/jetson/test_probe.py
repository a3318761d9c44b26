# SPDX-License-Identifier: Apache-2.0
"""Checks of the environment, on real and on made-up machines."""

from __future__ import annotations

import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from edge_trt_jetson import cuda, probe
from edge_trt_jetson.checks import Check
from edge_trt_jetson.detect import detect
from tests.jetson.trees import TREES, plant, tree

NO_DRIVER = cuda.Driver(
    loaded=False, version="", devices=(), problem="libcuda.so.1 is not installed"
)
ORIN = cuda.Driver(loaded=True, version="12.6", devices=(cuda.Device("Orin", "8.7"),), problem="")


def by_name(checks: list[Check]) -> dict[str, probe.Check]:
    return {check.name: check for check in checks}


def test_this_machine() -> None:
    checks = by_name(probe.run())
    assert checks["python"].status == "ok"
    assert checks["numpy"].found == metadata.version("numpy")
    assert set(checks) >= {"board", "cuda driver", "tensorrt", "tensorrt_rtx", "torch", "pycuda"}
    for check in checks.values():
        assert check.allows
        assert check.status == "ok" or check.fix, f"{check.name} names no fix"


def test_heavy_packages_are_not_imported() -> None:
    code = (
        "import sys; from edge_trt_jetson import probe; probe.run();"
        "print(sorted({'torch', 'pycuda', 'onnxruntime', 'numpy', 'importlib.metadata',"
        "'edge_trt_jetson.telemetry'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The bindings of TensorRT import numpy themselves where they are installed.
    assert done.stdout.strip() in ("[]", "['numpy']")


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_board_check(tree, tmp_path: Path) -> None:
    check = probe.check_board(detect(plant(tree, tmp_path)))
    old = tree.jetpack[0] in "45"
    assert check.status == ("broken" if old else "ok" if tree.board else "missing")
    assert f"JetPack {tree.jetpack}" in check.found
    if old:
        assert "JetPack 6" in check.fix


def test_a_board_that_can_not_be_told_names_the_flag(tmp_path: Path) -> None:
    check = probe.check_board(detect(plant(tree("tegra234 of a carrier without"), tmp_path)))
    assert check.status == "missing"  # a native build refuses it
    assert check.fix.endswith("--target orin-nano-8gb or orin-nx-8gb")


def test_driver_states() -> None:
    assert probe.check_driver(NO_DRIVER, on_jetson=False).status == "missing"
    hollow = cuda.Driver(True, "12.6", (), "cuInit failed: CUDA_ERROR_NO_DEVICE (100)")
    check = probe.check_driver(hollow, on_jetson=True)
    assert check.status == "broken"
    assert "CUDA_ERROR_NO_DEVICE" in check.found
    assert "--runtime nvidia" in check.fix
    check = probe.check_driver(ORIN, on_jetson=True)
    assert check.status == "ok"
    assert "compute capability 8.7" in check.found


def fake_tensorrt(cores: int) -> types.ModuleType:
    class Logger:
        ERROR = 1

        def __init__(self, level: int) -> None:
            assert level == self.ERROR

    class Runtime:
        num_DLA_cores = cores

        def __init__(self, logger: Logger) -> None:
            assert isinstance(logger, Logger)

    module = types.ModuleType("tensorrt")
    module.__version__ = "10.3.0"
    module.Logger, module.Runtime = Logger, Runtime
    return module


def test_dla_cores_are_asked_of_tensorrt_only_with_a_driver(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(2))
    check = by_name(probe.check_tensorrt(ORIN, on_jetson=True))["tensorrt"]
    assert check.found == "10.3.0, 2 DLA cores"
    check = by_name(probe.check_tensorrt(NO_DRIVER, on_jetson=True))["tensorrt"]
    assert check.found == "10.3.0"


def test_tensorrt_that_fails_to_load_is_broken(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "tensorrt.py").write_text(
        "raise ImportError('libnvinfer.so.10: cannot open shared object file')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    check = by_name(probe.check_tensorrt(NO_DRIVER, on_jetson=False))["tensorrt"]
    assert check.status == "broken"
    assert "libnvinfer.so.10" in check.found


def test_package_that_is_not_installed() -> None:
    package = probe.Package("no_such_module", ("no-such",), "nothing", "pip install no-such")
    assert probe.check_package(package).status == "missing"


@pytest.mark.parametrize(
    ("folder", "file"),
    [("some_thing-1.5.dist-info", "METADATA"), ("some_thing-1.5.egg-info", "PKG-INFO")],
)
def test_version_of_a_wheel_and_of_a_package_of_the_system(
    folder: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_thing.py").touch()
    (tmp_path / folder).mkdir()
    (tmp_path / folder / file).write_text("Metadata-Version: 2.1\nName: some-thing\nVersion: 1.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    package = probe.Package("some_thing", ("some-thing",), "nothing", "pip install some-thing")
    assert probe.check_package(package).found == "1.5"


DRIVER_SOURCE = r"""
#include <string.h>
int cuInit(unsigned f) { return INIT; }
int cuDriverGetVersion(int *v) { *v = 12060; return 0; }
int cuGetErrorName(int e, const char **n) { *n = "CUDA_ERROR_NO_DEVICE"; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, "Orin", n); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : 7; return 0; }
"""


def compiled(folder: Path, init: int) -> str:
    source = folder / "cuda.c"
    source.write_text(DRIVER_SOURCE)
    library = folder / "libcuda.so.1"
    command = ["cc", "-shared", "-fPIC", f"-DINIT={init}", "-o", str(library), str(source)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    return str(library)


def test_driver_is_read_through_its_c_interface(tmp_path: Path) -> None:
    assert cuda.driver(compiled(tmp_path, init=0)) == ORIN


def test_driver_that_does_not_start(tmp_path: Path) -> None:
    driver = cuda.driver(compiled(tmp_path, init=100))
    assert driver.loaded
    assert driver.devices == ()
    assert driver.problem == "cuInit failed: CUDA_ERROR_NO_DEVICE (100)"


def test_driver_that_is_absent() -> None:
    driver = cuda.driver("libcuda-of-no-machine.so.1")
    assert not driver.loaded
    assert driver.problem == "libcuda-of-no-machine.so.1 is not installed"
