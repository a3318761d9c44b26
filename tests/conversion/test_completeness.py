# SPDX-License-Identifier: Apache-2.0
"""No converter without a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_trt.conversion.registry import CONVERTERS
from tests.conversion.checking import SEEN


def test_every_overload_was_converted_by_some_row(request):
    files = {item.path.name for item in request.session.items if item.path.parent == HERE}
    if request.config.option.keyword or files != {path.name for path in HERE.glob("test_*.py")}:
        pytest.skip("counts the rows of a run of the whole folder")
    assert sorted(str(t) for t in CONVERTERS if t not in SEEN) == []


HERE = Path(__file__).parent
