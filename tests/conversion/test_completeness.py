# SPDX-License-Identifier: Apache-2.0
"""No converter and no decomposition without a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_trt.conversion.catalogue import BY_PYTORCH, fates
from edge_trt.conversion.registry import CONVERTERS, REFUSED, lookup
from edge_trt.lowering.decompositions import DECOMPOSITIONS
from tests.conversion.checking import LOWERED, SEEN
from tests.conversion.test_by_pytorch import CONVERTED


def test_every_overload_was_converted_by_some_row(request):
    _needs_the_whole_folder(request)
    assert sorted(str(t) for t in CONVERTERS if t not in SEEN) == []


def test_every_decomposition_was_asked_for_by_some_row(request):
    _needs_the_whole_folder(request)
    assert sorted(str(t) for t in DECOMPOSITIONS if t not in LOWERED | CONVERTERS.keys()) == []


def test_every_operator_that_pytorch_decomposes_was_asked_for_by_some_row(request):
    _needs_the_whole_folder(request)
    seen = {str(target).rpartition(".")[0] for target in LOWERED}
    seen |= {f"aten.{row.name.partition('.')[0]}" for row in CONVERTED}
    assert [name for name, fate in fates() if fate is BY_PYTORCH and name not in seen] == []


def test_what_is_refused_has_no_converter_and_a_sentence():
    lookup(None)
    for overload, reason in REFUSED.items():
        assert overload not in CONVERTERS
        name, _, sentence = reason.partition(": ")
        assert str(overload).startswith(name)
        assert len(sentence.split()) > 4, reason


def _needs_the_whole_folder(request):
    files = {item.path.name for item in request.session.items if item.path.parent == HERE}
    if request.config.option.keyword or files != {path.name for path in HERE.glob("test_*.py")}:
        pytest.skip("counts the rows of a run of the whole folder")


HERE = Path(__file__).parent
