# SPDX-License-Identifier: Apache-2.0
"""A metric is the same in every process, and another one after each edit that matters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edge_trt.precision.identity import identity

SOURCE = """
import functools

HELD_OUT = [1, 2]

def helper(x):
    return x + 1

def metric(run, scale=1.0):
    rows = [value.argmax(1) for value in run(HELD_OUT) if value in {"a", "b", "c"}]
    return scale * helper(max(rows, key=lambda row: row.mean()))

class Metric:
    def __init__(self, limit):
        self.limit = limit

    def rate(self, run):
        return run(self.limit).argmax(1)

    def __call__(self, run):
        return self.rate(run)

def closed(limit):
    return lambda run: run(limit)

part = functools.partial(metric, scale=2.0)
called = Metric(3)
bound = called.rate
inner = closed(3)
"""

NAMES = ("metric", "part", "called", "bound", "inner")


def _module(source: str) -> Any:
    module = ModuleType("metrics")
    code = compile(source, "metrics.py", "exec", dont_inherit=True)
    exec(code, vars(module))
    return module


def _all(module: Any) -> list[str]:
    return [identity(getattr(module, name)) for name in NAMES]


def test_it_is_the_same_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "metrics.py").write_text(SOURCE)
    script = (
        "import sys, metrics; from edge_trt.precision.identity import identity;"
        "print(*(identity(getattr(metrics, n)) for n in sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *NAMES]
    runs = [
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert runs[0] == runs[1] == _all(_module(SOURCE))
    assert len(set(runs[0])) == len(NAMES)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("value.argmax(1)", "value.argmin(1)", {"metric", "part"}),
        ("row.mean()", "row.max()", {"metric", "part"}),
        ('"c"}', '"d"}', {"metric", "part"}),
        ("x + 1", "x + 2", {"metric", "part"}),
        ("[1, 2]", "[1, 3]", {"metric", "part"}),
        ("scale=1.0", "scale=1.5", {"metric", "part"}),
        ("scale=2.0", "scale=3.0", {"part"}),
        ("Metric(3)", "Metric(4)", {"called", "bound"}),
        ("limit).argmax", "limit).argmin", {"called", "bound"}),
        ("closed(3)", "closed(4)", {"inner"}),
        ("\ndef closed", "\n\n# a remark\ndef closed", set[str]()),
    ],
)
def test_an_edit_makes_another_one(old: str, new: str, changed: set[str]) -> None:
    assert old in SOURCE
    before, after = _all(_module(SOURCE)), _all(_module(SOURCE.replace(old, new)))
    found = {name for name, a, b in zip(NAMES, before, after, strict=True) if a != b}
    assert found == changed
