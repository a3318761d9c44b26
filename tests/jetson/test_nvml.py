# SPDX-License-Identifier: Apache-2.0
"""NVML through ctypes: a library that is compiled here, and a real one where there is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge_trt_jetson import nvml
from edge_trt_jetson.telemetry import reader
from edge_trt_jetson.telemetry.reader import Reader
from edge_trt_jetson.telemetry.sample import Engine, Rail
from tests.jetson.telemetry_trees import machine, plant

SOURCE = r"""
typedef struct { unsigned gpu, memory; } use_t;
int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
#define GPU (void *)0x123456789abULL
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = GPU; return FIND; }
static int known(void *d) { return d == GPU ? 0 : 2; }
int nvmlDeviceGetUtilizationRates(void *d, use_t *u) { *u = (use_t){37, 5}; return known(d); }
int nvmlDeviceGetClockInfo(void *d, int t, unsigned *v) { *v = t == 1 ? 1575 : 0; return known(d); }
int nvmlDeviceGetPowerUsage(void *d, unsigned *v) { *v = 42500; return POWER; }
int nvmlDeviceGetTemperature(void *d, int s, unsigned *v) { *v = 51; return known(d) + s; }
"""


def compiled(
    folder: Path, init: int = 0, find: int = 0, power: int = 0, source: str = SOURCE
) -> str:
    (folder / "nvml.c").write_text(source)
    library = folder / "libnvidia-ml.so.1"
    flags = [f"-DINIT={init}", f"-DFIND={find}", f"-DPOWER={power}"]
    command = ["cc", "-shared", "-fPIC", *flags, "-o", str(library), str(folder / "nvml.c")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    return str(library)


@pytest.mark.parametrize(
    ("power", "watts"),
    [(0, 42.5), (3, None)],  # 3: not supported, as on Jetson
)
def test_gpu_is_read(power: int, watts: float | None, tmp_path: Path) -> None:
    library = nvml.Nvml(compiled(tmp_path, power=power))
    assert library.read() == nvml.Gpu(0.37, 1_575_000_000, watts, 51.0)
    library.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"init": 9}, "nvmlInit failed with status 9"),
        ({"find": 6}, "no GPU \\(status 6\\)"),
        ({"source": "int other(void) { return 0; }"}, "is no NVML"),
    ],
)
def test_library_that_does_not_start(arguments, message: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=message):
        nvml.Nvml(compiled(tmp_path, **arguments))


def test_no_library_is_none(monkeypatch) -> None:
    monkeypatch.setattr(nvml.Nvml.__init__, "__defaults__", ("libno-such-nvml.so.1",))
    assert nvml.start() is None


@pytest.mark.parametrize(
    ("name", "gpu", "rails"),
    [
        ("thor", Engine(None, 0.37, 314_000_000), 4),  # the clock is the kernel's
        ("", Engine(None, 0.37, 1_575_000_000), 1),
    ],
)
def test_reader_asks_where_files_are_silent(
    name: str, gpu: Engine, rails: int, tmp_path: Path, monkeypatch
) -> None:
    library = nvml.Nvml(compiled(tmp_path))
    root = plant(machine(name), tmp_path / "root") if name else tmp_path / "empty"
    monkeypatch.setattr(reader.nvml, "start", lambda: library)
    monkeypatch.setattr(reader, "is_here", lambda path: True)
    with Reader(root) as opened:
        sample = opened.read()
    assert sample.gpu == gpu
    assert "gpu load" not in sample.unavailable
    assert len(sample.rails) == rails
    assert (Rail("GPU", 42.5) in sample.rails) == (not name)
    assert sample.temperatures.get("gpu") == (38.875 if name else 51.0)


def test_reader_leaves_it_alone_where_files_tell(tmp_path: Path, monkeypatch) -> None:
    """Starting NVML can wake a GPU: it is not done for copies, and not on Orin."""
    monkeypatch.setattr(reader.nvml, "start", lambda: pytest.fail("it was started"))
    monkeypatch.setattr(reader, "is_here", lambda path: True)
    with Reader(plant(machine("agx orin, R36"), tmp_path)) as opened:
        assert opened.read().gpu == Engine(None, 0.361, 1_300_500_000)
    monkeypatch.undo()
    monkeypatch.setattr(reader.nvml, "start", lambda: pytest.fail("it was started"))
    with Reader(plant(machine("thor"), tmp_path / "copy")) as opened:
        assert opened.read().gpu == Engine(None, None, 314_000_000)
