# SPDX-License-Identifier: Apache-2.0
"""Operators on complex numbers, which lowering rewrites to operators on pairs of real ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.conversion.checking import check_lowered, lowered
from tests.conversion.rows import Row, boolean, f, i64
from tests.support.oracles import check

aten = torch.ops.aten
as_complex, as_real = torch.view_as_complex, torch.view_as_real
NUMBERS = torch.polar(torch.tensor([0.5, 1.0, 2.0]), torch.tensor([0.3, 2.0, -1.0]))
PAIRS = f("b", 3, 2)
AXES = torch.tensor([[0.0, 0.0], [1, 0], [0, 1], [-1, 0], [0, -1], [3e20, 4e20], [-3e-25, 4e-25]])
UNBOUNDED = torch.tensor(
    [[math.inf, 1.0], [1.0, -math.inf], [math.inf, math.inf], [math.nan, 1.0], [math.nan, math.inf]]
)


WINDOW = torch.hann_window(8) + 0.1
GAINS = torch.linspace(0.5, 2, 8).unsqueeze(1)


def on_complex(function):
    """A function of complex values, given and judged as pairs."""
    return lambda *pairs: as_real(function(*map(as_complex, pairs)).resolve_conj())


def row(name, function, *args, **expected):
    return Row(name, on_complex(function), args, **expected)


def mixed(name, function, *args):
    """The first operand is complex, the others are real."""
    return Row(name, lambda z, *rest: as_real(function(as_complex(z), *rest)), args)


def spectrogram(x, n_fft=8, window=WINDOW, hop_length=3, **options):
    window = window if window is None else window[: options.get("win_length")]
    return torch.stft(x, n_fft, hop_length, window=window, return_complex=True, **options)


def resynthesized(x, options, inverse):
    """A spectrogram whose frequencies are changed, as a signal."""
    z = spectrogram(x, **options) * GAINS[: 8 if options.get("onesided") is False else 5]
    given = {"n_fft": 8, "window": WINDOW, "hop_length": 3, **options, **inverse}
    return torch.istft(z, **given)


ARITHMETIC = [
    row("mul", torch.mul, PAIRS, PAIRS),
    row("mul broadcast", torch.mul, PAIRS, f(2)),
    row("mul by a number", lambda z: z * 2, PAIRS),
    row("mul by i", lambda z: z * 1j, PAIRS),
    row("mul by a constant", lambda z: z * NUMBERS, PAIRS),
    row("mul by a conjugate constant", lambda z: z * NUMBERS.conj(), PAIRS),
    row("mul of infinities", lambda z: z * 2.0, UNBOUNDED),
    row("mul.Scalar", lambda z: aten.mul.Scalar(z, 2 - 1j), PAIRS),
    mixed("mul by real", torch.mul, PAIRS, f("b", 3)),
    mixed("mul by real broadcast", torch.mul, PAIRS, f(3)),
    mixed("mul of infinities by real", torch.mul, UNBOUNDED, f(5)),
    mixed("mul by integers", torch.mul, PAIRS, i64("b", 3)),
    Row("real by i", lambda x: as_real(x * 1j), (f("b", 3),)),
    row("add", torch.add, PAIRS, PAIRS),
    row("add a number", lambda z: z + 2, PAIRS),
    row("add.Scalar", lambda z: aten.add.Scalar(z, 1j), PAIRS),
    mixed("add real", torch.add, PAIRS, f("b", 3)),
    row("add with alpha", lambda z: torch.add(z, z, alpha=2), PAIRS, refusal="real pairs"),
    row("sub", torch.sub, PAIRS, PAIRS),
    row("sub a number", lambda z: z - (1 + 2j), PAIRS),
    row("sub.Scalar", lambda z: aten.sub.Scalar(z, 1j), PAIRS),
    row("rsub", lambda z: 2j - z, PAIRS),
    row("rsub.Tensor", aten.rsub.Tensor, PAIRS, PAIRS),
    mixed("real minus complex", lambda z, x: x - z, PAIRS, f("b", 3)),
    row("neg", torch.neg, PAIRS),
    row("conj", torch.conj, PAIRS),
    row("conj_physical", torch.conj_physical, PAIRS),
    row("_conj_physical", aten._conj_physical.default, PAIRS),
    row("tanh", torch.tanh, PAIRS, refusal="no complex numbers"),
]

WHOLE = torch.polar(torch.tensor([3e-20, 1.0, 4e20]), torch.tensor([0.3, 2.0, -1.0]))
PRODUCTS = [
    row("div", torch.div, PAIRS, PAIRS),
    row("div broadcast", torch.div, PAIRS, f(2)),
    row("div by a number", lambda z: z / (2 - 1j), PAIRS),
    row("div.Scalar", lambda z: aten.div.Scalar(z, 4), PAIRS),
    row("div by extremes", lambda z: z / WHOLE, PAIRS),
    row("reciprocal", torch.reciprocal, as_real(WHOLE)),
    mixed("div by real", torch.div, PAIRS, f("b", 3, low=0.5)),
    mixed("real by complex", lambda z, x: x / z, PAIRS, f("b", 3)),
    row("exp", torch.exp, PAIRS),
    row("matmul", lambda z, w: z @ w.transpose(1, 2), f("b", 3, 4, 2), f("b", 5, 4, 2)),
    row("mm", torch.mm, f("b", 3, 2), f(3, 4, 2)),
    row("bmm", torch.bmm, f("b", 3, 4, 2), f("b", 4, 5, 2)),
    row("mv", torch.mv, f("b", 3, 2), f(3, 2)),
    mixed("matmul by real", lambda z, x: z @ x.to(z.dtype), PAIRS, f(3, 4)),
    row("einsum of three", lambda z: torch.einsum("bi,bi,bi->b", z, z, z), PAIRS, refusal="pairs"),
    row("einsum", lambda z, w: torch.einsum("bi,ij->bj", z, w), f("b", 3, 2), f(3, 4, 2)),
]

PARTS = [
    Row("real", lambda x: as_complex(x).real + 0, (PAIRS,)),
    Row("imag", lambda x: as_complex(x).imag + 0, (PAIRS,)),
    Row("imag of a conjugate", lambda x: torch.imag(as_complex(x).conj()) + 0, (PAIRS,)),
    Row("abs", lambda x: as_complex(x).abs(), (AXES,), accuracy=1e-5),
    Row("abs of infinities", lambda x: as_complex(x).abs(), (UNBOUNDED,)),
    Row("angle", lambda x: as_complex(x).angle(), (AXES,), accuracy=1e-5),
    Row("polar", lambda r, a: as_real(torch.polar(r, a)), (f("b", 3), f("b", 3))),
    Row("polar broadcast", lambda r, a: as_real(torch.polar(r, a)), (f(3), f("b", 1))),
    Row("complex", lambda r, i: as_real(torch.complex(r, i)), (f("b", 3), f("b", 3))),
    Row("complex broadcast", lambda r, i: as_real(torch.complex(r, i)), (f("b", 3), f(1))),
    Row("to complex", lambda x: as_real(x.to(torch.complex64)), (f("b", 3),)),
]

CUBE = f("b", 3, 4, 2)
VIEWS = [
    row("reshape", lambda z: z.reshape(-1, 2, 6), CUBE),
    row("flatten", lambda z: z.flatten(1), CUBE),
    row("unsqueeze", lambda z: z.unsqueeze(-1), CUBE),
    row("squeeze", lambda z: z.squeeze(-2), f("b", 1, 4, 2)),
    row("squeeze of several", lambda z: z.squeeze((1, -1)), f("b", 1, 1, 2)),
    row("slice", lambda z: z[:, -2:, ::2], CUBE),
    row("select", lambda z: z[..., -1], CUBE),
    row("expand", lambda z: z.expand(-1, 3, 4), f("b", 1, 4, 2)),
    row("repeat", lambda z: z.repeat(2, 1, 2), CUBE),
    row("permute", lambda z: z.permute(-1, 0, 1), CUBE),
    row("transpose", lambda z: z.transpose(-1, -2), CUBE),
    row("cat", lambda z, w: torch.cat([z, w], -1), CUBE, CUBE),
    mixed("cat with real", lambda z, x: torch.cat([z, x], -1), PAIRS, f("b", 2)),
    row("stack", lambda z, w: torch.stack([z, w], -1), CUBE, CUBE),
    row("unbind", lambda z: z.unbind(1)[2], CUBE),
    row("chunk", lambda z: z.chunk(2, -1)[1], CUBE),
    row("flip", lambda z: z.flip(-1), CUBE),
    row("sum", lambda z: z.sum(-1), CUBE),
    mixed("index", lambda z, i: z[:, i], CUBE, i64(5, low=0, high=2)),
    mixed("index_select", lambda z, i: z.index_select(-1, i), CUBE, i64(5, low=0, high=2)),
    Row(
        "where",
        lambda c, z, w: as_real(torch.where(c, as_complex(z), as_complex(w))),
        (boolean("b", 3), PAIRS, PAIRS),
    ),
    row("contiguous", lambda z: z.transpose(1, 2).contiguous().clone(), CUBE),
]


FOURIER = [
    row("fft2", torch.fft.fft2, CUBE),
    row("ifft2", torch.fft.ifft2, CUBE),
    row("ifftn", lambda z: torch.fft.ifftn(z, dim=(2, 1), norm="forward"), CUBE),
    row("fftn over an inner axis", lambda z: torch.fft.fftn(z, dim=(1,), norm="ortho"), CUBE),
    Row("fftn of real", lambda x: torch.fft.fftn(x, dim=(1, 2)).real, (f("b", 5, 8),)),
    Row("fftn of all axes", lambda x: torch.fft.fftn(x).imag, (f(3, 5, 4),)),
    Row("long axis", lambda x: torch.fft.fftn(x, dim=(-1,)).real, (f(2, 1024),)),
]


SPECTROGRAMS = [
    *(
        Row(f"stft {name}", lambda x, o=options: as_real(spectrogram(x, **o)), args)
        for name, options, args in (
            ("", {}, (f("b", 40),)),
            ("open", {"center": False}, (f("b", "h"),)),
            ("of one signal", {"hop_length": None}, (f(40),)),
            ("with a short window", {"win_length": 6}, (f(2, 40),)),
            ("without a window", {"window": None, "win_length": 5}, (f(2, 40),)),
            ("normalized", {"normalized": True, "onesided": False}, (f(2, 40),)),
        )
    ),
    *(
        Row(f"istft {name}", lambda x, i=inverse, o=options: resynthesized(x, o, i), args)
        for name, options, inverse, args in (
            ("", {}, {}, (f("b", 40),)),
            ("of a length", {}, {"length": 37}, (f("b", 40),)),
            ("of open sizes", {}, {}, (f("b", "h"),)),
            ("of one signal", {"normalized": True}, {}, (f(40),)),
            ("of all frequencies", {"onesided": False}, {}, (f(2, 40),)),
            ("without a window", {"window": None, "center": False}, {}, (f(2, 40),)),
        )
    ),
]


@pytest.mark.filterwarnings("ignore:A window was not provided")
@pytest.mark.parametrize(
    "row",
    [*ARITHMETIC, *PRODUCTS, *PARTS, *VIEWS, *FOURIER, *SPECTROGRAMS],
    ids=lambda row: row.name,
)
def test_complex(row):
    check_lowered(row)


TRANSFORMS = [
    Row("fft", lambda x: torch.fft.fft(x).abs(), (f(4, 8),), refusal="no Fourier transform"),
    Row("rfft", lambda x: torch.fft.rfft(x).abs(), (f(4, 8),), refusal="no Fourier transform"),
    Row("ifft", lambda x: torch.fft.ifft(as_complex(x)).abs(), (PAIRS,), refusal="its matrix"),
    Row(
        "fft2 of a long axis",
        lambda x: torch.fft.fft2(x).real,
        (f(2, 1025),),
        refusal="no Fourier transform",
    ),
    Row(
        "fftn of another size",
        lambda x: torch.fft.fftn(x, s=(4, 6)).real,
        (f(4, 8),),
        refusal="no Fourier transform",
    ),
    Row(
        "stft of long frames",
        lambda x: spectrogram(x, 1030, None).abs(),
        (f(1, 1030),),
        refusal="1024",
    ),
    Row("output", as_complex, (PAIRS,), refusal="real pairs"),
]


@pytest.mark.parametrize("row", TRANSFORMS, ids=lambda row: row.name)
def test_what_stays_complex_is_refused(row):
    check_lowered(row)


class RotaryAttention(nn.Module):
    """Attention with rotary embeddings, as Llama's reference model computes them."""

    def __init__(self, heads: int = 2, head_dim: int = 8, longest: int = 32) -> None:
        super().__init__()
        self.heads = heads
        width = heads * head_dim
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        rates = 1.0 / 10000 ** (torch.arange(0, head_dim, 2) / head_dim)
        angles = torch.outer(torch.arange(longest), rates)
        self.register_buffer("freqs_cis", torch.polar(torch.ones_like(angles), angles))

    def rotated(self, x, freqs):
        numbers = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(numbers * freqs.view(1, freqs.shape[0], 1, -1)).flatten(3)

    def forward(self, x):
        batch, length, _ = x.shape
        split = (batch, length, self.heads, -1)
        freqs = self.freqs_cis[:length]
        query = self.rotated(self.query(x).view(split), freqs).transpose(1, 2)
        key = self.rotated(self.key(x).view(split), freqs).transpose(1, 2)
        value = self.value(x).view(split).transpose(1, 2)
        attended = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return attended.transpose(1, 2).flatten(2)


def test_rotary_embedding_is_one_block_with_a_dynamic_length():
    ranges = {0: (1, 2, 3), 1: (1, 6, 17)}
    report = check(RotaryAttention(), torch.randn(2, 6, 16), ranges=ranges)
    assert report.ran == ["numerics", "validity", "emission"]


def test_constants_stay_constants_without_their_complex_originals():
    x = torch.randn(2, 6, 16)
    gm = lowered(torch.export.export(RotaryAttention().eval(), (x,)))
    assert not any(tensor.is_complex() for tensor in gm.buffers())
    assert all(not node.meta["val"].is_complex() for node in gm.graph.nodes if "val" in node.meta)
