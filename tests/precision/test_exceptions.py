# SPDX-License-Identifier: Apache-2.0
"""Patterns of layers that stay float32."""

from __future__ import annotations

import pytest

from edge_trt.precision import Patterns, to_fp16
from tests.precision.networks import attention_net, conv_net


@pytest.mark.parametrize(
    ("pattern", "modules"),
    [
        ("head", {"head.fc"}),
        ("head.*", {"head.fc"}),
        ("head.fc", {"head.fc"}),
        ("*", {"stem", "block", "head.fc"}),
        ("s?em", {"stem"}),
        ("convolution", {"stem", "block"}),
        ("CONVOLUTION", {"stem", "block"}),
        ("hea", set()),
        ("fc", set()),
    ],
)
def test_what_a_pattern_matches(pattern: str, modules: set[str]) -> None:
    _, kept = to_fp16(conv_net(), keep_fp32=[pattern])
    assert {k.origin.module for k in kept} == modules
    assert all(pattern in k.reason for k in kept)


def test_patterns_that_match_nothing_are_told_with_what_is_close() -> None:
    layers = Patterns(["haed.fc", "SoftMax", "nothing like it"])
    assert layers.unmatched([conv_net(), attention_net()]) == {
        "haed.fc": ["head.fc"],
        "nothing like it": [],
    }
    assert "SoftMax" in layers.unmatched([conv_net()])
