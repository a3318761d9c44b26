# SPDX-License-Identifier: Apache-2.0
"""tegrastats, from R32 to R39: published lines, with lists of cores written out where cut short."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_jetson.telemetry import tegrastats
from edge_trt_jetson.telemetry.energy import energy
from edge_trt_jetson.telemetry.sample import Engine

MIB = 1 << 20


def cores(first: str, count: int) -> str:
    return ",".join([first] + ["0%@1113"] * (count - 1))


# name: line; cores (online, all); load and MHz of the first; GPU; engines; a temperature;
# number of rails, board's watts, the rails they are of; memory (used, all) in MiB.
LINES = {
    "tx2, R32, root": (
        (
            "RAM 696/7854MB (lfb 1675x4MB) CPU [0%@345,off,off,0%@345,0%@345,0%@345] EMC_FREQ "
            "1%@665 GR3D_FREQ 0%@140 APE 150 MTS fg 0% bg 0% BCPU@30C MCPU@30C GPU@28C "
            "PLL@30C Tboard@26C Tdiode@27C PMIC@100C thermal@29.2C VDD_IN 1383/1383 VDD_CPU "
            "153/191 VDD_GPU 76/76 VDD_SOC 384/384 VDD_WIFI 364/335 VDD_DDR 192/201"
        ),
        (4, 6, 0.0, 345),
        Engine(True, 0.0, 140_000_000),
        {"emc": Engine(True, 0.01, 665_000_000), "ape": Engine(True, None, 150_000_000)},
        ("tboard", 26.0),
        (6, 1.383, ("VDD_IN",)),
        (696, 7854),
    ),
    "nano, R32, root": (
        (
            "RAM 331/3964MB (lfb 758x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) "
            "CPU [1%@102,0%@102,0%@102,0%@102] EMC_FREQ 3%@204 GR3D_FREQ 0%@76 APE 25 "
            "PLL@20.5C CPU@23.5C PMIC@100C GPU@22.5C AO@27.5C thermal@23C POM_5V_IN 933/933 "
            "POM_5V_GPU 0/0 POM_5V_CPU 84/105"
        ),
        (4, 4, 0.01, 102),
        Engine(True, 0.0, 76_000_000),
        {"emc": Engine(True, 0.03, 204_000_000)},
        ("ao", 27.5),
        (3, 0.933, ("POM_5V_IN",)),
        (331, 3964),
    ),
    "agx xavier, R32, user": (
        (
            "RAM 407/15823MB (lfb 3702x4MB) SWAP 0/7911MB (cached 0MB) CPU "
            f"[{cores('1%@2265', 8)}] EMC_FREQ 0% GR3D_FREQ 5% AO@26.5C GPU@28C Tdiode@31.25C "
            "PMIC@100C AUX@26.5C CPU@27.5C thermal@27.45C Tboard@27C GPU 1155/1155 CPU "
            "385/385 SOC 2504/2503 CV 0/0 VDDRQ 192/192 SYS5V 2692/2692"
        ),
        (8, 8, 0.01, 2265),
        Engine(None, 0.05, None),
        {},  # EMC_FREQ 0% is no reading: only root can read it
        ("tdiode", 31.25),
        (6, 6.928, ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")),
        (407, 15823),
    ),
    "xavier nx, R35.4, root": (
        (
            "07-09-2024 13:31:31 RAM 3168/6851MB (lfb 2x4MB) SWAP 161/3426MB (cached 0MB) "
            f"CPU [{cores('23%@1397', 6)}] EMC_FREQ 2%@204 GR3D_FREQ 0%@[114] VIC_FREQ 115 "
            "APE 150 AUX@45C CPU@46.5C thermal@45.6C AO@45C GPU@45.5C PMIC@50C "
            "VDD_IN 2763mW/2846mW VDD_CPU_GPU_CV 650mW/670mW VDD_SOC 650mW/711mW"
        ),
        (6, 6, 0.23, 1397),
        Engine(True, 0.0, 114_000_000),
        {"vic": Engine(True, None, 115_000_000)},
        ("aux", 45.0),
        (3, 2.763, ("VDD_IN",)),
        (3168, 6851),
    ),
    "orin nano, R36, user": (
        (
            "09-21-2026 16:47:06 RAM 1954/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) "
            f"CPU [{cores('0%@883', 6)}] GR3D_FREQ 7% cpu@48.062C soc2@47.343C gpu@48.156C "
            "tj@48.218C VDD_IN 4523mW/4523mW VDD_CPU_GPU_CV 524mW/524mW VDD_SOC 1373mW/1373mW"
        ),
        (6, 6, 0.0, 883),
        Engine(None, 0.07, None),
        {},
        ("tj", 48.218),
        (3, 4.523, ("VDD_IN",)),
        (1954, 7620),
    ),
    "agx orin, R35, root": (
        (
            "01-03-2023 16:07:54 RAM 2257/30536MB (lfb 5392x4MB) SWAP 0/15268MB (cached 0MB) "
            f"CPU [{cores('0%@729', 8)}] EMC_FREQ 0%@204 GR3D_FREQ 0%@0 GR3D2_FREQ 0%@0 NVJPG1 "
            "729 VIC_FREQ 115 APE 233 CV0@-256C CPU@41.437C Tboard@29C SOC2@39.062C "
            "tj@41.656C VDD_GPU_SOC 2390mW/2390mW VDD_CPU_CV 796mW/796mW VIN_SYS_5V0 "
            "3522mW/3522mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW NC 0mW/0mW"
        ),
        (8, 8, 0.0, 729),
        Engine(False, 0.0, 0),
        {
            "nvjpg1": Engine(True, None, 729_000_000),
            "vic": Engine(True, None, 115_000_000),
            "gr3d2": Engine(False, 0.0, 0),
        },
        ("tj", 41.656),
        (4, 6.708, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        (2257, 30536),
    ),
    "agx orin, R35, DLA busy": (
        (
            "11-21-2025 08:49:48 RAM 13983/62780MB (lfb 424x4MB) SWAP 126/31390MB (cached "
            f"0MB) CPU [{cores('90%@2201', 12)}] EMC_FREQ 1%@2133 GR3D_FREQ 14%@[407,407] "
            "VIC_FREQ 115 NVDLA0_FREQ @1600 APE 174 CV0@73.625C CPU@77.281C VDD_GPU_SOC "
            "3150mW/2971mW VDD_CPU_CV 14312mW/12415mW VIN_SYS_5V0 4968mW/5048mW "
            "VDDQ_VDD2_1V8AO 1091mW/1091mW"
        ),
        (12, 12, 0.9, 2201),
        Engine(True, 0.14, 407_000_000),
        {"dla0": Engine(True, None, 1_600_000_000)},
        ("cv0", 73.625),
        (4, 22.43, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        (13983, 62780),
    ),
    "agx orin, R36.4.4": (
        (
            "05-09-2026 18:42:06 RAM 18207/62841MB (lfb 466x4MB) SWAP 86/31420MB (cached 0MB) "
            f"CPU [{cores('14%@2188', 12)}] EMC_FREQ 3%@2133 GR3D_FREQ 0%@[0,0] NVENC 79%@166 "
            "NVDEC off NVJPG off NVJPG1 off VIC 36%@115 OFA off NVDLA0 off NVDLA1 off "
            "PVA0_FREQ off APE 174 cpu@52.562C soc2@48.437C soc0@49.093C tj@52.562C "
            "soc1@49.656C VDD_GPU_SOC 2412mW/2412mW VDD_CPU_CV 1607mW/1607mW VIN_SYS_5V0 "
            "4707mW/4707mW"
        ),
        (12, 12, 0.14, 2188),
        Engine(False, 0.0, 0),
        {
            "nvenc": Engine(True, 0.79, 166_000_000),
            "dla0": Engine(False),
            "pva0": Engine(False),
            "nvjpg1": Engine(False),
        },
        ("soc2", 48.437),
        (3, 8.726, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        (18207, 62841),
    ),
    "agx orin, R39.2": (
        (
            f"07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [{cores('23%@2201', 12)}] "
            "EMC_FREQ 3%@3199 GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off NVJPG0 off "
            "NVJPG1 off VIC off OFA off NVDLA0 off NVDLA1 off PVA0_FREQ off APE 174 "
            "cpu@52.968C/52.968C soc2@48.406C/48.406C gpu@47.625C/47.625C VDD_GPU_SOC "
            "5139mW/5139mW/5139mW VDD_CPU_CV 3268mW/3268mW/3268mW VIN_SYS_5V0 "
            "5500mW/5500mW/5500mW"
        ),
        (12, 12, 0.23, 2201),
        Engine(True, 0.12, 1_300_000_000),
        {"nvenc0": Engine(False), "dla1": Engine(False)},
        ("gpu", 47.625),
        (3, 13.907, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        (20642, 62817),
    ),
    "thor, R38.4": (
        (
            f"04-21-2026 15:50:52 RAM 105265/125772MB (lfb 34x4MB) CPU [{cores('0%@972', 14)}] "
            "EMC_FREQ 0%@2750 GR3D_FREQ @[314,314,314] NVENC0_FREQ @314 NVENC1_FREQ @314 "
            "NVDEC0_FREQ @314 NVDEC1_FREQ @314 NVJPG0_FREQ @314 VIC off OFA_FREQ @315 "
            "PVA0_FREQ off APE 300 cpu@37.343C tj@38.875C soc012@37.468C gpu@38.875C "
            "soc345@37.406C VDD_GPU 1962mW/1962mW VDD_CPU_SOC_MSS 5887mW/5887mW VIN_SYS_5V0 "
            "5635mW/5635mW VIN 19780mW/19780mW"
        ),
        (14, 14, 0.0, 972),
        Engine(True, None, 314_000_000),  # no load: none is printed
        {"nvenc1": Engine(True, None, 314_000_000), "ofa": Engine(True, None, 315_000_000)},
        ("soc345", 37.406),
        (4, 19.78, ("VIN",)),
        (105265, 125772),
    ),
    "thor, R39.2": (
        (
            f"RAM 5265/125772MB (lfb 1x512kB) CPU [{cores('2%@972', 14)}] EMC_FREQ 0%@2750 "
            "GR3D_FREQ @[314,314,314] VIC 59%@423 cpu@34.843C/34.843C VDD_GPU "
            "4925mW/4925mW/4925mW VDD_CPU_SOC_MSS 5887mW/5887mW/5887mW VIN_SYS_5V0 "
            "5635mW/5635mW/5700mW VIN 21780mW/20780mW/22000mW"
        ),
        (14, 14, 0.02, 972),
        Engine(True, None, 314_000_000),
        {"vic": Engine(True, 0.59, 423_000_000)},
        ("cpu", 34.843),
        (4, 21.78, ("VIN",)),
        (5265, 125772),
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_line(name: str) -> None:
    line, (online, count, load, mhz), gpu, engines, zone, power, memory = LINES[name]
    sample = tegrastats.parse(line)
    assert sample.unknown == ()
    assert (sum(cpu.online for cpu in sample.cpus), len(sample.cpus)) == (online, count)
    assert (sample.cpus[0].load, sample.cpus[0].hz) == (load, mhz * 1_000_000)
    assert sample.gpu == gpu
    assert {name: sample.engines.get(name) for name in engines} == engines
    assert sample.temperatures[zone[0]] == zone[1]
    assert not {"pmic", "cv0"} & set(sample.temperatures) - {zone[0]}
    assert (len(sample.rails), sample.watts_of) == (power[0], power[2])
    assert sample.watts == pytest.approx(power[1])
    assert sample.memory is not None
    assert (sample.memory.used, sample.memory.total) == (memory[0] * MIB, memory[1] * MIB)


@pytest.mark.parametrize("name", LINES)
def test_memory_clock_without_root_is_no_zero(name: str) -> None:
    """R32 prints a zero for it, R36 nothing."""
    sample = tegrastats.parse(LINES[name][0])
    user = name.endswith("user")
    assert ("emc" in sample.engines) is not user
    assert sample.unavailable == ({"emc": "needs root"} if user else {})


def test_swap_and_means() -> None:
    sample = tegrastats.parse(LINES["agx orin, R35, DLA busy"][0])
    assert sample.memory is not None
    assert (sample.memory.swap_used, sample.memory.swap_total) == (126 * MIB, 31390 * MIB)
    rail = sample.rail("VDD_CPU_CV")
    assert rail is not None
    assert (rail.watts, rail.average) == (14.312, 12.415)
    assert tegrastats.parse(LINES["tx2, R32, root"][0]).memory.swap_total is None  # type: ignore[union-attr]


def test_offset_of_a_sensor_is_kept() -> None:
    """An idle rail reads less than nothing where its sensor has an offset."""
    (rail,) = tegrastats.parse("VDD_GPU -392mW/-12mW").rails
    assert (rail.watts, rail.average) == (-0.392, -0.012)


def test_time_of_a_line_is_local() -> None:
    sample = tegrastats.parse(LINES["agx orin, R36.4.4"][0])
    assert time.localtime(sample.time)[:6] == (2026, 5, 9, 18, 42, 6)
    assert math.isnan(tegrastats.parse(LINES["nano, R32, root"][0]).time)


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("", ()),
        ("RAM 12/100MB WHAT 12 NPU_FREQ 4%@100 new@3 x", ("WHAT", "12", "new@3", "x")),
        ("VDD_GPU_SOC 23", ("VDD_GPU_SOC", "23")),  # half a rail is no clock
        ("VDD_GPU_SOC 2390mW/23", ("VDD_GPU_SOC", "2390mW/23")),
        ("GPU@28", ("GPU@28",)),
        ("CPU [0%@729,12", ("CPU", "[0%@729,12")),
        ("CPU [0%@729,12]", ("12",)),
        ("99-99-2026 99:99:99", ()),
        ("VDD_GPU -392mW/-12mW", ()),
        ("RAM 99999999999999/1MB", ("RAM", "99999999999999/1MB")),
    ],
)
def test_unknown_words_are_kept(line: str, unknown: tuple[str, ...]) -> None:
    assert tegrastats.parse(line).unknown == unknown


WORDS = sorted({word for line, *_ in LINES.values() for word in line.split()})


@given(st.sampled_from(sorted(LINES)), st.integers(0, 700))
def test_half_a_line_never_raises_and_agrees(name: str, cut: int) -> None:
    """What half a line says of engines and temperatures, the whole line says too."""
    line = LINES[name][0]
    whole, half = tegrastats.parse(line), tegrastats.parse(line[: line.rfind(" ", 0, cut) + 1])
    assert half.temperatures.items() <= whole.temperatures.items()
    assert {rail.name for rail in half.rails} <= {rail.name for rail in whole.rails}
    assert half.watts in (None, whole.watts)
    tegrastats.parse(line[:cut])


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), max_size=15))
def test_any_words_never_raise_and_none_is_lost(words: list[str]) -> None:
    line = " ".join(words)
    sample = tegrastats.parse(line)
    assert all(word in line for word in sample.unknown)
    assert all(math.isfinite(rail.watts) for rail in sample.rails)


@given(st.text(alphabet="RAMCPU0123456789%@[],/ mWCoffVD_-.:kB()", max_size=120))
def test_any_text_never_raises(text: str) -> None:
    tegrastats.parse(text)


def test_log_ends_with_half_a_line() -> None:
    line = LINES["nano, R32, root"][0]
    samples = list(tegrastats.read([f"{line}\n", "\n", f"{line}\n", line[:-3]]))
    assert [sample.watts for sample in samples] == [0.933, 0.933]


def test_energy_of_a_log() -> None:
    line = LINES["agx orin, R36.4.4"][0]
    log = [f"{line.replace('18:42:06', f'18:42:{s:02}')}\n" for s in range(6, 17)]
    found = energy(tegrastats.read(log))
    assert found.joules == pytest.approx(8.726 * 10)
    assert found.seconds == 10
    assert found.sensor is None  # the shunts are not in the log
