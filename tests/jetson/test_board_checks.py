# SPDX-License-Identifier: Apache-2.0
"""What `doctor` says of the state of a board."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_trt_jetson.board_checks import check_board_state
from edge_trt_jetson.checks import Check
from tests.jetson import trees
from tests.jetson.telemetry_trees import MACHINES, Machine, machine, plant


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_state_of_a_board(machine: Machine, tmp_path: Path) -> None:
    found = by_name(check_board_state(plant(machine, tmp_path)))
    names = ("memory", "power mode", "clocks", "power sensors")
    assert {name: found[name].status for name in names} == dict.fromkeys(names, "ok")
    assert f"{machine.watts:.1f} W ({' + '.join(machine.watts_of)})" in found["power sensors"].found
    assert found["clocks"].found.startswith("floating (cpu: floating up to")
    assert f"(id {machine.mode})" in found["power mode"].found


def test_throttling_is_a_finding(tmp_path: Path) -> None:
    found = by_name(check_board_state(plant(machine("orin nano super"), tmp_path)))
    assert found["throttling"].found == "cpu-throttle-alert slows down: step 1 of 4."
    assert found["throttling"].fix
    assert "throttling" not in by_name(check_board_state(plant(machine("orin nx"), tmp_path / "b")))


def test_container_without_the_boards_files(tmp_path: Path) -> None:
    """Everything that can't be read says why and what to do."""
    found = check_board_state(trees.plant(trees.tree("orin nano devkit super"), tmp_path))
    assert {check.status for check in found} == {"missing"}
    assert by_name(found)["power sensors"].found == "no power monitor here"
    assert all(check.fix for check in found)
