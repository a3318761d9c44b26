# SPDX-License-Identifier: Apache-2.0
"""The error trees of runtime and compiler."""

from __future__ import annotations

import copy
import inspect
import re
from typing import Any

import pytest

import edge_trt.errors
import edge_trt_runtime.errors
from edge_trt.errors import EdgeTrtError, OptionError, UnsupportedError

ERRORS = [getattr(edge_trt.errors, name) for name in edge_trt.errors.__all__]


def test_one_root_and_at_most_eight_kinds() -> None:
    assert all(issubclass(error, EdgeTrtError) for error in ERRORS)
    assert len(ERRORS) <= 9
    assert edge_trt.errors.EdgeTrtError is edge_trt_runtime.errors.EdgeTrtError


@pytest.mark.parametrize("module", [edge_trt.errors, edge_trt_runtime.errors])
def test_the_tree_in_the_docstring_is_complete(module: Any) -> None:
    classes = {name for name in vars(module) if name.endswith("Error")}
    assert set(re.findall(r"\w+Error\b", module.__doc__)) - {"ValueError"} == classes


@pytest.mark.parametrize("error", ERRORS)
def test_text_attributes_and_copies(error: type[EdgeTrtError]) -> None:
    parameters = list(inspect.signature(error).parameters)[1:]
    made = error("what, where", **dict.fromkeys(parameters, "x"))
    assert str(made).startswith("what, where: x")
    again = copy.copy(made)  # by the same protocol as between processes
    assert (str(again), vars(again)) == (str(made), vars(made))
    assert str(error("what, where")) == "what, where"


def test_refusals_are_listed_all_at_once() -> None:
    error = UnsupportedError("2 nodes would fall back", refusals=["a: no", "b: no"], hint="allow")
    assert str(error) == "2 nodes would fall back: allow\n  a: no\n  b: no"
    assert error.refusals == ("a: no", "b: no")


def test_wrong_values_are_value_errors() -> None:
    assert issubclass(OptionError, ValueError)
    assert issubclass(edge_trt.errors.InputError, ValueError)
