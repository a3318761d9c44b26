# SPDX-License-Identifier: Apache-2.0
"""Reading of sensors on trees written from the documented formats."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edge_trt_jetson import files
from edge_trt_jetson.telemetry.reader import Reader
from edge_trt_jetson.telemetry.sample import Engine, Fan
from tests.jetson.telemetry_trees import (
    DEBUG,
    MACHINES,
    Machine,
    cpu_times,
    machine,
    plant,
    write,
)

ORIN = machine("agx orin, R36")
HWMON = "sys/bus/i2c/devices/1-0040/hwmon/hwmon3"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_machine(machine: Machine, tmp_path: Path) -> None:
    plant(machine, tmp_path)
    with Reader(tmp_path) as reader:
        assert reader.detection is not None
        assert reader.detection.board is not None
        reader.read()
        online = machine.cores - machine.offline
        write(tmp_path, "proc/stat", cpu_times([*range(online)], 130, 970))
        sample = reader.read()
    assert len(sample.cpus) == machine.cores
    assert [cpu.online for cpu in sample.cpus] == [True] * online + [False] * machine.offline
    assert all(cpu.load == pytest.approx(0.3) for cpu in sample.cpus[:online])
    assert all(cpu.hz == machine.cpu_khz * 1000 for cpu in sample.cpus[:online])
    assert sample.gpu == Engine(
        None,
        machine.load[1] / 1000 if machine.load else None,
        machine.gpu[1] if machine.gpu else None,
    )
    assert ("gpu load" in sample.unavailable) == (machine.load is None)
    assert sample.watts == pytest.approx(machine.watts)
    assert sample.watts_of == machine.watts_of
    assert not {"NC", "sum of shunt voltages"} & {rail.name for rail in sample.rails}
    assert sample.memory is not None
    assert sample.memory.total == machine.tree.memory_kb * 1024
    assert sample.memory.used == pytest.approx(sample.memory.total / 2, abs=1024)
    assert (sample.memory.swap_total, sample.memory.swap_used) == (4000 * 1024, 1000 * 1024)
    assert sample.uptime == 3605.12
    assert sample.unknown == ()


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_memory_clock_and_temperatures(machine: Machine, tmp_path: Path) -> None:
    with Reader(plant(machine, tmp_path)) as reader:
        sample = reader.read()
    assert machine.emc is not None
    _, hz, busy, kilohertz = machine.emc
    load = kilohertz * 1000 / hz if busy else None
    assert sample.engines["emc"] == Engine(True, load if load is None else pytest.approx(load), hz)
    # Zones have one name in all releases; what is off or has no sensor is left out.
    assert {"gpu"} <= set(sample.temperatures)
    assert all(0 < celsius < 60 for celsius in sample.temperatures.values())
    assert not [name for name in sample.temperatures if name.startswith("pmic")]
    assert sample.hottest == max(sample.temperatures.values())


@pytest.mark.parametrize(
    ("name", "engines"),
    [
        ("agx orin, R36", {"dla0_falcon": Engine(True, None, 844800000)}),
        ("agx orin, R36", {"dla1": Engine(False, None, 1600000000)}),
        ("agx orin, R36", {"nvenc": Engine(True, None, 166000000)}),
        ("agx orin, R39", {"dla0": Engine(None, None, 1369600000)}),
        ("agx xavier", {"dla": Engine(None, None, 1395200000)}),
    ],
)
def test_engines(name: str, engines: dict[str, Engine], tmp_path: Path) -> None:
    with Reader(plant(machine(name), tmp_path)) as reader:
        found = reader.read().engines
    assert {key: found[key] for key in engines} == engines
    assert "uart8" not in found


@pytest.mark.parametrize(
    ("name", "fans"),
    [
        ("agx orin, R36", {"fan": Fan(64 / 255, 2140)}),
        ("agx orin, R39", {"fan": Fan(80 / 255, None)}),
        ("orin nx", {"fan": Fan(0.0, 0)}),  # it stands still: a reading
        ("tx2", {"fan": Fan(120 / 255, None)}),
        ("nano", {}),
    ],
)
def test_fans(name: str, fans: dict[str, Fan], tmp_path: Path) -> None:
    with Reader(plant(machine(name), tmp_path)) as reader:
        assert reader.read().fans == fans


def test_no_debugfs_is_a_reason_and_no_zero(tmp_path: Path) -> None:
    with Reader(plant(ORIN, tmp_path, debugfs=False)) as reader:
        sample = reader.read()
    # Whether a DLA has power is told without it, and the clocks of video engines are.
    assert sample.engines == {
        "vic": Engine(None, None, 115200000),
        "nvenc": Engine(None, None, 166000000),
        "dla0": Engine(on=True),
        "dla1": Engine(on=False),
    }
    assert sample.unavailable["emc"] == "needs root (no debugfs here)"
    assert sample.unavailable["engines"] == "needs root (no debugfs here)"


AS_NOBODY = """
import json, os, sys
from edge_trt_jetson import boards, versions
from edge_trt_jetson.telemetry.reader import Reader
boards.all_boards(), versions.known()  # their files may lie where nobody else may read
if os.geteuid() == 0:  # the kernel refuses root nothing
    os.setgid(65534)
    os.setuid(65534)
with Reader(sys.argv[1]) as reader:
    sample = reader.read()
print(json.dumps([sample.unavailable, sorted(sample.engines), sample.watts]))
"""


def test_debugfs_without_root_says_so() -> None:
    """The folder of debugfs is open to root alone, as on a board."""
    with tempfile.TemporaryDirectory() as folder:  # one that others may enter
        os.chmod(folder, 0o755)
        plant(ORIN, Path(folder))
        debugfs = Path(folder, DEBUG)
        debugfs.chmod(0)
        command = [sys.executable, "-c", AS_NOBODY, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        debugfs.chmod(0o700)
    assert done.returncode == 0, done.stderr
    unavailable, engines, watts = json.loads(done.stdout)
    assert unavailable == {"emc": "needs root", "engines": "needs root"}
    assert engines == ["dla0", "dla1", "nvenc", "vic"]  # what everybody may see of them
    assert watts == pytest.approx(ORIN.watts)


def test_share_of_time_with_power(tmp_path: Path, monkeypatch) -> None:
    """300 ms more of power within 400 ms; a DLA that slept all the time has a zero that is read."""
    plant(ORIN, tmp_path)
    clock = iter([100.0, 100.0, 100.4, 100.4])
    with Reader(tmp_path) as reader:
        monkeypatch.setattr("edge_trt_jetson.telemetry.engines.time.monotonic", lambda: next(clock))
        reader._engines._power.read({})
        write(
            tmp_path, "sys/bus/platform/devices/15880000.nvdla0/power/runtime_active_time", "7300\n"
        )
        found = reader._engines._power.read({})
        monkeypatch.undo()
    assert found["dla0"] == (True, pytest.approx(0.75))
    assert found["dla1"] == (False, 0.0)


def test_rail_that_vanishes_takes_the_total_with_it(tmp_path: Path) -> None:
    """A sum without one of its parts is no power of the board."""
    plant(ORIN, tmp_path)
    with Reader(tmp_path) as reader:
        assert reader.read().watts is not None
        write(tmp_path, f"{HWMON}/curr2_input", "")
        sample = reader.read()
        assert sample.watts is None
        assert sample.unavailable["VDD_CPU_CV"] == "is empty"
        write(tmp_path, f"{HWMON}/curr2_input", "100\n")
        assert reader.read().watts == pytest.approx(ORIN.watts + 19.112 * 0.016)


def test_sensor_that_is_off_comes_back(tmp_path: Path, monkeypatch) -> None:
    """Zones of gated parts answer EAGAIN: left out, and read again the next time."""
    plant(ORIN, tmp_path)
    real, off = os.pread, True
    with Reader(tmp_path, slow=0) as reader:

        def gated(descriptor: int, size: int, offset: int) -> bytes:
            data = real(descriptor, size, offset)
            if off and data == b"47625\n":
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            return data

        monkeypatch.setattr(os, "pread", gated)
        assert "gpu" not in reader.read().temperatures
        off = False
        assert reader.read().temperatures["gpu"] == 47.625


def test_device_that_goes_is_opened_again(tmp_path: Path, monkeypatch) -> None:
    """A core that was off has new files when it is on again; the old descriptor stays dead."""
    path = tmp_path / "value"
    path.write_text("1\n")
    source = files.Source(path)
    real = os.pread
    dead = source._descriptor

    def gone(descriptor: int, size: int, offset: int) -> bytes:
        if descriptor == dead:
            raise OSError(errno.ENODEV, "No such device")
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", gone)
    keeper = os.open(path, os.O_RDONLY)  # the number of a closed descriptor is given out again
    assert source.number() is None
    assert source.problem == "no such device"
    os.dup2(keeper, dead)
    values = [source.number() for _ in range(files.RETRY + 1)]
    assert values == [None] * files.RETRY + [1]
    source.close()
    os.close(dead)
    os.close(keeper)


def test_gpu_that_appears_later_is_found(tmp_path: Path) -> None:
    """On JetPack 7 the GPU's files can be made seconds after services are started."""
    plant(ORIN, tmp_path)
    folder = tmp_path / "sys/class/devfreq/17000000.gpu"
    load = tmp_path / "sys/devices/platform/bus@0/17000000.gpu/load"
    hidden = tmp_path / "hidden"
    folder.rename(hidden)
    load.unlink()
    with Reader(tmp_path) as reader:
        sample = reader.read()
        assert sample.gpu is None
        assert sample.unavailable["gpu"] == files.ABSENT
        hidden.rename(folder)
        found = [reader.read().gpu for _ in range(files.RETRY + 1)]
    assert found[-1] == Engine(None, None, 1300500000)


def test_throttling_is_told(tmp_path: Path) -> None:
    plant(ORIN, tmp_path)
    with Reader(tmp_path, slow=0) as reader:
        assert reader.read().throttling == ()  # counts of the past don't count
        write(tmp_path, f"{HWMON}/curr2_crit_alarm", "1\n")
        write(tmp_path, "sys/class/hwmon/hwmon2/oc3_event_cnt", "40\n")
        assert reader.read().throttling == (
            "VDD_CPU_CV draws more than its critical current.",
            "Throttled by an event: current too high for a moment.",
        )
        write(tmp_path, f"{HWMON}/curr2_crit_alarm", "0\n")
        assert reader.read().throttling == ()
        write(tmp_path, f"{HWMON}/curr4_crit_alarm", "1\n")
    with Reader(tmp_path, slow=0) as reader:
        assert reader.read().throttling == (
            "the sum of the rails draws more than its critical current.",
        )


def test_input_of_thor_has_no_label(tmp_path: Path) -> None:
    """The driver of its INA238 names no channel: it is the one that measures all of the input."""
    plant(machine("thor"), tmp_path)
    write(tmp_path, "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/power1_max_alarm", "1\n")
    with Reader(tmp_path) as reader:
        sample = reader.read()
    assert sample.watts_of == ("VIN",)
    assert sample.throttling == ("VIN draws more than its greatest power.",)


def test_cooling_level_of_minus_one_is_none(tmp_path: Path) -> None:
    """Intel's power clamp says -1 while it is idle."""
    write(tmp_path, "sys/class/thermal/cooling_device0/type", "intel_powerclamp\n")
    write(tmp_path, "sys/class/thermal/cooling_device0/cur_state", "-1\n")
    with Reader(tmp_path) as reader:
        assert reader.read().throttling == ()


def test_what_moves_slowly_is_read_rarely(tmp_path: Path, monkeypatch) -> None:
    """Power is read each time; alarms and temperatures, each a transfer on a bus, once a second."""
    plant(ORIN, tmp_path)
    real, read = os.pread, []

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        read.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    with Reader(tmp_path) as reader:
        first = reader.read()
        read.clear()
        second = reader.read()
        assert not [name for name in read if "alarm" in name or "thermal" in name or "oc1" in name]
        assert sum(name.endswith("curr2_input") for name in read) == 2  # of both monitors
        monkeypatch.setattr(reader, "_conditions_due", 0.0)
        reader.read()
        assert [name for name in read if "alarm" in name]
    assert second.temperatures == first.temperatures
    assert second.fans == first.fans


def test_cooling_devices_that_slow_down(tmp_path: Path) -> None:
    """Fans and warnings of hot surfaces slow nothing down."""
    with Reader(plant(machine("orin nano super"), tmp_path)) as reader:
        assert reader.read().throttling == ("cpu-throttle-alert slows down: step 1 of 4.",)


def test_core_that_goes_off_has_no_load(tmp_path: Path) -> None:
    plant(ORIN, tmp_path)
    with Reader(tmp_path) as reader:
        reader.read()
        write(tmp_path, "proc/stat", cpu_times([*range(8)], 100, 1900))
        cpus = reader.read().cpus
    assert [cpu.online for cpu in cpus] == [True] * 8 + [False] * 4
    assert cpus[0].load == 0.0
    assert (cpus[11].load, cpus[11].hz) == (None, None)


def test_machine_that_is_no_jetson(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal: 1000 kB\nMemFree: 400 kB\nCached: 100 kB\n")
    write(tmp_path, "proc/stat", cpu_times([0, 1], 1, 1))
    with Reader(tmp_path) as reader:
        sample = reader.read()
    assert reader.detection is None
    assert len(sample.cpus) == 2
    assert sample.memory is not None
    assert sample.memory.used == 500 * 1024
    assert set(sample.unavailable) == {"gpu", "power", "throttling"}


def test_empty_tree(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        sample = reader.read()
    assert (sample.cpus, sample.memory, sample.rails, sample.watts) == ((), None, (), None)


def test_cores_of_a_cluster_share_a_clock(tmp_path: Path, monkeypatch) -> None:
    """cpufreq's folders of one cluster are links to one policy: opened once, and closed."""
    cpus = tmp_path / "sys/devices/system/cpu"
    write(tmp_path, "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "729600\n")
    for n in range(4):
        (cpus / f"cpu{n}").mkdir()
        (cpus / f"cpu{n}/cpufreq").symlink_to("../cpufreq/policy0")
    write(tmp_path, "proc/stat", cpu_times([0, 1, 2, 3], 1, 1))
    before = os.listdir("/proc/self/fd")
    with Reader(tmp_path) as reader:
        assert [cpu.hz for cpu in reader.read().cpus] == [729600000] * 4
        assert len(os.listdir("/proc/self/fd")) == len(before) + 2  # and /proc/stat
    assert os.listdir("/proc/self/fd") == before


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    plant(ORIN, tmp_path)
    before = os.listdir("/proc/self/fd")
    with Reader(tmp_path) as reader:
        reader.read()
        assert len(os.listdir("/proc/self/fd")) > len(before)
    assert os.listdir("/proc/self/fd") == before


def test_absolute_links_stay_in_a_recorded_tree(tmp_path: Path) -> None:
    write(tmp_path, "etc/nvpmodel/nvpmodel_p3701.conf", "recorded")
    (tmp_path / "etc/nvpmodel.conf").symlink_to("/etc/nvpmodel/nvpmodel_p3701.conf")
    assert files.below(tmp_path, "etc/nvpmodel.conf").read_text() == "recorded"
    (tmp_path / "etc/loop").symlink_to("loop")
    files.below(tmp_path, "etc/loop")
