# SPDX-License-Identifier: Apache-2.0
"""What is counted, and the report as data."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edge_trt.capture import Input
from edge_trt.partitioning.flops import flops_of
from tests.partitioning.cutting import cut_up, lowered

X = torch.randn(3, 8)


class Of(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


IMAGE, LINE = torch.randn(2, 6, 9, 11), torch.randn(2, 6, 11)


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (nn.Conv1d(6, 4, 3), (LINE,)),
        (nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False), (IMAGE,)),
        (nn.Conv2d(6, 12, (3, 1), groups=3, dilation=2), (IMAGE,)),
        (nn.Conv2d(6, 8, 3, padding="same"), (IMAGE,)),
        (nn.Conv3d(6, 4, 3), (torch.randn(1, 6, 5, 6, 7),)),
        (nn.ConvTranspose2d(6, 4, 3, stride=2, bias=False), (IMAGE,)),
        (nn.ConvTranspose1d(6, 4, 4, groups=2), (LINE,)),
        (nn.Linear(11, 5, bias=False), (IMAGE,)),
        (Of(torch.matmul), (torch.randn(2, 3, 4, 5), torch.randn(3, 5, 6))),
        (Of(torch.mm), (torch.randn(4, 5), torch.randn(5, 6))),
        (Of(torch.bmm), (torch.randn(2, 4, 5), torch.randn(2, 5, 6))),
        (Of(torch.addmm), (torch.randn(6), torch.randn(4, 5), torch.randn(5, 6))),
        (Of(torch.baddbmm), (torch.randn(6), torch.randn(2, 4, 5), torch.randn(2, 5, 6))),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, nn.Module) else "",
)
def test_as_torch_counts_them(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """A multiply-add is two; torch leaves the elements of biases and sums out."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    _, graph = lowered(module, inputs)
    whole = {n: flops_of(n) for n in graph.graph.nodes if n.op == "call_function"}
    largest = max(whole, key=whole.__getitem__)
    assert whole[largest] == counter.get_total_flops() > 0


def test_attention_is_its_two_products() -> None:
    """torch counts no fused attention of the CPU."""
    q, k, v = torch.randn(2, 4, 6, 16), torch.randn(2, 4, 10, 16), torch.randn(2, 4, 10, 12)
    with FlopCounterMode(display=False) as counter:
        torch.softmax(q @ k.mT, -1) @ v
    _, graph = lowered(Of(F.scaled_dot_product_attention), (q, k, v))
    assert max(map(flops_of, graph.graph.nodes)) == counter.get_total_flops() > 0


def test_everything_else_is_one_per_element() -> None:
    _, graph = lowered(Of(lambda x: torch.topk(x.relu(), 2)), (X,))
    counts = {str(n.target): flops_of(n) for n in graph.graph.nodes}
    assert counts["aten.relu.default"] == 24
    assert counts["aten.topk.default"] == 12  # values and indices
    assert counts["inputs_0"] == counts["output"] == 0


def test_symbolic_sizes_count_at_the_captured_ones() -> None:
    _, graph = lowered(nn.Linear(8, 4, bias=False), (Input(("b", 8), min=1, opt=6, max=9),))
    (linear,) = graph.graph.find_nodes(op="call_function", target=torch.ops.aten.linear.default)
    assert flops_of(linear) == 2 * 6 * 8 * 4


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        return self.head(torch.fft.rfft(x).abs())


def test_the_report_is_plain_data() -> None:
    coverage = cut_up(Spectrum(), (Input(("b", 8), min=1, opt=2, max=9),)).coverage
    data = coverage.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert (data["calls"], data["covered_calls"], data["by_calls"]) == (3, 1, 1 / 3)
    assert data["covered_flops"] == 2 * 2 * 5 * 4
    assert data["by_flops"] == data["covered_flops"] / data["flops"]
    assert [b["name"] for b in data["blocks"]] == ["fallback0", "block0"]
    assert [b["kind"] for b in data["blocks"]] == ["fallback", "tensorrt"]
    first = data["refusals"][0]
    assert first["op"] == "aten.fft_rfft.default"
    assert first["source"].startswith("tests/partitioning/test_report.py:")


def test_a_refusal_is_one_sentence_with_its_place() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Spectrum()

        def forward(self, x):
            return self.inner(x)

    text = str(cut_up(Outer(), (X,)).coverage.refusals[0])
    assert text.startswith("aten.fft_rfft.default (module inner, tests/partitioning/test_report.py")
    assert ": aten.fft_rfft: TensorRT has no Fourier transform: " in text
    assert "\n" not in text
