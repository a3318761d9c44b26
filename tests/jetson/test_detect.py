# SPDX-License-Identifier: Apache-2.0
"""Detection on file trees written from the documented formats."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge_trt_jetson.detect import detect
from tests.jetson.trees import TREES, Tree, plant, release

ORIN_NX = next(tree for tree in TREES if tree.name.startswith("orin nx 8gb"))


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_tree_is_recognised(tree: Tree, tmp_path: Path) -> None:
    found = detect(plant(tree, tmp_path))
    assert found is not None
    assert (found.board and found.board.name) == tree.board
    assert found.release is not None
    assert found.release.jetpack == tree.jetpack
    assert found.model == tree.model
    if tree.warning:
        assert any(tree.warning in text for text in found.warnings), found.warnings
    else:
        assert found.warnings == ()


def test_no_jetson(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 16000000 kB\n")
    assert detect(tmp_path) is None


def test_other_device_tree_is_no_jetson(tmp_path: Path) -> None:
    tree = Tree(
        "raspberry", None, "", model="Raspberry Pi 5", compatible=("raspberrypi,5-model-b",)
    )
    assert detect(plant(tree, tmp_path)) is None


def test_eeprom_outranks_flashing_record_outranks_device_tree(tmp_path: Path) -> None:
    tree = dataclasses.replace(
        ORIN_NX,
        eeprom=(7, "699-13767-0004-300 A.0"),
        boot_control="TNSPEC 3767-300-0003-A.0-1-1-jetson-orin-nano-devkit-\n",
    )
    found = detect(plant(tree, tmp_path))
    assert found is not None
    assert [(e.source, e.part) for e in found.evidence] == [
        ("module EEPROM", "p3767-0004"),
        ("flashing record", "p3767-0003"),
        ("device tree", "p3767-0001"),
    ]
    assert found.board is not None
    assert found.board.name == "orin-nano-4gb"
    without = dataclasses.replace(tree, eeprom=None)
    found = detect(plant(without, tmp_path / "second"))
    assert found is not None
    assert found.board is not None
    assert found.board.name == "orin-nano-8gb"


def test_unknown_module_is_reported_and_judged_by_what_remains(tmp_path: Path) -> None:
    tree = dataclasses.replace(
        ORIN_NX, eeprom=(0, "699-13767-0099-300 A.0"), release=release(36, "5.0")
    )
    found = detect(plant(tree, tmp_path))
    assert found is not None
    assert found.board is not None
    assert found.board.name == "orin-nx-8gb"
    assert found.warnings == ("Part number p3767-0099 (module EEPROM) is not known.",)


def test_damaged_files_are_read_as_absent(tmp_path: Path) -> None:
    plant(ORIN_NX, tmp_path)
    (tmp_path / "etc/nv_tegra_release").write_bytes(b"\xff\xfe# R3")
    (tmp_path / "proc/meminfo").write_text("MemTot")
    found = detect(tmp_path)
    assert found is not None
    assert found.board is not None
    assert found.board.name == "orin-nx-8gb"
    assert found.l4t == ""
    assert "L4T release is not recorded" in " ".join(found.warnings)


def test_future_release_is_named(tmp_path: Path) -> None:
    tree = dataclasses.replace(ORIN_NX, release=release(41, "1.0"))
    found = detect(plant(tree, tmp_path))
    assert found is not None
    assert found.release is None
    assert any("L4T 41.1.0 is not known" in text for text in found.warnings)
