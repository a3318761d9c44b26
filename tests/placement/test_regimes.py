# SPDX-License-Identifier: Apache-2.0
"""The regime of every row of the version table, and of TensorRT versions beside it."""

from __future__ import annotations

import pytest

from edge_trt.placement.regimes import decide, of_release, planned_release
from edge_trt_jetson import boards, versions

SHIPPED = [
    # L4T, Xavier NX, Orin Nano, Orin NX 16GB, AGX Orin 64GB, Thor
    ("32.4.3", "none", "none", "none", "none", "none"),
    ("32.6.1", "none", "none", "none", "none", "none"),
    ("32.7.1", "none", "none", "none", "none", "none"),
    ("34.1.1", "none", "none", "none", "none", "none"),
    ("35.1.0", "none", "none", "none", "none", "none"),
    ("35.4.1", "none", "none", "none", "none", "none"),
    ("36.2.0", "none", "none", "none", "none", "none"),
    ("36.3.0", "none", "none", "none", "none", "none"),
    ("36.4.4", "none", "strong", "weak", "weak", "none"),
    ("36.5.0", "none", "strong", "weak", "weak", "none"),
    ("38.2.0", "none", "none", "none", "none", "strong"),
    ("38.4.0", "none", "none", "none", "none", "strong"),
    ("39.0.0", "none", "strong", "strong", "strong", "strong"),
    ("39.2.0", "none", "strong", "strong", "strong", "strong"),
    ("39.2.1", "none", "strong", "strong", "strong", "strong"),
    ("39.2.2", "none", "strong", "strong", "strong-dla", "strong"),
]
COLUMNS = ("xavier-nx-8gb", "orin-nano-8gb", "orin-nx-16gb", "agx-orin-64gb", "thor-t5000")


def board(name: str) -> boards.Board:
    found = boards.find(name)
    assert found is not None
    return found


@pytest.mark.parametrize("row", SHIPPED, ids=lambda row: row[0])
def test_what_a_release_ships(row: tuple[str, ...]) -> None:
    release = versions.release(row[0])
    assert release is not None
    assert tuple(of_release(board(name), release).regime for name in COLUMNS) == row[1:]


def test_every_line_of_the_version_table_has_a_row() -> None:
    lines = {(r.tensorrt, r.jetpack.split(".")[0]) for r in versions.known()}
    rows = [versions.release(row[0]) for row in SHIPPED]
    assert {(r.tensorrt, r.jetpack.split(".")[0]) for r in rows if r is not None} == lines


INSTALLED = [
    # board, TensorRT, L4T, offered by the board -> regime, cores, certain
    (None, "10.13.3", None, None, "strong", 0, True),
    (None, "", None, None, "none", 0, True),
    ("agx-orin-64gb", "8.6.2.3", "36.3.0", 2, "none", 0, True),
    ("agx-orin-64gb", "10.3.0.30", None, None, "weak", 2, True),
    ("agx-orin-64gb", "10.7.0", "36.4.4", None, "weak", 2, True),
    ("agx-orin-64gb", "10.8.0", "36.4.4", None, "strong", 0, True),
    ("agx-orin-64gb", "10.16.2.10", "39.2.1", 2, "strong", 0, True),
    ("agx-orin-64gb", "11.3.1", "39.2.2", None, "strong", 0, True),
    ("agx-orin-64gb", "11.4.0", "39.2.2", None, "strong", 0, True),
    ("agx-orin-64gb", "11.4.1", "39.2.1", None, "strong", 0, True),
    ("agx-orin-64gb", "11.4.1", "39.2.2", None, "strong-dla", 2, True),
    ("agx-orin-64gb", "11.5.0", None, 2, "strong-dla", 2, True),
    ("agx-orin-64gb", "10.3.0", "36.4.4", 0, "strong", 0, True),
    ("agx-orin-64gb", "10.3.0", "36.4.4", 1, "weak", 1, True),
    ("orin-nx-16gb", "11.4.1", "39.2.2", None, "strong", 0, False),
    ("orin-nx-16gb", "11.4.1", "39.2.2", 2, "strong-dla", 2, True),
    ("orin-nx-8gb", "10.3.0", None, None, "weak", 1, False),
    ("orin-nx-8gb", "10.3.0", None, 2, "weak", 1, True),
    ("orin-nano-8gb", "10.3.0", "36.4.4", 2, "strong", 0, True),
    ("thor-t5000", "11.4.1", "39.2.2", 2, "strong", 0, True),
    ("thor-t5000", "12.0.0", "40.1.0", None, "none", 0, True),
    ("agx-orin-64gb", "12.0.0", None, 2, "none", 0, True),
    (None, "12.0.0", None, None, "none", 0, True),
]


@pytest.mark.parametrize(
    ("name", "tensorrt", "l4t", "offered", "regime", "cores", "certain"), INSTALLED
)
def test_what_is_installed(
    name: str | None,
    tensorrt: str,
    l4t: str | None,
    offered: int | None,
    regime: str,
    cores: int,
    certain: bool,
) -> None:
    found = decide(board(name) if name else None, tensorrt, l4t=l4t, offered=offered)
    assert (found.regime, found.cores, found.certain) == (regime, cores, certain)
    assert found.has_dla == (regime in ("weak", "strong-dla"))
    assert len(found.reason) > 20


@pytest.mark.parametrize(
    ("name", "l4t"),
    [("agx-orin-64gb", "36.5.0"), ("orin-nx-16gb", "36.5.0"), ("igx-orin", "36.5.0")],
)
def test_a_host_plans_for_a_confirmed_release(name: str, l4t: str) -> None:
    release = planned_release(board(name))
    assert release is not None
    assert release.l4t == l4t


@pytest.mark.parametrize("name", ["orin-nano-8gb", "thor-t4000", "agx-xavier-32gb", "nano-4gb"])
def test_boards_without_dla_plan_for_none(name: str) -> None:
    assert planned_release(board(name)) is None
