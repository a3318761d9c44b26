# SPDX-License-Identifier: Apache-2.0
"""Power modes: the file, the active one, names, caps, and which changes need a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_jetson import clocks, power_control, power_modes
from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.power_modes import PowerModes
from tests.jetson.nvpmodel_confs import CONFS
from tests.jetson.telemetry_trees import DEBUG, MACHINES, Machine, machine, plant, write

ORIN = machine("agx orin, R36")


def modes(name: str, current: int | None = None) -> PowerModes:
    parsed = power_modes.parse_conf(CONFS[name])
    active = next((mode for mode in parsed.modes if mode.id == current), None)
    return PowerModes(parsed.modes, parsed.default, active)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_modes_of_a_board(machine: Machine, tmp_path: Path) -> None:
    found = power_modes.read(plant(machine, tmp_path))
    assert found.current is not None
    assert found.current.id == machine.mode
    assert found.default in [mode.id for mode in found.modes]
    # What the definitions at the file's begin say is no setting of a mode.
    assert all(("GPU", "FREQ_TABLE") not in mode.settings for mode in found.modes)


def test_caps_of_a_mode() -> None:
    mode = modes("agx-orin-devkit").find("30W")
    assert (mode.id, mode.name, mode.watts, mode.cores) == (2, "MODE_30W", 30, 8)
    assert (mode.gpu_hz, mode.cpu_hz, mode.emc_hz) == (612_000_000, 1_728_000_000, None)
    assert (mode.dla_hz(0), mode.dla_hz(1)) == (1_369_600_000, 1_369_600_000)
    assert mode.gating == {("TPC_POWER_GATING", "TPC_PG_MASK"): "240"}
    fastest = modes("agx-orin-devkit").find("MAXN")
    assert (fastest.gpu_hz, fastest.cpu_hz, fastest.dla_hz(0), fastest.watts) == (None,) * 4
    assert modes("nano").find("5W").dla_hz(0) is None
    text = (
        "< POWER_MODEL NAME=X ID=0 >\nGPU MAX_FREQ 9223372036854775807\nEMC MAX_FREQ 2133000000\n"
    )
    (other,) = power_modes.parse_conf(text).modes
    assert (other.id, other.gpu_hz, other.emc_hz, other.cores) == (0, None, 2_133_000_000, None)


@pytest.mark.parametrize(
    ("conf", "wanted", "name"),
    [
        ("agx-orin-devkit", "MODE_30W", "MODE_30W"),
        ("agx-orin-devkit", "mode_30w", "MODE_30W"),
        ("agx-orin-devkit", "30W", "MODE_30W"),
        ("agx-orin-devkit", "3", "MODE_50W"),
        ("agx-orin-devkit", "best", "MAXN"),
        ("agx-xavier", "30W_ALL", "MODE_30W_ALL"),
        ("agx-xavier", "6core", "MODE_30W_6CORE"),
        ("orin-nano-super", "maxn", "MAXN_SUPER"),
        ("orin-nano-super", "MAXN SUPER", "MAXN_SUPER"),
        ("orin-nano-super", "best", "MAXN_SUPER"),
        ("orin-nano-super", "0", "15W"),
        ("orin-nano", "best", "15W"),
        ("xavier-nx", "best", "MODE_20W_6CORE"),
        ("xavier-nx", "desktop", "MODE_10W_DESKTOP"),
        ("orin-nx-16gb", "15w", "15W"),
    ],
)
def test_mode_by_name(conf: str, wanted: str, name: str) -> None:
    assert modes(conf).find(wanted).name == name


@pytest.mark.parametrize(
    ("conf", "wanted", "message"),
    [
        (
            "agx-orin-devkit",
            "60W",
            (
                "'60W' is no power mode of this board: it has MAXN (id 0), MODE_15W (id 1), "
                "MODE_30W (id 2), MODE_50W (id 3)"
            ),
        ),
        ("agx-orin-devkit", "7", "'7' is no power mode"),
        ("agx-orin-devkit", "", "'' is no power mode"),
        ("agx-orin-devkit", "0W", "'0W' is no power mode"),  # not the end of 30W
        ("agx-xavier", "30W", r"'30W' names several modes: MODE_30W_ALL (id 3), MODE_30W_6CORE"),
        ("xavier-nx", "0W", "'0W' is no power mode"),
    ],
)
def test_mode_that_does_not_exist(conf: str, wanted: str, message: str) -> None:
    with pytest.raises(BoardError) as error:
        modes(conf).find(wanted)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("pmode:0002 fmode:fan_mode_quiet\n", 2),
        ("pmode:0013", 13),
        ("", None),
        ("pmode:", None),
        ("fmode:quiet", None),
    ],
)
def test_status_file(text: str, number: int | None) -> None:
    assert power_modes.parse_status(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("NV Power Mode: MAXN\n0\n", 0),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MODE_30W\n2\n", 2),
        ("NV Fan Mode:quiet\nNV Power Mode: 15W\n0\n", 0),
        (
            (
                "NVPM VERB: parsing done for /etc/nvpmodel.conf\n"
                "NVPM VERB: Current mode: NV Power Mode: MAXN_SUPER\n2\n"
                "NVPM VERB: PARAM CPU_ONLINE: ARG CORE_0: REAL_VAL: 1 CONF_VAL: 1\n"
            ),
            2,
        ),
        ("NVPM ERROR: failed to read PARAM CPU_ONLINE\n", None),
        ("NV Power Mode: MAXN\n", None),
        ("", None),
    ],
)
def test_query(text: str, number: int | None) -> None:
    assert power_modes.parse_query(text) == number


def test_status_that_fits_no_mode_is_told(tmp_path: Path) -> None:
    plant(ORIN, tmp_path)
    write(tmp_path, "var/lib/nvpmodel/status", "pmode:0009 fmode:quiet\n")
    found = power_modes.read(tmp_path)
    assert found.current is None
    assert "says 9" in found.problem
    (tmp_path / "var/lib/nvpmodel/status").unlink()
    assert "nvpmodel -q" in power_modes.read(tmp_path).problem


def test_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"/etc/nvpmodel.conf: not here: power modes exist on a"):
        power_modes.read(tmp_path)
    write(tmp_path, "etc/nvpmodel.conf", "< PM_CONFIG DEFAULT=2 >\n")
    with pytest.raises(BoardError, match="lists no power modes"):
        power_modes.read(tmp_path)


@given(st.sampled_from(sorted(CONFS)), st.integers(0, 3000))
def test_half_a_file_never_raises(name: str, cut: int) -> None:
    """Modes that are there in whole are as in the whole file."""
    whole, half = modes(name), power_modes.parse_conf(CONFS[name][:cut])
    complete = half.modes[:-1]
    assert complete == whole.modes[: len(complete)]
    for mode in half.modes:
        _ = mode.gpu_hz, mode.cpu_hz, mode.emc_hz, mode.cores, mode.watts


@pytest.mark.parametrize(
    ("conf", "current", "wanted", "reboot"),
    [
        ("agx-orin-devkit", 0, "50W", False),  # the same TPCs
        ("agx-orin-devkit", 0, "30W", True),
        ("orin-nano-super", 0, "25W", False),
        ("agx-xavier", 3, "30W_6CORE", False),
        ("agx-xavier", 3, "10W", True),
        ("thor", 1, "MAXN", False),
        ("thor", 1, "90W", True),
        ("nano", None, "5W", True),  # nobody knows what is active
    ],
)
def test_change_that_needs_a_restart(
    conf: str, current: int | None, wanted: str, reboot: bool
) -> None:
    known = modes(conf, current)
    assert bool(power_control.reboot_reason(known, known.find(wanted))) == reboot


def lock(root: Path, *, cpu: bool, gpu: bool) -> None:
    """What jetson_clocks does: the lowest clock becomes the highest."""
    if cpu:
        for n in range(12):
            write(root, f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_min_freq", "2188800\n")
    if gpu:
        write(root, "sys/class/devfreq/17000000.gpu/min_freq", "1300500000\n")


@pytest.mark.parametrize(
    ("cpu", "gpu", "locked"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_clocks_without_root(cpu: bool, gpu: bool, locked: bool, tmp_path: Path) -> None:
    """The memory's clock is not seen without root, and doesn't decide then."""
    plant(ORIN, tmp_path, debugfs=False)
    lock(tmp_path, cpu=cpu, gpu=gpu)
    found = clocks.read(tmp_path)
    assert found.locked is locked
    assert "emc: unavailable (not here)" in str(found)
    assert ("gpu: locked at 1300 MHz" if gpu else "gpu: floating up to 1300 MHz") in str(found)


def test_clock_of_memory_decides_with_root(tmp_path: Path) -> None:
    plant(ORIN, tmp_path)
    lock(tmp_path, cpu=True, gpu=True)
    assert clocks.read(tmp_path).locked is False
    write(tmp_path, f"{DEBUG}bpmp/debug/clk/emc/mrq_rate_locked", "1\n")
    assert clocks.read(tmp_path).locked is True
    # A power mode that caps the memory: it is locked below its highest clock.
    write(tmp_path, f"{DEBUG}bpmp/debug/clk/emc/rate", "2133000000\n")
    assert "emc: locked at 2133 MHz" in str(clocks.read(tmp_path))
    # A kernel without the lock's file: the highest clock is taken for a lock.
    (tmp_path / f"{DEBUG}bpmp/debug/clk/emc/mrq_rate_locked").unlink()
    assert clocks.read(tmp_path).locked is False
    write(tmp_path, f"{DEBUG}bpmp/debug/clk/emc/rate", "3199000000\n")
    assert clocks.read(tmp_path).locked is True


def test_core_that_is_off_does_not_decide(tmp_path: Path) -> None:
    plant(machine("orin nx"), tmp_path, debugfs=False)
    for n in range(4):
        write(tmp_path, f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_min_freq", "1420800\n")
    write(tmp_path, "sys/devices/system/cpu/cpu7/cpufreq/scaling_min_freq", "115200\n")
    write(tmp_path, "sys/devices/system/cpu/cpu7/cpufreq/scaling_max_freq", "2000000\n")
    write(tmp_path, "sys/class/devfreq/17000000.ga10b/min_freq", "612000000\n")
    assert clocks.read(tmp_path).locked is True


def test_unknown_clocks(tmp_path: Path) -> None:
    assert clocks.read(tmp_path).locked is None
    plant(ORIN, tmp_path)
    write(tmp_path, "sys/class/devfreq/17000000.gpu/max_freq", "")
    found = clocks.read(tmp_path)
    assert found.locked is False  # the cores float: that is enough to know
    assert "gpu: unavailable (is empty)" in str(found)


SHOWN = """SOC family:tegra234  Machine:NVIDIA Jetson AGX Orin Developer Kit
Online CPUs: 0-7
cpu0: Online=1 Governor=schedutil MinFreq={cpu} MaxFreq=2188800 CurrentFreq=2188800
cpu8: Online=0 Governor=schedutil MinFreq=115200 MaxFreq=2188800 CurrentFreq=115200
GPU MinFreq={gpu} MaxFreq=1300500000 CurrentFreq=1300500000
EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq={emc} FreqOverride={override}
DLA0_CORE: Online=1 MinFreq=0 MaxFreq=1600000000 CurrentFreq=1600000000
FAN Dynamic Speed control=nvfancontrol hwmon0_pwm1=64
NV Power Mode: MAXN
"""


@pytest.mark.parametrize(
    ("cpu", "gpu", "emc", "override", "locked"),
    [
        (2188800, 1300500000, 3199000000, 1, True),
        (729600, 1300500000, 3199000000, 1, False),
        (2188800, 306000000, 3199000000, 1, False),
        (2188800, 1300500000, 2133000000, 0, False),
        (2188800, 1300500000, 3199000000, 0, False),  # busy, and not locked
        (2188800, 1300500000, 2133000000, 1, True),  # capped by the power mode
    ],
)
def test_output_of_jetson_clocks(cpu: int, gpu: int, emc: int, override: int, locked: bool) -> None:
    found = clocks.parse_show(SHOWN.format(cpu=cpu, gpu=gpu, emc=emc, override=override))
    assert found.locked is locked
    most = emc if override else 3_199_000_000
    assert [part.hz for part in found.parts] == [2_188_800_000, 1_300_500_000, most]


def test_output_of_jetson_clocks_completes_what_files_tell(tmp_path: Path) -> None:
    """On Thor no file tells of the memory's lock; what files do tell is not overruled."""
    plant(ORIN, tmp_path, debugfs=False)
    shown = SHOWN.format(cpu=2188800, gpu=1300500000, emc=3199000000, override=1)
    found = clocks.completed(clocks.read(tmp_path), shown)
    states = {part.name: (part.locked, part.hz) for part in found.parts}
    assert states["emc"] == (True, 3_199_000_000)
    assert states["cpu"][0] is False
    assert clocks.completed(found, "") == found


def test_half_an_output_of_jetson_clocks() -> None:
    assert clocks.parse_show("").locked is None
    assert clocks.parse_show(SHOWN[:150]).locked is None
    assert "emc: unavailable (not in the list)" in str(clocks.parse_show(SHOWN[:150]))
