# SPDX-License-Identifier: Apache-2.0
"""`stable_sorts.py`: equal elements are in the order of their places."""

from __future__ import annotations

import pytest
import torch

from edge_trt.lowering.stable_sorts import StableSorts

EQUAL = torch.arange(5000).flip(0) % 3


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "places",
    [
        lambda x, descending: torch.sort(x, descending=descending)[1],
        lambda x, descending: torch.argsort(x, descending=descending),
        lambda x, descending: torch.topk(x, 4000, largest=descending, sorted=False)[1],
    ],
    ids=["sort", "argsort", "topk"],
)
def test_equal_elements_keep_their_order(places, descending):
    with torch.inference_mode(), StableSorts():
        found = places(EQUAL, descending)
    expected = torch.argsort(EQUAL, stable=True, descending=descending)
    assert torch.equal(found, expected[: len(found)])


def test_topk_of_a_scalar():
    with StableSorts():
        values, places = torch.topk(torch.tensor(3.0), 1)
    assert (values.item(), places.item()) == (3.0, 0)
