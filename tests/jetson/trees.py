# SPDX-License-Identifier: Apache-2.0
"""File trees of Jetsons, written from the documented formats (not copied from devices).

Each is the few files that detection reads: `plant` writes them below a directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tree:
    """One machine: what its files say, and what must be concluded."""

    name: str
    board: str | None
    jetpack: str
    model: str = ""
    compatible: tuple[str, ...] = ()
    release: str = ""  # text of /etc/nv_tegra_release
    package: str = ""  # version of nvidia-l4t-core
    boot_control: str = ""
    eeprom: tuple[int, str] | None = None  # bus, 699-level part number
    memory_kb: int = 0
    warning: str = ""  # part of a warning that must appear; none may appear if empty


def release(major: int, revision: str, board: str = "generic") -> str:
    return (
        f"# R{major} (release), REVISION: {revision}, GCID: 41062509, BOARD: {board}, "
        "EABI: aarch64, DATE: Mon Jun 16 16:07:13 UTC 2025\n"
    )


TREES = (
    Tree(
        "nano devkit, JetPack 4.6.1",
        board="nano-4gb",
        jetpack="4.6.1",
        model="NVIDIA Jetson Nano Developer Kit",
        compatible=(
            "nvidia,p3449-0000-b00+p3448-0000-b00",
            "nvidia,jetson-nano",
            "nvidia,tegra210",
        ),
        release=release(32, "7.1", "t210ref"),
        memory_kb=4059712,
    ),
    Tree(
        "xavier nx devkit, JetPack 5.1.2",
        board="xavier-nx-8gb",
        jetpack="5.1.2",
        model="NVIDIA Jetson Xavier NX Developer Kit",
        compatible=("nvidia,p3509-0000+p3668-0000", "nvidia,p3668-0000", "nvidia,tegra194"),
        release=release(35, "4.1", "t186ref"),
        memory_kb=7028340,
    ),
    Tree(
        "agx xavier 32gb, by EEPROM",
        board="agx-xavier-32gb",
        jetpack="5.1.3",
        model="Jetson-AGX",
        compatible=("nvidia,p2972-0000", "nvidia,tegra194"),
        release=release(35, "5.0"),
        eeprom=(0, "699-82888-0004-400 M.0"),
        memory_kb=32500000,
    ),
    Tree(
        "agx orin 64gb devkit, JetPack 6.2.1",
        board="agx-orin-64gb",
        jetpack="6.2.1",
        model="NVIDIA Jetson AGX Orin Developer Kit",
        compatible=("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
        release=release(36, "4.4"),
        boot_control="TNSPEC 3701-500-0005-A.0-1-1-jetson-agx-orin-devkit-\n"
        "COMPATIBLE_SPEC 3701-300-0005--1--jetson-agx-orin-devkit-\nTEGRA_CHIPID 0x23\n",
        memory_kb=64350000,
    ),
    Tree(
        "orin nano devkit super, container without release file",
        board="orin-nano-8gb",
        jetpack="6.2.2",
        model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        compatible=("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
        package="36.5.0-20260116003208",
        memory_kb=7802000,
    ),
    Tree(
        "orin nx 16gb flashed as orin nano",
        board="orin-nx-16gb",
        jetpack="6.2",
        model="NVIDIA Jetson Orin Nano Developer Kit",
        compatible=("nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234"),
        release=release(36, "4.3"),
        boot_control="TNSPEC 3767-300-0005-N.2-1-1-jetson-orin-nano-devkit-\n",
        eeprom=(0, "699-13767-0000-301 G.1"),
        memory_kb=15900000,
        warning="the module EEPROM, trusted more, says orin-nx-16gb",
    ),
    Tree(
        "orin nx 8gb on a renamed carrier, unlisted point release",
        board="orin-nx-8gb",
        jetpack="6",
        model="Vendor Vision Box 3000",
        compatible=("vendor,visionbox", "nvidia,p3767-0001", "nvidia,tegra234"),
        release=release(36, "4.9"),
        memory_kb=7900000,
        warning="L4T 36.4.9 is not in the table",
    ),
    Tree(
        "agx orin whose device tree names the first devkit, 64 GB fitted",
        board="agx-orin-64gb",
        jetpack="5.1.1",
        model="NVIDIA Jetson AGX Orin Developer Kit",
        compatible=("nvidia,p3737-0000+p3701-0000", "nvidia,p3701-0000", "nvidia,tegra234"),
        release=release(35, "3.1"),
        memory_kb=64300000,
        warning="61.3 GiB",
    ),
    Tree(
        "agx thor devkit, JetPack 7.1",
        board="thor-t5000",
        jetpack="7.1",
        model="NVIDIA Jetson AGX Thor Developer Kit",
        compatible=("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
        release=release(38, "4.0"),
        memory_kb=128800000,
    ),
    Tree(
        "thor with the model text alone, told by memory",
        board="thor-t4000",
        jetpack="7.2.1",
        model="NVIDIA Jetson AGX Thor Developer Kit",
        compatible=("nvidia,tegra264",),
        release=release(39, "2.1"),
        memory_kb=64000000,
    ),
    Tree(
        "tegra234 of a carrier without any part number",
        board=None,
        jetpack="6.2.1",
        model="Vendor Box",
        compatible=("vendor,box", "nvidia,tegra234"),
        release=release(36, "4.7"),
        memory_kb=7900000,
        warning="possible: orin-nano-8gb, orin-nx-8gb",
    ),
    Tree(
        "tx2 devkit, JetPack 4.6.1",
        board="tx2",
        jetpack="4.6.1",
        model="quill",
        compatible=("nvidia,p2597-0000+p3310-1000", "nvidia,quill", "nvidia,tegra186"),
        release=release(32, "7.1", "t186ref"),
        eeprom=(7, "699-83310-1000-B00 G.0"),
        memory_kb=8042128,
    ),
    Tree(
        "orin nx 16gb, JetPack 5.1.3",
        board="orin-nx-16gb",
        jetpack="5.1.3",
        model="NVIDIA Orin NX Developer Kit",
        compatible=("nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234"),
        release=release(35, "5.0"),
        memory_kb=15900000,
    ),
    Tree(
        "orin nano 8gb devkit super, JetPack 6.2",
        board="orin-nano-8gb",
        jetpack="6.2",
        model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        compatible=("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
        release=release(36, "4.3"),
        memory_kb=7802000,
    ),
    Tree(
        "agx orin 64gb, JetPack 7.2",
        board="agx-orin-64gb",
        jetpack="7.2",
        model="NVIDIA Jetson AGX Orin Developer Kit",
        compatible=("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
        release=release(39, "2.0"),
        memory_kb=64325000,
    ),
)


def tree(name: str) -> Tree:
    """The tree whose name begins so."""
    return next(tree for tree in TREES if tree.name.startswith(name))


def plant(tree: Tree, root: Path) -> Path:
    """Write the tree's files below `root`."""

    def write(path: str, data: bytes) -> None:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    if tree.model:
        write("proc/device-tree/model", tree.model.encode() + b"\0")
    if tree.compatible:
        write("proc/device-tree/compatible", "\0".join(tree.compatible).encode() + b"\0")
    if tree.memory_kb:
        write("proc/meminfo", f"MemTotal:       {tree.memory_kb} kB\n".encode())
    if tree.release:
        write("etc/nv_tegra_release", tree.release.encode())
    if tree.package:
        status = (
            "Package: libc6\nVersion: 2.35\n\n"
            f"Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: {tree.package}\n"
        )
        write("var/lib/dpkg/status", status.encode())
    if tree.boot_control:
        write("etc/nv_boot_control.conf", tree.boot_control.encode())
    if tree.eeprom:
        bus, part = tree.eeprom
        image = bytes(20) + part.encode().ljust(29, b"\0") + bytes(207)
        write(f"sys/bus/i2c/devices/{bus}-0050/eeprom", image)
    return root
