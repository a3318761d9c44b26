# SPDX-License-Identifier: Apache-2.0
"""How a placement is shown: tables that fit a terminal, regions of layers, and JSON."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import pytest

from edge_trt.cli.placement import print_placement
from edge_trt.cli.regions import devices_by_column, with_devices
from edge_trt.options import CompileOptions
from edge_trt.placement.step import Placement
from tests.placement.test_place import classifier, normalized
from tests.precision.test_int8 import quantized

WIDTH = 120
BOARDS = ("agx-orin-64gb", "orin-nx-16gb")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def placement(**given: Any) -> dict[str, Any]:
    """That of a classifier and of a network with a normalization, for two boards."""
    base = {"target": BOARDS, "precision": "int8", "calibration": "x.npy", "dla": "auto"}
    networks = [quantized(normalized(), dense=True)] if given.pop("normalization", True) else []
    step = Placement(CompileOptions(**(base | given)))
    return step.place([*networks, quantized(classifier(depth=2), dense=True)])


def shown(monkeypatch: pytest.MonkeyPatch, told: Mapping[str, Any], **given: Any) -> list[str]:
    """The lines on a terminal of 120 columns."""
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    print_placement(told, **given)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()


@pytest.mark.parametrize("objective", ["latency", "throughput", "energy"])
def test_rows_of_figures_fit_a_terminal(monkeypatch: pytest.MonkeyPatch, objective: str) -> None:
    told = placement(dla_objective=objective)
    lines = shown(monkeypatch, told)
    assert max(map(len, lines)) <= WIDTH
    modes = [m for t in told["targets"].values() for n in t["networks"] for m in n["modes"]]
    rows = [line for line in lines if re.match(r"  (MAXN\S*|\d+W)( \(planned\))? +\w", line)]
    assert len(rows) == sum(len(mode["alternatives"]) for mode in modes)  # none goes on below
    assert not any("…" in line for line in lines)


def test_a_reason_stands_once_below_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    told = placement(target=BOARDS[0])
    text = " ".join(" ".join(shown(monkeypatch, told)).split())
    modes = told["targets"][BOARDS[0]]["networks"][0]["modes"]
    reasons = [mode["alternatives"][-1]["why"] for mode in modes]
    assert len(reasons) == 4
    assert all("layer is refused" in reason for reason in reasons)
    assert text.count(reasons[0]) == 1


def test_a_refusal_has_rule_attribute_value_and_limit(capsys: pytest.CaptureFixture[str]) -> None:
    told = placement(target=BOARDS[0])
    print_placement(told)
    out = capsys.readouterr().out
    refused = [r for n in told["targets"][BOARDS[0]]["networks"] for r in n["refused"]]
    assert refused
    for r in refused:
        cells = [r["rule"], str(r["count"]), r["attribute"], r["value"], r["limit"]]
        assert re.search(" +".join(map(re.escape, cells)), out), cells
        assert f"{r['rule']}: {r['example']}: {r['fix']}" in out


def test_layers_are_shown_by_region(capsys: pytest.CaptureFixture[str]) -> None:
    told = placement(target=BOARDS[0], normalization=False, dla_objective="throughput")
    (network,) = told["targets"][BOARDS[0]]["networks"]
    regions = network["assignment"]["regions"]
    assert [region["device"] for region in regions] == ["dla:0", "gpu"]
    first, last = regions[0]["layers"][0], regions[1]["layers"][-1]
    print_placement(told, modules={"net": {first: "stem.conv", last: "head.fc"}})
    table = re.split(r"Layers of agx-orin-64gb\s+", capsys.readouterr().out)[1].splitlines()
    rows = [" ".join(line.split()) for line in table if line.startswith("  net")]
    end, begin = regions[0]["layers"][-1], regions[1]["layers"][0]
    on_dla, on_gpu = (len(region["layers"]) for region in regions)
    assert rows[0] == f"net 1 dla:0, dla:1 {on_dla} stem.conv, activation, {end}"
    assert rows[1].startswith(f"net 1 gpu {on_gpu} {begin}")
    assert rows[1].endswith(" head.fc")


def many(placement: dict[str, Any], count: int) -> dict[str, Any]:
    """With regions of a layer each."""
    entry = placement["targets"][BOARDS[0]]["networks"][0]
    regions = [{"device": ("gpu", "dla:0")[n % 2], "layers": [f"l{n}"]} for n in range(count)]
    entry["assignment"]["regions"] = regions
    return placement


@pytest.mark.parametrize(("count", "all_shown"), [(12, True), (13, False)])
def test_a_build_shows_few_regions_and_names_what_shows_many(
    capsys: pytest.CaptureFixture[str], count: int, all_shown: bool
) -> None:
    told = many(placement(target=BOARDS[0], normalization=False), count)
    print_placement(told, see="edge_trt inspect m.edge --placement")
    out = capsys.readouterr().out
    assert ("Layers of agx-orin-64gb: in 13 regions, which edge_trt inspect m.edge" in out) is not (
        all_shown
    )
    assert (" l11 " in out) is all_shown
    print_placement(told)
    assert f" l{count - 1} " in capsys.readouterr().out


def test_text_of_a_network_has_a_column_for_each_target() -> None:
    network = quantized(classifier(depth=2), dense=True)
    told = placement(normalization=False, dla_objective="throughput")
    lines = with_devices(network, devices_by_column(told)).splitlines()
    plain = str(network).splitlines()
    at = lines[0].index("network net(")
    assert [line[at:] for line in lines] == plain
    assert lines[0].startswith(BOARDS[0])
    assert BOARDS[1] in lines[0]
    (conv,) = (line for line in lines if " %convolution: " in line)
    assert conv.split()[:2] == ["dla:0,", "dla:1"]
    assert next(line for line in lines if " = Quantize" in line)[:at].isspace()
