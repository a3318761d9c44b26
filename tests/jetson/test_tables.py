# SPDX-License-Identifier: Apache-2.0
"""The data files: complete, each value with its source and whether that confirms it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from edge_trt_jetson import tables
from edge_trt_jetson.boards import Board
from edge_trt_jetson.mode_caps import FIELDS
from edge_trt_jetson.versions import Release

FILES = sorted(path.stem for path in (tables.FOLDER / "boards").iterdir())
FACTS = {f.name for f in dataclasses.fields(Board)} - {"name", "title", "family", "facts"}
LINE = {f.name for f in dataclasses.fields(Release)} - {"l4t", "jetpack", "exact"}


def check(values: dict[str, Any], table: str) -> None:
    """Every value has these three keys and no other, and its source is described."""
    known = tables.sources(table)  # type: ignore[arg-type]
    for name, value in values.items():
        assert set(value) == {"value", "source", "certain"}, name
        assert value["source"] in known, name
        assert type(value["certain"]) is bool, name


def test_the_index_names_every_file() -> None:
    assert sorted(tables.board_names()) == FILES
    assert {path.name for path in tables.FOLDER.iterdir()} == {
        "boards", "index.toml", "versions.toml",
    }  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_board(name: str) -> None:
    raw = tables.board(name)
    assert set(raw) - {"power"} == {"title", "family", "facts"}
    assert set(raw["facts"]) == FACTS
    check(raw["facts"], "facts")


@pytest.mark.parametrize("name", [n for n in FILES if "power" in tables.board(n)])
def test_power_modes(name: str) -> None:
    power = tables.board(name)["power"]
    assert set(power) == {"default", "idle_watts", "modes"}
    assert power["modes"]
    check({key: power[key] for key in ("default", "idle_watts")}, "power")
    for mode in power["modes"]:
        assert set(mode) == {"name", *FIELDS}
        check({field: mode[field] for field in FIELDS}, "power")


@pytest.mark.parametrize("name", [n for n in FILES if "power" in tables.board(n)])
def test_what_was_seen_on_one_module_confirms_no_other(name: str) -> None:
    """Three sources are of an AGX Orin 64GB, and of its fastest mode where it is a memory clock."""
    for mode in tables.board(name)["power"]["modes"]:
        for field in FIELDS:
            value = mode[field]
            if value["source"] in ("dla-software", "tegrastats", "tegrastats-idle", "assumed"):
                fits = name == "agx-orin-64gb" and (field != "emc_mhz" or mode["name"] == "MAXN")
                assert fits or not value["certain"], (mode["name"], field)


@pytest.mark.parametrize("table", ["facts", "power"])
def test_every_source_is_one_of_something(table: str) -> None:
    used = {
        value["source"]
        for name in FILES
        for values in _tables(tables.board(name), table)
        for value in values.values()
        if isinstance(value, dict)
    }
    assert used == set(tables.sources(table))  # type: ignore[arg-type]


def _tables(raw: dict[str, Any], table: str) -> list[dict[str, Any]]:
    found = raw.get(table, {})
    return [found, *found.get("modes", [])]


def test_versions() -> None:
    raw = tables.read("versions.toml")
    assert set(raw) == {"source", "majors", "lines"}
    assert raw["source"]
    for line in raw["lines"]:
        assert set(line) == LINE | {"releases"}
        assert set(line["unsure"]) <= set(line)
        assert {release.split(".")[0] for release in line["releases"]} <= set(raw["majors"])


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("boards, mode_caps, versions, detect", set[str]()),
        ("boards; boards.find('agx-orin-64gb')", {"index.toml", "boards/agx-orin-64gb.toml"}),
        ("boards; boards.find('cuda')", {"index.toml"}),
        ("mode_caps; mode_caps.caps_of('orin-nx-8gb')", {"index.toml", "boards/orin-nx-8gb.toml"}),
        ("versions; versions.release('36.4.4')", {"versions.toml"}),
        ("boards; boards.find_module('p3767-0001')", {"index.toml", "boards/orin-nx-8gb.toml"}),
    ],
)
def test_only_what_is_needed_is_parsed(code: str, read: set[str]) -> None:
    script = (
        "from edge_trt_jetson import tables\n"
        "parsed, read = [], tables.read\n"
        "tables.read = lambda name: (parsed.append(name), read(name))[1]\n"
        f"from edge_trt_jetson import {code}\n"
        "print(*parsed)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(read)  # each of them once
