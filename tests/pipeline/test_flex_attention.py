# SPDX-License-Identifier: Apache-2.0
"""`flex_attention` is one block, whatever changes or masks its scores, for every length."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import edge_trt
from edge_trt import Input

LENGTHS = (1, 2, 7, 20)
MASKS = {
    "causal": lambda b, h, i, j: i >= j,
    "window": lambda b, h, i, j: (i >= j) & (i - j < 3),
    "rows that see nothing": lambda b, h, i, j: i > j,
}


class Masked(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, q, k, v):
        lengths = (q.shape[2], k.shape[2])
        mask = create_block_mask(self.mask, None, None, *lengths, device=q.device)
        return flex_attention(q, k, v, block_mask=mask)


class Biased(nn.Module):
    """ALiBi, with heads that share keys and values."""

    def __init__(self):
        super().__init__()
        self.slopes = nn.Buffer(2.0 ** -torch.arange(4))

    def forward(self, q, k, v):
        def closer(score, batch, head, i, j):
            return score - self.slopes[head] * (i - j).abs()

        return flex_attention(q, k, v, score_mod=closer, scale=0.3, enable_gqa=True)


class WithSums(nn.Module):
    def forward(self, q, k, v):
        result, sums = flex_attention(q, k, v, return_lse=True)
        return torch.cat([result, sums[..., None]], -1)


MODELS = {
    **{name: (Masked(mask), 4) for name, mask in MASKS.items()},
    "biased": (Biased(), 2),
    "with sums": (WithSums(), 4),
}


def _inputs(heads: int, length: int) -> list[torch.Tensor]:
    return [torch.randn(2, h, length, 8) for h in (4, heads, heads)]


@pytest.mark.rtx
@pytest.mark.filterwarnings(
    "ignore:flex_attention called without torch.compile", "ignore:return_lse"
)
@pytest.mark.parametrize("name", MODELS)
def test_one_block_for_all_lengths(name: str) -> None:
    model, heads = MODELS[name]
    given = tuple(Input((2, h, "n", 8), min=1, opt=6, max=20) for h in (4, heads, heads))
    bundle = edge_trt.compile(model.eval(), given, target=["cpu", "rtx"], fallback="forbid")
    assert len(bundle.plans) == 1
    for length in LENGTHS:
        inputs = _inputs(heads, length)
        torch.testing.assert_close(bundle.module()(*inputs), model(*inputs), rtol=1e-4, atol=1e-5)


def test_a_mask_that_was_made_before() -> None:
    class Before(nn.Module):
        def __init__(self):
            super().__init__()
            self.mask = create_block_mask(MASKS["causal"], None, None, 7, 7, device="cpu")

        def forward(self, q, k, v):
            return flex_attention(q, k, v, block_mask=self.mask)

    model, inputs = Before().eval(), _inputs(4, 7)
    bundle = edge_trt.compile(model, tuple(inputs), fallback="forbid")
    torch.testing.assert_close(bundle.module()(*inputs), model(*inputs), rtol=1e-4, atol=1e-5)


class Trained(nn.Module):
    """Its weights could be trained, which PyTorch's own kernel for the CPU refuses."""

    def __init__(self, attention):
        super().__init__()
        self.attention, self.project = attention, nn.Linear(8, 24)

    def forward(self, x):
        parts = self.project(x).chunk(3, -1)
        q, k, v = (part.view(*x.shape[:2], 2, 4).transpose(1, 2) for part in parts)
        return self.attention(q, k, v).transpose(1, 2).flatten(2)


def _nearer(q, k, v):
    return flex_attention(q, k, v, score_mod=lambda score, b, h, i, j: score - (i - j).abs() * 0.5)


@pytest.mark.filterwarnings(
    "ignore:flex_attention called without torch.compile",
    "ignore:.torch.jit.script_method:DeprecationWarning",
)
@pytest.mark.parametrize("wrap", [lambda f: f, torch.compile], ids=["plain", "compiled"])
@pytest.mark.parametrize("attention", [flex_attention, _nearer])
@pytest.mark.parametrize("tokens", ["7", "1..7..20"])
def test_attention_that_the_model_compiles_itself(attention, wrap, tokens, monkeypatch):
    def unwanted(*_, **__):
        raise AssertionError("the model was compiled")

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", unwanted)
    model = Trained(wrap(attention)).eval()
    bundle = edge_trt.compile(model, Input.parse(f"x=1x{tokens}x8"), target="cpu")
    assert [block["kind"] for block in bundle.coverage["blocks"]] == ["tensorrt"]
    run, model.attention = bundle.module(), attention
    model.requires_grad_(False)
    for length in LENGTHS if ".." in tokens else (7,):
        x = torch.randn(1, length, 8)
        torch.testing.assert_close(run(x), model(x), rtol=1e-4, atol=1e-5)
