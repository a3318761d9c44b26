# SPDX-License-Identifier: Apache-2.0
"""Random programs over the registry compute, compiled, what eager PyTorch computes.

Fallback is allowed. These are the same 200 programs every time; `make fuzz` runs 2,000 new ones,
and 1,000 with ranges of sizes.
"""

from __future__ import annotations

from contextlib import suppress
from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from torch import fx, nn

import edge_trt
from tests.fuzz.judging import is_well_conditioned, judge
from tests.fuzz.programs import Program, operators, programs
from tests.fuzz.sizes import judge_open
from tests.fuzz.tensors import TYPES

CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.mark.rtx
@settings(max_examples=200, derandomize=True, suppress_health_check=CHECKS, print_blob=True)
@given(programs())
def test_random_programs_compute_what_eager_computes(program):
    assume(is_well_conditioned(program))
    with suppress(edge_trt.CaptureError):  # a refusal with a reason
        judge(program)


def test_a_program_with_open_sizes_is_compared_at_others():
    x = torch.randn(3, 4)
    graph = fx.Graph()
    node = graph.placeholder("x0")
    graph.output((graph.call_function(torch.ops.aten.view.default, (node, [-1, 4])),))
    right = fx.GraphModule(nn.Module(), graph)
    assert judge_open(Program(right, (x,), ["aten.view.default"]))
    with (
        patch("tests.fuzz.sizes.run", lambda module, inputs: [t + len(t) for t in inputs]),
        pytest.raises(AssertionError, match="output 0 at"),
    ):
        judge_open(Program(right, (x,), ["aten.view.default"]))


def test_programs_are_of_every_kind():
    """In-place calls, types of inputs, empty tensors, ranks, results that share memory."""
    met = set()

    @settings(max_examples=400, derandomize=True, suppress_health_check=CHECKS, database=None)
    @given(programs())
    def each(program):
        met.update(t.dtype for t in program.inputs)
        met.update(t.dim() for t in program.inputs)
        met.update("empty" for t in program.inputs if t.numel() == 0)
        met.update("in place" for call in program.calls if call.split(".")[1].endswith("_"))
        given = {t.untyped_storage().data_ptr() for t in program.inputs if t.numel()}
        results = program.module(*program.inputs)
        met.update("alias" for t in results if t.untyped_storage().data_ptr() in given)

    each()
    assert met >= {*TYPES, *range(5), "empty", "in place", "alias"}


def test_every_registered_family_is_drawn_from():
    names = {str(target).split(".")[1] for target in operators()}
    assert {"conv2d", "scaled_dot_product_attention", "index", "einsum", "topk"} <= names
