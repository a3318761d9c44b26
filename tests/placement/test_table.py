# SPDX-License-Identifier: Apache-2.0
"""The page on DLA is the one that rules and rates give."""

from __future__ import annotations

from pathlib import Path

from edge_trt.placement.rule import SOURCES
from edge_trt.placement.rules import RULES, STATEMENTS
from edge_trt.placement.table import render

DOCUMENT = Path(__file__).parents[2] / "docs" / "dla.md"


def test_the_documentation_is_up_to_date() -> None:
    wanted = "run: python -m edge_trt.placement.table > docs/dla.md"
    assert DOCUMENT.read_text() == render(), wanted


def test_every_source_is_explained() -> None:
    used = {tag for rule in (*RULES, *STATEMENTS) for tag in rule.source.split()}
    assert used == set(SOURCES)


def test_the_page_says_how_a_batch_is_split() -> None:
    from edge_trt_runtime.pool.pool import Pool

    assert callable(Pool.run_batch)
    assert "run_batch(inputs)` splits a batch" in " ".join(render().split())
