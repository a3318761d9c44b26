# SPDX-License-Identifier: Apache-2.0
"""A table of what was seen on the arm64 machine, at the end of the run."""

from __future__ import annotations

import platform

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        (outcome, report)
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call" or outcome == "error"
    ]
    if platform.machine() != "aarch64" or not reports:
        return
    terminalreporter.section(f"{platform.machine()}, Python {platform.python_version()}")
    seen: dict[str, list[tuple[str, pytest.TestReport]]] = {}
    for outcome, report in reports:
        file, _, name = report.nodeid.partition("::")
        row = name.partition("[")[0] if "tests/aarch64/" in file else file
        seen.setdefault(row, []).append((outcome, report))
    for row, rows in seen.items():
        good = sum(outcome == "passed" for outcome, _ in rows)
        seconds = sum(report.duration for _, report in rows)
        terminalreporter.write_line(f"{row:50} {good:3} of {len(rows):2} {seconds:6.1f} s")
