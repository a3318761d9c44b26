# SPDX-License-Identifier: Apache-2.0
"""Every model of the coverage list: one network, everything converted, all three oracles."""

from __future__ import annotations

import pytest

from tests.support.oracles import ORACLES, check
from tests.support.zoo import CORE

pytestmark = pytest.mark.rtx

FAST = ("squeezenet1_1", "shufflenet_v2_x1_0", "timm:deit_tiny_patch16_224")
"""What runs with every `make test`: convolution and attention, views and joins."""

MODELS = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CORE]


@pytest.mark.parametrize("name", MODELS)
def test_a_whole_model_equals_eager(name: str) -> None:
    entry = CORE[name]
    report = check(entry.build(), (entry.example(),), oracles=ORACLES)
    assert report.ran == list(ORACLES)
    assert not report.skipped


@pytest.mark.slow
@pytest.mark.parametrize("name", CORE)
def test_a_whole_model_equals_eager_at_every_batch(name: str) -> None:
    entry = CORE[name]
    report = check(entry.build(), (entry.example(2),), ranges={0: (1, 2, 4)})
    assert report.sizes == ["opt", "min", "max", "odd"]
