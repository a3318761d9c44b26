# SPDX-License-Identifier: Apache-2.0
"""nvpmodel.conf of several boards, written from published tables of modes (not copied).

A row: id, name, cores that are online, cap of the GPU in MHz (-1: none), of DLA0 in MHz (0: the
file has no DLA), mask of the TPCs that lose their power. TPC masks are made up; that they differ
where the number of TPCs does is what matters.
"""

from __future__ import annotations

Row = tuple[int, str, int, float, float, int]


def conf(cores: int, cluster: str, default: int, rows: tuple[Row, ...]) -> str:
    """Text of the file: definitions with the words of the modes, then modes, then the rest."""
    text = (
        "# nvpmodel configuration\n"
        "< PARAM TYPE=FILE NAME=CPU_ONLINE >\n"
        "CORE_1 /sys/devices/system/cpu/cpu1/online\n"
        "< PARAM TYPE=CLOCK NAME=GPU >\n"
        "FREQ_TABLE /sys/devices/17000000.ga10b/devfreq/17000000.ga10b/available_frequencies\n"
        "MAX_FREQ /sys/devices/17000000.ga10b/devfreq/17000000.ga10b/max_freq\n\n"
    )
    for number, name, online, gpu, dla, mask in rows:
        text += f"< POWER_MODEL ID={number} NAME={name} >\n"
        text += "".join(f"CPU_ONLINE CORE_{n} {int(n < online)}\n" for n in range(1, cores))
        text = text.replace(f"NAME={name} >\nCPU", f"NAME={name} >\nCPU_ONLINE CORE_0 1\nCPU")
        text += f"TPC_POWER_GATING TPC_PG_MASK {mask}\n"
        text += f"{cluster}_0 MIN_FREQ 729600\n{cluster}_0 MAX_FREQ {-1 if gpu < 0 else 1728000}\n"
        text += f"GPU MIN_FREQ 0\nGPU MAX_FREQ {_hz(gpu)}\nEMC MAX_FREQ 0\n"
        if dla:
            text += f"DLA0_CORE MAX_FREQ {_hz(dla)}\nDLA1_CORE MAX_FREQ {_hz(dla)}\n"
        text += "\n"
    return text + f"< PM_CONFIG DEFAULT={default} >\n< FAN_CONFIG DEFAULT=quiet >\n"


def _hz(megahertz: float) -> int:
    return -1 if megahertz < 0 else round(megahertz * 1_000_000)


CONFS = {
    "agx-orin-devkit": conf(
        12,
        "CPU_A78",
        2,
        (
            (0, "MAXN", 12, -1, -1, 0),
            (1, "MODE_15W", 4, 408, 614.4, 252),
            (2, "MODE_30W", 8, 612, 1369.6, 240),
            (3, "MODE_50W", 12, 816, 1369.6, 0),
        ),
    ),
    "orin-nx-16gb": conf(
        8,
        "CPU_A78",
        2,
        (
            (0, "MAXN", 8, -1, -1, 0),
            (1, "10W", 4, 612, 153.6, 12),
            (2, "15W", 4, 612, 614.4, 0),
            (3, "25W", 8, 408, 614.4, 0),
        ),
    ),
    "orin-nano-super": conf(
        6,
        "CPU_A78",
        1,
        (
            (0, "15W", 6, 612, 0, 0),
            (1, "25W", 6, 918, 0, 0),
            (2, "MAXN_SUPER", 6, -1, 0, 0),
            (3, "7W", 4, 408, 0, 0),
        ),
    ),
    "orin-nano": conf(6, "CPU_A78", 0, ((0, "15W", 6, 624.75, 0, 0), (1, "7W", 4, 408, 0, 0))),
    "thor": conf(
        14,
        "CPU_V3AE",
        1,
        (
            (0, "MAXN", 14, -1, 0, 64),
            (1, "120W", 14, 1386, 0, 64),
            (2, "90W", 12, 1530, 0, 15873),
            (3, "70W", 12, 1530, 0, 15873),
        ),
    ),
    "agx-xavier": conf(
        8,
        "CPU_CARMEL",
        2,
        (
            (0, "MAXN", 8, -1, -1, 0),
            (1, "MODE_10W", 2, 520, 550, 12),
            (2, "MODE_15W", 4, 670, 750, 1),
            (3, "MODE_30W_ALL", 8, 900, 1050, 1),
            (4, "MODE_30W_6CORE", 6, 900, 1050, 1),
            (5, "MODE_30W_4CORE", 4, 900, 1050, 1),
            (6, "MODE_30W_2CORE", 2, 900, 1050, 1),
        ),
    ),
    "xavier-nx": conf(
        6,
        "CPU_CARMEL",
        2,
        (
            (0, "MODE_15W_2CORE", 2, 1109, 1100, 0),
            (1, "MODE_15W_4CORE", 4, 1109, 1100, 0),
            (2, "MODE_15W_6CORE", 6, 1109, 1100, 0),
            (5, "MODE_10W_DESKTOP", 4, 510, 0, 0),
            (7, "MODE_20W_4CORE", 4, 1109, 1100, 0),
            (8, "MODE_20W_6CORE", 6, 1109, 1100, 0),
        ),
    ),
    "tx2": conf(
        6,
        "CPU_A57",
        3,
        (
            (0, "MAXN", 6, -1, 0, 0),
            (1, "MAXQ", 4, 850, 0, 0),
            (2, "MAXP_CORE_ALL", 6, 1120, 0, 0),
            (3, "MAXP_CORE_ARM", 4, 1120, 0, 0),
            (4, "MAXP_CORE_DENVER", 2, 1120, 0, 0),
        ),
    ),
    "nano": conf(4, "CPU_A57", 0, ((0, "MAXN", 4, -1, 0, 0), (1, "5W", 2, 640, 0, 0))),
}
