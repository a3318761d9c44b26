# SPDX-License-Identifier: Apache-2.0
"""Which Jetson a file system tree belongs to.

Names on the device follow what was flashed, not what is soldered: a 16 GB Orin NX can boot calling
itself Orin Nano, and carrier vendors rename boards. So the evidence is ranked: the module's EEPROM,
then the flashing record, then the device tree's part numbers, then its model text with the size of
the memory. What contradicts the winner is reported, never dropped.

Everything is read below a root path, so that recorded trees can be examined on any machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_trt_jetson import boards, versions
from edge_trt_jetson.boards import Board
from edge_trt_jetson.versions import Release

# EEPROM address 0x50 on these buses; the 699-level part number is 29 bytes from offset 20.
EEPROM_BUSES = (0, 1, 2, 7)
EEPROM_PART = slice(20, 49)

# The model text names the family; the longest text that is contained in it wins.
FAMILY_OF_MODEL = {
    "Jetson Nano": "nano",
    "Jetson TX1": "tx1",
    "Jetson TX2": "tx2",
    "Jetson TX2 NX": "tx2-nx",
    "Jetson Xavier NX": "xavier-nx",
    "Jetson-AGX": "agx-xavier",
    "AGX Xavier": "agx-xavier",
    "Orin Nano": "orin-nano",
    "Orin NX": "orin-nx",
    "AGX Orin": "agx-orin",
    "IGX Orin": "igx-orin",
    "AGX Thor": "thor",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A part number and where it was read."""

    source: str
    part: str

    @property
    def board(self) -> Board | None:
        """The board with that part number, if it is known."""
        return boards.find_module(self.part)


@dataclass(frozen=True, slots=True)
class Detection:
    """What a tree says about its machine.

    Attributes:
        board: The board, or None if it is not known or several are possible.
        candidates: Boards that fit; more than one if the tree does not say enough.
        evidence: Part numbers found, the most trusted first.
        model: Text of the device tree's `model`.
        soc: Chip, such as `tegra234`; empty if unknown.
        memory_gb: Memory that Linux sees, in GiB; 0 if unknown.
        l4t: L4T release number; empty if unknown.
        release: What that release ships, if it is known.
        warnings: Contradictions and missing pieces, one sentence each.
    """

    board: Board | None
    candidates: tuple[Board, ...]
    evidence: tuple[Evidence, ...]
    model: str
    soc: str
    memory_gb: float
    l4t: str
    release: Release | None
    warnings: tuple[str, ...]


def detect(root: str | Path = "/") -> Detection | None:
    """Identify the Jetson whose file system is at `root`.

    Args:
        root: The running system's `/`, or a directory with copies of `etc`, `proc/device-tree`,
            `proc/meminfo`, `sys/bus/i2c` and `var/lib/dpkg`; each may be missing.

    Returns:
        What was found, or None if nothing there belongs to a Jetson.
    """
    root = Path(root)
    compatible = _strings(root / "proc/device-tree/compatible")
    soc = next(iter(re.findall(r"tegra\d{3}", " ".join(compatible))), "")
    l4t = l4t_release(root)
    evidence = _evidence(root, compatible)
    if not (soc or l4t or evidence):
        return None
    model = " ".join(_strings(root / "proc/device-tree/model"))
    memory = _memory_gb(root)
    candidates, warnings = _decide(evidence, model, soc, memory)
    board = candidates[0] if len(candidates) == 1 else None
    if board is None:
        names = ", ".join(b.name for b in candidates) or "none that is known"
        warnings.append(f"The board cannot be told for certain; possible: {names}.")
    release = versions.release(l4t) if l4t else None
    warnings += _release_warnings(l4t, release)
    return Detection(board, candidates, evidence, model, soc, memory, l4t, release, tuple(warnings))


def l4t_release(root: Path) -> str:
    """The L4T release number below `root`, from its release file or the package database."""
    text = _text(root / "etc/nv_tegra_release")
    found = re.search(r"R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)", text)
    if found:
        return f"{found[1]}.{found[2]}"
    # Containers and Yocto images may lack the file but have the package.
    packages = _text(root / "var/lib/dpkg/status").split("\n\n")
    core = next((p for p in packages if p.startswith("Package: nvidia-l4t-core\n")), "")
    found = re.search(r"^Version: (\d+(?:\.\d+)+)", core, re.MULTILINE)
    return found[1] if found else ""


def _evidence(root: Path, compatible: list[str]) -> tuple[Evidence, ...]:
    found: list[Evidence] = []
    for bus in EEPROM_BUSES:
        raw = _bytes(root / f"sys/bus/i2c/devices/{bus}-0050/eeprom")[EEPROM_PART]
        part = re.match(rb"699-\d(\d{4})-(\d{4})", raw)
        if part:
            found.append(Evidence("module EEPROM", f"p{part[1].decode()}-{part[2].decode()}"))
    record = _text(root / "etc/nv_boot_control.conf")
    # TNSPEC names the unit itself, COMPATIBLE_SPEC the variant it was flashed as.
    for key in ("TNSPEC", "COMPATIBLE_SPEC"):
        part = re.search(rf"^{key} (\d{{4}})-[^-]*-(\d{{4}})-", record, re.MULTILINE)
        if part:
            found.append(Evidence("flashing record", f"p{part[1]}-{part[2]}"))
    # Carrier boards have part numbers too: only those of modules count.
    numbers = re.findall(r"p\d{4}-\d{4}", " ".join(compatible))
    found += [Evidence("device tree", n) for n in numbers if boards.find_module(n)]
    return tuple(dict.fromkeys(found))


def _decide(
    evidence: tuple[Evidence, ...], model: str, soc: str, memory: float
) -> tuple[tuple[Board, ...], list[str]]:
    warnings: list[str] = []
    winner = next((e for e in evidence if e.board), None)
    warnings += [
        f"Part number {e.part} ({e.source}) is not known." for e in evidence if not e.board
    ]
    if winner is None or winner.board is None:
        return _by_family(model, soc, memory), warnings
    board = winner.board
    warnings += [
        f"The {e.source} says {e.board.name}; the {winner.source}, trusted more, says {board.name}."
        for e in evidence
        if e.board not in (None, board)
    ]
    if winner.source == "device tree" and memory > board.ram_gb:
        # One device tree can serve several memory sizes of a family.
        family = board.family.removesuffix("-devkit")
        larger = _fitting((b for b in boards.all_boards() if b.family == family), memory)
        warnings.append(
            f"The device tree says {board.name}, but there are {memory:.1f} GiB: judged by memory."
        )
        return larger, warnings
    return (board,), warnings


def _by_family(model: str, soc: str, memory: float) -> tuple[Board, ...]:
    named = [text for text in FAMILY_OF_MODEL if text.lower() in model.lower()]
    family = FAMILY_OF_MODEL[max(named, key=len)] if named else None
    members = tuple(
        board
        for board in boards.all_boards()
        if (board.family == family if family else bool(soc)) and (not soc or board.soc == soc)
    )
    return _fitting(members, memory) if memory else members


def _fitting(members: Iterable[Board], memory: float) -> tuple[Board, ...]:
    """The boards with the smallest memory that holds what Linux sees (firmware keeps a part)."""
    large_enough = [b for b in members if b.ram_gb >= memory]
    size = min((b.ram_gb for b in large_enough), default=0)
    return tuple(b for b in large_enough if b.ram_gb == size)


def _release_warnings(l4t: str, release: Release | None) -> list[str]:
    if not l4t:
        return [
            "The L4T release is not recorded here (no /etc/nv_tegra_release, no nvidia-l4t-core)."
        ]
    if release is None:
        return [f"L4T {l4t} is not known to this version of edge_trt_jetson."]
    if not release.exact:
        return [f"L4T {l4t} is not in the table; taken for JetPack {release.jetpack}."]
    return []


def _memory_gb(root: Path) -> float:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) / 2**20 if found else 0.0


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # absent, or readable by root only: other evidence follows
        return b""


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", "replace")


def _strings(path: Path) -> list[str]:
    """The NUL-separated strings of a device tree property."""
    return [s.strip() for s in _text(path).split("\0") if s.strip()]
