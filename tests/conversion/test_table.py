# SPDX-License-Identifier: Apache-2.0
"""The operator table in the documentation is the one that the registry gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edge_trt.conversion.catalogue import FALLBACK, NAMES, fates
from edge_trt.conversion.registry import CONVERTERS
from edge_trt.conversion.table import render

DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"


@pytest.mark.skipif("not torch.__version__.startswith('2.13.')", reason="lists PyTorch 2.13")
def test_the_documentation_is_up_to_date():
    wanted = "run: python -m edge_trt.conversion.table > docs/operators.md"
    assert DOCUMENT.read_text() == render(), wanted


@pytest.mark.skipif("not torch.__version__.startswith('2.13.')", reason="lists PyTorch 2.13")
def test_every_operator_that_falls_back_has_a_reason():
    assert [name for name, fate in fates() if fate is FALLBACK] == []


def test_every_operator_and_condition_is_listed():
    text = render()
    for target, entry in CONVERTERS.items():
        assert target.__name__.split(".")[0] in text
        assert entry.note in text


def test_what_another_name_stands_for_has_a_row():
    text = render()
    for name, targets in NAMES.items():
        assert f"`{name}` |" in text
        for target in targets:
            assert text.count(f"`{target}`") > 1, target


def test_the_fate_of_every_operator_of_aten():
    found = dict(fates())
    assert len(found) > 700
    missing = {
        name
        for target in CONVERTERS
        if isinstance(target, torch._ops.OpOverload) and target.namespace == "aten"
        if (name := str(target).rpartition(".")[0]) not in found
    }
    assert missing <= {"aten.sym_size", "aten.sym_numel", "aten._local_scalar_dense"}
    assert found["aten.conv2d"].status == "converter"
    assert found["aten.atan2"].status.startswith("decomposed")
    assert found["aten.rand"].status.startswith("fallback: random numbers")
    assert found["aten.softmax"].sizes == "symbolic"
