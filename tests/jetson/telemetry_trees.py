# SPDX-License-Identifier: Apache-2.0
"""Telemetry files of Jetsons, written from the documented formats (not copied from devices).

A row says what a machine's sensors show; `plant` writes the files of its kernel and the tree that
detection reads. Numbers follow lines of tegrastats (`tests/jetson/test_tegrastats.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.jetson import trees
from tests.jetson.nvpmodel_confs import CONFS
from tests.jetson.trees import Tree

Channel = tuple[str, int, int]  # label, mV, mA
SHUNT = 5000  # micro-ohms


@dataclass(frozen=True)
class Machine:
    """Sensors of one machine, and what must be read from them."""

    name: str
    tree: Tree
    clusters: tuple[int, ...]  # cores in each
    cpu_khz: int
    gpu: tuple[str, int] | None  # folder below devfreq, Hz
    load: tuple[str, int] | None  # path, tenths of a percent
    zones: tuple[tuple[str, int], ...]  # type, millidegrees
    watts: float
    watts_of: tuple[str, ...]
    hwmon: tuple[tuple[str, tuple[Channel, ...]], ...] = ()  # chip, channels
    iio: tuple[Channel, ...] = ()
    offline: int = 0  # cores at the end that are off
    emc: tuple[str, int, str, int] | None = None  # path, Hz, path of busy kHz, kHz
    engines: tuple[tuple[str, int, int], ...] = ()  # folder below debugfs' clk, Hz, users
    bpmp: tuple[tuple[str, int], ...] = ()
    fan: tuple[int, int | None] | None = None  # pwm, rpm
    cooling: tuple[tuple[str, int], ...] = (("pwm-fan", 2),)
    events: tuple[int, int, int] | None = None
    powered: tuple[tuple[str, str, int], ...] = ()  # platform device, status, ms
    conf: str = ""
    mode: int | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def cores(self) -> int:
        return sum(self.clusters)


DEBUG = "sys/kernel/debug/"
ORIN_EMC = DEBUG + "bpmp/debug/clk/emc/rate"
CACTMON = DEBUG + "cactmon/mc_all"
ORIN_ENGINES = (
    ("dla0_core", 1600000000, 1),
    ("dla0_falcon", 844800000, 1),
    ("dla1_core", 1600000000, 0),
    ("nvdec", 998400000, 0),
    ("nvenc", 166000000, 2),
    ("vic", 115200000, 1),
    ("ofa", 115200000, 0),
    ("ape", 174000000, 1),
    ("uart8", 408000000, 1),  # a clock that is no engine
)
ORIN_ZONES = (
    ("cpu-thermal", 52562),
    ("gpu-thermal", 47625),
    ("cv0-thermal", -256000),
    ("soc0-thermal", 49093),
    ("tj-thermal", 52562),
)
DLA_POWER = (("15880000.nvdla0", "active", 7000), ("158c0000.nvdla1", "suspended", 20))
AGX_ORIN_RAILS = (
    (
        "ina3221",
        (("VDD_GPU_SOC", 19112, 126), ("VDD_CPU_CV", 19112, 84), ("VIN_SYS_5V0", 5008, 940)),
    ),
    ("ina3221", (("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 19112, 16), ("NC", 0, 0))),
)
AGX_ORIN = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
AGX_ORIN_WATTS = 19.112 * 0.126 + 19.112 * 0.084 + 5.008 * 0.940

MACHINES = (
    Machine(
        "agx orin, R36.4.4",
        trees.tree("agx orin 64gb devkit"),
        clusters=(4, 4, 4),
        cpu_khz=2188800,
        gpu=("17000000.gpu", 1300500000),
        load=("sys/devices/platform/bus@0/17000000.gpu/load", 361),
        zones=ORIN_ZONES,
        watts=AGX_ORIN_WATTS,
        watts_of=AGX_ORIN,
        hwmon=AGX_ORIN_RAILS,
        emc=(ORIN_EMC, 3199000000, CACTMON, 95970),
        engines=ORIN_ENGINES,
        powered=DLA_POWER,
        fan=(64, 2140),
        events=(0, 0, 37),
        extra={
            "sys/class/devfreq/15340000.vic/cur_freq": "115200000\n",
            "sys/class/devfreq/154c0000.nvenc/cur_freq": "166000000\n",
        },
        conf="agx-orin-devkit",
        mode=0,
    ),
    Machine(
        "agx orin, R39.2",
        trees.tree("agx orin 64gb, JetPack 7.2"),
        clusters=(4, 4, 4),
        cpu_khz=2201600,
        gpu=("17000000.gpu", 1300500000),
        load=("sys/devices/platform/bus@0/17000000.gpu/load", 120),
        zones=ORIN_ZONES,
        watts=AGX_ORIN_WATTS,
        watts_of=AGX_ORIN,
        hwmon=AGX_ORIN_RAILS,
        emc=(ORIN_EMC, 3199000000, CACTMON, 95970),
        bpmp=(("nafll_dla0_core", 1369600000), ("nafll_dla1_core", 0)),
        fan=(80, None),
        conf="agx-orin-devkit",
        mode=3,
    ),
    Machine(
        "orin nx, R35.5",
        trees.tree("orin nx 16gb, JetPack 5.1.3"),
        clusters=(4, 4),
        cpu_khz=1420800,
        offline=4,
        gpu=("17000000.ga10b", 612000000),
        load=("sys/devices/17000000.ga10b/load", 999),
        zones=(("CPU-therm", 48000), ("GPU-therm", 46500), ("CV0-therm", 45000)),
        watts=4.984 * 1.856,
        watts_of=("VDD_IN",),
        hwmon=(
            (
                "ina3221",
                (("VDD_IN", 4984, 1856), ("VDD_CPU_GPU_CV", 4984, 800), ("VDD_SOC", 4984, 320)),
            ),
        ),
        emc=(ORIN_EMC, 2133000000, DEBUG + "actmon_avg_activity/mc_all", 426600),
        engines=ORIN_ENGINES[:4],
        fan=(0, 0),
        conf="orin-nx-16gb",
        mode=2,
    ),
    Machine(
        "orin nano super, R36.4.3",
        trees.tree("orin nano 8gb devkit super"),
        clusters=(4, 2),
        cpu_khz=1728000,
        gpu=("17000000.gpu", 1020000000),
        load=("sys/devices/platform/gpu.0/load", 0),
        zones=ORIN_ZONES,
        watts=5.072 * 1.1,
        watts_of=("VDD_IN",),
        hwmon=(
            (
                "ina3221",
                (("VDD_IN", 5072, 1100), ("VDD_CPU_GPU_CV", 5072, 200), ("VDD_SOC", 5072, 280)),
            ),
        ),
        emc=(ORIN_EMC, 2133000000, CACTMON, 0),
        engines=ORIN_ENGINES[3:],
        fan=(91, 1200),
        cooling=(("pwm-fan", 1), ("cpu-throttle-alert", 1), ("hot-surface-alert", 1)),
        events=(0, 0, 27390),
        conf="orin-nano-super",
        mode=2,
    ),
    Machine(
        "thor, R38.4",
        trees.tree("agx thor devkit"),
        clusters=(14,),
        cpu_khz=972000,
        gpu=("gpu-gpc-0", 314000000),
        load=None,
        zones=(("cpu-thermal", 37343), ("gpu-thermal", 38875), ("soc012-thermal", 37468)),
        watts=11.98 * 1.651,
        watts_of=("VIN",),
        hwmon=(
            (
                "ina3221",
                (
                    ("VDD_GPU", 11980, 164),
                    ("VDD_CPU_SOC_MSS", 11980, 491),
                    ("VIN_SYS_5V0", 11980, 470),
                ),
            ),
            ("ina238", (("VIN", 11980, 1651),)),
        ),
        emc=("sys/class/devfreq/bwmgr/cur_freq", 2750000000, "", 0),
        fan=(70, 1500),
        conf="thor",
        mode=1,
    ),
    Machine(
        "agx xavier, R35.5",
        trees.tree("agx xavier 32gb"),
        clusters=(2, 2, 2, 2),
        cpu_khz=2265600,
        gpu=("17000000.gv11b", 318750000),
        load=("sys/devices/17000000.gv11b/load", 50),
        zones=(("CPU-therm", 27500), ("GPU-therm", 28000), ("PMIC-Die", 100000)),
        watts=0.069 * 16.744 + 0.023 * 16.744 + 0.15 * 16.696 + 0.012 * 16.744 + 0.56 * 4.808,
        watts_of=("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
        hwmon=(
            ("ina3221", (("GPU", 16744, 69), ("CPU", 16744, 23), ("SOC", 16696, 150))),
            ("ina3221", (("CV", 16744, 0), ("VDDRQ", 16744, 12), ("SYS5V", 4808, 560))),
        ),
        emc=(ORIN_EMC, 2133000000, DEBUG + "actmon_avg_activity/mc_all", 21330),
        bpmp=(("nafll_dla", 1395200000),),
        conf="agx-xavier",
        mode=3,
    ),
    Machine(
        "tx2, R32.7",
        trees.tree("tx2 devkit"),
        clusters=(2, 4),
        cpu_khz=345600,
        gpu=("17000000.gp10b", 140250000),
        load=("sys/devices/gpu.0/load", 0),
        zones=(("BCPU-therm", 30000), ("GPU-therm", 28000), ("Tboard_tegra", 26000)),
        watts=1.383,
        watts_of=("VDD_IN",),
        iio=(("VDD_SYS_GPU", 19000, 4), ("VDD_SYS_SOC", 19000, 20), ("VDD_IN", 19000, 73)),
        emc=(ORIN_EMC, 665600000, DEBUG + "actmon_avg_activity/mc_all", 6656),
        conf="tx2",
        mode=3,
        extra={"sys/devices/pwm-fan/target_pwm": "120\n"},
    ),
    Machine(
        "nano, R32.7",
        trees.tree("nano devkit"),
        clusters=(4,),
        cpu_khz=102000,
        gpu=("57000000.gpu", 76800000),
        load=("sys/devices/57000000.gpu/load", 12),
        zones=(("CPU-therm", 23500), ("GPU-therm", 22500), ("PMIC-Die", 50000)),
        watts=0.933,
        watts_of=("POM_5V_IN",),
        iio=(("POM_5V_IN", 5000, 186), ("POM_5V_GPU", 5000, 0), ("POM_5V_CPU", 5000, 17)),
        emc=(DEBUG + "clk/emc/clk_rate", 204000000, DEBUG + "actmon_avg_activity/mc_all", 6120),
        conf="nano",
        mode=0,
    ),
)


def machine(name: str) -> Machine:
    """The machine whose name begins so."""
    return next(machine for machine in MACHINES if machine.name.startswith(name))


def plant(machine: Machine, root: Path, *, debugfs: bool = True) -> Path:
    """Write the machine's files below `root`; debugfs as root sees it, or none."""
    trees.plant(machine.tree, root)
    meminfo = root / "proc/meminfo"
    kb = machine.tree.memory_kb
    meminfo.write_text(
        f"MemTotal:       {kb} kB\nMemFree:        {kb // 4} kB\nMemAvailable:   {kb // 2} kB\n"
        f"Buffers:        {kb // 8} kB\nCached:         {kb // 8} kB\nSwapCached:     0 kB\n"
        "SwapTotal:      4000 kB\nSwapFree:       3000 kB\n"
    )
    for path, text in _files(machine).items():
        if debugfs or not path.startswith(DEBUG):
            write(root, path, text)
    return root


def write(root: Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def cpu_times(online: list[int], busy: int, idle: int) -> str:
    """Text of `/proc/stat` in which every core that is online worked so many ticks."""
    line = f" {busy} 0 0 {idle} 0 0 0 0 0 0\n"
    cores = "".join(f"cpu{n}{line}" for n in online)
    return f"cpu {line}{cores}intr 12345 0 0 1\nctxt 99\nbtime 1700000000\n"


def _files(m: Machine) -> dict[str, str]:
    online = list(range(m.cores - m.offline))
    files = {"proc/stat": cpu_times(online, 100, 900), "proc/uptime": "3605.12 20000.00\n"}
    for n in range(m.cores):
        folder = f"sys/devices/system/cpu/cpu{n}"
        files[f"{folder}/online"] = f"{int(n in online)}\n"
        if n in online:
            files[f"{folder}/cpufreq/scaling_cur_freq"] = f"{m.cpu_khz}\n"
            files[f"{folder}/cpufreq/scaling_min_freq"] = "115200\n"
            files[f"{folder}/cpufreq/scaling_max_freq"] = f"{m.cpu_khz}\n"
    if m.gpu:
        name, hz = m.gpu
        for kind, value in (("cur", hz), ("min", 76800000), ("max", hz)):
            files[f"sys/class/devfreq/{name}/{kind}_freq"] = f"{value}\n"
    if m.load:
        files[m.load[0]] = f"{m.load[1]}\n"
    for n, (name, value) in enumerate(m.zones):
        folder = f"sys/devices/virtual/thermal/thermal_zone{n}"
        files |= {f"{folder}/type": f"{name}\n", f"{folder}/temp": f"{value}\n"}
    for n, (name, value) in enumerate(m.cooling):
        folder = f"sys/class/thermal/cooling_device{n}"
        files |= {f"{folder}/type": f"{name}\n", f"{folder}/cur_state": f"{value}\n"}
        files[f"{folder}/max_state"] = "4\n"
    return files | _power(m) | _clocks(m) | _fan(m) | _modes(m) | m.extra


def _power(m: Machine) -> dict[str, str]:
    files: dict[str, str] = {}
    for i, (chip, channels) in enumerate(m.hwmon):
        folder = f"sys/bus/i2c/devices/1-004{i}/hwmon/hwmon{i + 3}"
        files[f"{folder}/name"] = f"{chip}\n"
        for n, (label, millivolts, milliamps) in enumerate(channels, 1):
            if chip == "ina3221":  # the driver of the other has no labels
                files[f"{folder}/in{n}_label"] = f"{label}\n"
            files[f"{folder}/in{n}_input"] = f"{millivolts}\n"
            files[f"{folder}/curr{n}_input"] = f"{milliamps}\n"
            files[f"{folder}/curr{n}_crit_alarm"] = "0\n"
            files[f"{folder}/curr{n}_max_alarm"] = "0\n"
            if chip == "ina3221":
                files[f"{folder}/shunt{n}_resistor"] = f"{SHUNT}\n"
        # The sum of the shunts is no rail.
        files |= {f"{folder}/in7_label": "sum of shunt voltages\n", f"{folder}/in7_input": "9\n"}
    for n, (label, millivolts, milliamps) in enumerate(m.iio):
        folder = "sys/bus/i2c/drivers/ina3221x/0-0041/iio:device1"
        files[f"{folder}/rail_name_{n}"] = f"{label}\n"
        files[f"{folder}/in_voltage{n}_input"] = f"{millivolts}\n"
        files[f"{folder}/in_current{n}_input"] = f"{milliamps}\n"
        power = round(m.watts * 1000) if label in m.watts_of else millivolts * milliamps // 1000
        files[f"{folder}/in_power{n}_input"] = f"{power}\n"
    return files


def _clocks(m: Machine) -> dict[str, str]:
    files: dict[str, str] = {}
    if m.emc:
        path, hz, busy, kilohertz = m.emc
        files[path] = f"{hz}\n"
        if busy:
            files[busy] = f"{kilohertz}\n"
        if path.endswith("/rate"):
            files[path.replace("/rate", "/max_rate")] = f"{hz}\n"
            files[path.replace("/rate", "/mrq_rate_locked")] = "0\n"
    for name, hz, users in m.engines:
        files[f"{DEBUG}clk/{name}/clk_rate"] = f"{hz}\n"
        files[f"{DEBUG}clk/{name}/clk_enable_count"] = f"{users}\n"
    for name, state, milliseconds in m.powered:
        folder = f"sys/bus/platform/devices/{name}/power"
        files[f"{folder}/runtime_status"] = f"{state}\n"
        files[f"{folder}/runtime_active_time"] = f"{milliseconds}\n"
    for name, hz in m.bpmp:
        files[f"{DEBUG}bpmp/debug/clk/{name}/rate"] = f"{hz}\n"
    return files


def _fan(m: Machine) -> dict[str, str]:
    files: dict[str, str] = {}
    if m.fan:
        pwm, rpm = m.fan
        files |= {"sys/class/hwmon/hwmon0/name": "pwmfan\n"}
        files["sys/class/hwmon/hwmon0/pwm1"] = f"{pwm}\n"
        if rpm is not None:  # a device of its own
            files |= {"sys/class/hwmon/hwmon1/name": "pwm_tach\n"}
            files["sys/class/hwmon/hwmon1/rpm"] = f"{rpm}\n"
    for n, count in enumerate(m.events or (), 1):
        files[f"sys/class/hwmon/hwmon2/oc{n}_event_cnt"] = f"{count}\n"
    return files


def _modes(m: Machine) -> dict[str, str]:
    files: dict[str, str] = {}
    if m.conf:
        files["etc/nvpmodel.conf"] = CONFS[m.conf]
    if m.mode is not None:
        files["var/lib/nvpmodel/status"] = f"pmode:{m.mode:04} fmode:quiet\n"
    return files
