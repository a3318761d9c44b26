# SPDX-License-Identifier: Apache-2.0
"""``edge_trt boards`` and ``edge_trt doctor``."""

from __future__ import annotations

import json
from pathlib import Path

from edge_trt_jetson import boards, probe
from tests.cli.conftest import Command
from tests.jetson.trees import TREES, plant


def test_boards_lists_all_with_their_certainty(edge_trt: Command) -> None:
    done = edge_trt("boards")
    assert done.status == 0
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    for board in boards.all_boards():
        assert lines[board.name].split()[-1] == ("yes" if board.supported else "no")
    assert "1 x v2?" in lines["orin-nx-8gb"]
    assert "2 x v2 " in lines["agx-orin-64gb"]


def test_boards_sources(edge_trt: Command) -> None:
    done = edge_trt("boards", "--sources")
    assert all(tag in done.out for tag in boards.sources())


def test_boards_json_is_the_data(edge_trt: Command) -> None:
    data = json.loads(edge_trt("boards", "--json").out)
    by_name = {entry["name"]: entry for entry in data["boards"]}
    assert by_name["orin-nx-8gb"]["dla_cores"] == {
        "value": 1,
        "source": "specification",
        "certain": False,
    }


def test_doctor_shows_every_check(edge_trt: Command) -> None:
    done = edge_trt("doctor")
    assert done.status == 0
    for check in probe.run():
        assert check.name in done.out


def test_doctor_on_a_recorded_board(edge_trt: Command, tmp_path: Path) -> None:
    orin = next(tree for tree in TREES if tree.name.startswith("agx orin 64gb"))
    done = edge_trt("doctor", "--root", plant(orin, tmp_path))
    assert done.status == 0
    assert "agx-orin-64gb; L4T 36.4.4, JetPack 6.2.1" in " ".join(done.out.split())


def test_doctor_fails_on_a_board_that_is_too_old(edge_trt: Command, tmp_path: Path) -> None:
    nano = next(tree for tree in TREES if tree.name.startswith("nano"))
    done = edge_trt("doctor", "--json", "--root", plant(nano, tmp_path))
    assert done.status == 1
    findings = {check["name"]: check for check in json.loads(done.out)}
    assert findings["board"]["status"] == "broken"
