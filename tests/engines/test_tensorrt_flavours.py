# SPDX-License-Identifier: Apache-2.0
"""Which TensorRT serves a target, what is said where it is missing, and the names of its plans."""

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest

from edge_trt.engines.tensorrt import (
    BuildSettings,
    Flavour,
    fingerprint,
    flavour_of,
    load_flavour,
    newer_than_tested,
)
from edge_trt.engines.tensorrt.flavours import NEWEST_TENSORRT
from edge_trt.errors import BuildError
from edge_trt.placement.regimes import NEWEST_MAJOR
from edge_trt_runtime.manifest import Range

RANGES = {"batch": Range(1, 2, 4)}


def test_flavours_of_targets():
    targets = ("cpu", "rtx", "cuda", "agx-orin-64gb")
    assert [flavour_of(t) for t in targets] == [None, "tensorrt_rtx", "tensorrt", "tensorrt"]


@pytest.mark.parametrize(
    ("name", "command"),
    [("tensorrt", "apt-get install tensorrt"), ("tensorrt_rtx", "pip install tensorrt-rtx")],
)
def test_a_missing_flavour_names_the_command(name: Any, command: str, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BuildError, match=f"{name} is not installed here.*{command}"):
        load_flavour(name)


@pytest.mark.parametrize(
    ("version", "problem", "untested"),
    [
        ("8.6.1", r"TensorRT 8\.6\.1 is too old.*10\.3", False),
        ("10.2.0.19", r"too old.*10\.3", False),
        ("10.3.0.30", "", False),
        ("10.16.2.10", "", False),
        ("11.4.1", "", False),
        ("11.5.0", "", True),
        ("12.0.0.1", r"12\.0\.0\.1 is too new.*10\.3 to 11\.x: update edge_trt, or .* 11$", True),
    ],
)
def test_the_version_of_tensorrt(version: str, problem: str, untested: bool, monkeypatch):
    module = types.ModuleType("tensorrt")
    module.__dict__["__version__"] = version
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    assert NEWEST_TENSORRT[0] == NEWEST_MAJOR
    if problem:
        with pytest.raises(BuildError, match=problem):
            load_flavour("tensorrt")
    else:
        flavour = load_flavour("tensorrt")
        remarks = newer_than_tested([flavour, flavour])
        assert flavour.is_newer_than_tested == untested
        assert [f"TensorRT {version} is newer than 11.4" in text for text in remarks] == (
            [True] * untested
        )


def test_broken_flavours(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BuildError, match=r"tensorrt can't load: libnvinfer\.so\.10"):
        load_flavour("tensorrt")


def test_the_package_imports_without_tensorrt():
    code = (
        "import sys, edge_trt.engines.tensorrt; print({'torch', 'tensorrt_rtx'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- fingerprints ------------------------------------------------------------------------------


def test_fingerprints():
    plain = BuildSettings()
    rtx_, jetpack = Flavour("tensorrt_rtx", None, "1.7.1.116"), Flavour("tensorrt", None, "10.3.0")
    name = fingerprint("rtx", rtx_, plain)
    assert name == "rtx-1.7.1-sm80plus-89628216", "a new name would orphan the plans of old bundles"
    assert fingerprint("agx-orin-64gb", jetpack, plain).startswith("agx-orin-64gb-10.3.0-sm87-")
    assert fingerprint("cuda", jetpack, plain, gpu="9.0").startswith("cuda-10.3.0-sm90-")
    others = [
        BuildSettings(optimization_level=5),
        BuildSettings(workspace=1),
        BuildSettings(ranges=RANGES),
        BuildSettings(profiles=(RANGES,)),
        BuildSettings(values={"n": ([1], [2], [3])}),
        BuildSettings(compute_capabilities=("8.6",)),
        BuildSettings(weight_streaming=True),
    ]
    names = {fingerprint("rtx", rtx_, settings) for settings in others}
    assert len(names | {name}) == 8
    assert fingerprint("rtx", rtx_, BuildSettings(timing_cache="somewhere")) == name
