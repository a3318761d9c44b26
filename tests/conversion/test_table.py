# SPDX-License-Identifier: Apache-2.0
"""The operator table in the documentation is the one that the registry gives."""

from __future__ import annotations

from pathlib import Path

from edge_trt.conversion.registry import CONVERTERS
from edge_trt.conversion.table import render

DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_documentation_is_up_to_date():
    wanted = "run: python -m edge_trt.conversion.table > docs/operators.md"
    assert DOCUMENT.read_text() == render(), wanted


def test_every_operator_and_condition_is_listed():
    text = render()
    for target, entry in CONVERTERS.items():
        assert target.__name__.split(".")[0] in text
        assert entry.note in text
