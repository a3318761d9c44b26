# SPDX-License-Identifier: Apache-2.0
"""Files of the kernel that say anything at all: a look tells what is missing, and goes on."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_trt.cli import board_view
from edge_trt_jetson import clocks, power_modes
from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.telemetry.metrics import gauges
from edge_trt_jetson.telemetry.reader import Reader
from tests.jetson.telemetry_trees import machine, plant

ORIN = machine("agx orin, R36")
HWMON = "sys/bus/i2c/devices/1-0040/hwmon/hwmon3"

GARBAGE = st.one_of(
    st.just(b""),
    st.binary(max_size=70),
    st.sampled_from([b"-1\n", b"9" * 64, b"nan\n", b"1.5\n", b"\xb2", b"0\n", b"cpu0 1 2\n"]),
)


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[Path, list[str]]:
    root = plant(ORIN, tmp_path_factory.mktemp("orin"))
    return root, sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_whatever_files_say_nothing_is_raised(planted: tuple[Path, list[str]], data) -> None:
    """A bus that is stuck, a driver that is new: a look tells what is missing, and goes on."""
    root, names = planted
    spoilt = data.draw(st.dictionaries(st.sampled_from(names), GARBAGE, max_size=12))
    before = {name: (root / name).read_bytes() for name in spoilt}
    try:
        with Reader(root) as reader:
            reader.read()
            for name, text in spoilt.items():
                (root / name).write_bytes(text)
            reader.read()
        with Reader(root) as reader:  # and found so at the beginning
            sample = reader.read()
        clocks.read(root)
        with contextlib.suppress(BoardError):
            power_modes.read(root).best()
    finally:
        for name, text in before.items():
            (root / name).write_bytes(text)
    assert all(isinstance(reason, str) and reason for reason in sample.unavailable.values())
    assert json.dumps(board_view.as_data(sample))
    board_view.rows(sample)
    board_view.line(sample)
    list(gauges(sample))


def test_folders_in_place_of_files(tmp_path: Path) -> None:
    plant(ORIN, tmp_path)
    for name in (
        "proc/stat",
        "proc/meminfo",
        "proc/uptime",
        f"{HWMON}/in1_input",
        "etc/nvpmodel.conf",
    ):
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
    with Reader(tmp_path) as reader:
        sample = reader.read()
    assert sample.unavailable["VDD_GPU_SOC"] == "is a directory"
    assert (sample.memory, sample.uptime, sample.watts) == (None, None, None)
    with pytest.raises(BoardError, match="is a directory"):
        power_modes.read(tmp_path)
