# SPDX-License-Identifier: Apache-2.0
"""`bags.py`: bags of one size are reduced along an axis, however many there are."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from edge_trt.capture import Input, capture
from edge_trt.lowering.eager import eager

IDS = Input(("b", "n"), min=(1, 1), opt=(2, 3), max=(5000, 4000), dtype="int64")


class Bags(nn.Module):
    def __init__(self, weighted: bool, **options):
        super().__init__()
        self.bags = nn.EmbeddingBag(6, 3, **options)
        self.weighted = weighted

    def forward(self, ids):
        weights = torch.sin(ids.float()) if self.weighted else None
        return self.bags(ids, per_sample_weights=weights)


CASES = [*itertools.product(("sum", "mean", "max"), (None, 2, -1), (False,)),
         *itertools.product(("sum",), (None, 2), (True,))]  # fmt: skip


@pytest.mark.parametrize(("mode", "padding", "weighted"), CASES)
def test_bags_of_one_size_need_no_places(mode, padding, weighted):
    model = Bags(weighted, mode=mode, padding_idx=padding).eval()
    captured = capture(model, IDS)
    calls = [str(n.target) for n in captured.program.graph.nodes if n.op == "call_function"]
    assert "aten.embedding.default" in calls
    assert not any("embedding_bag" in call for call in calls)
    run = eager(captured.program)
    for size in ((1, 1), (2, 3), (4, 7)):
        ids = torch.randint(0, 6, size)
        ids[0] = 2  # a bag of padding alone
        (result,) = run([ids])
        torch.testing.assert_close(torch.from_numpy(result), model(ids).detach())


def test_no_bags():
    model, ids = Bags(False, mode="max").eval(), torch.zeros((0, 4), dtype=torch.int64)
    (result,) = eager(capture(model, (ids,)).program)([ids])
    torch.testing.assert_close(torch.from_numpy(result), model(ids).detach())
