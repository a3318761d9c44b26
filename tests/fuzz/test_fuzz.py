# SPDX-License-Identifier: Apache-2.0
"""Random programs over the registry compute, compiled, what eager PyTorch computes.

Fallback is allowed. These are the same 200 programs every time; `make fuzz` runs 2,000 new ones.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.fuzz.judging import is_well_conditioned, judge
from tests.fuzz.programs import operators, programs

CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.mark.rtx
@settings(max_examples=200, derandomize=True, suppress_health_check=CHECKS, print_blob=True)
@given(programs())
def test_random_programs_compute_what_eager_computes(program):
    assume(is_well_conditioned(program))
    judge(program)


def test_every_registered_family_is_drawn_from():
    names = {str(target).split(".")[1] for target in operators()}
    assert {"conv2d", "scaled_dot_product_attention", "index", "einsum", "topk"} <= names
