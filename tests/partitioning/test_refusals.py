# SPDX-License-Identifier: Apache-2.0
"""Which calls TensorRT does not get, and the sentences that say why."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_trt.capture import Input
from edge_trt.errors import OptionError, UnsupportedError
from edge_trt.partitioning import forbid, refusals
from edge_trt.warning import EdgeTrtWarning
from tests.partitioning.cutting import assert_equal, cut_up, lowered

X = torch.randn(3, 8)


class Spectrum(nn.Module):
    """Two operators that TensorRT lacks, between two that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Sequential(nn.Linear(5, 5), nn.Sigmoid())

    def forward(self, x):
        return self.second(torch.fft.rfft(self.first(x).relu()).abs())


def test_operators_without_a_converter() -> None:
    model = Spectrum()
    done = cut_up(model, (X,))
    assert "no Fourier transform" in done.refused["aten.fft_rfft.default"]
    assert "no complex numbers" in done.refused["aten.abs.default"]
    assert done.kinds == ["tensorrt", "fallback", "tensorrt"]
    assert_equal(done(X), [model(X)])


def test_float64_falls_back_with_the_remedy() -> None:
    done = cut_up(nn.Linear(8, 2).double(), (X.double(),))
    assert done.kinds == ["fallback"]
    assert "cast to float32" in done.refused["aten.linear.default"]


@pytest.mark.parametrize(
    "name", ["aten.sigmoid", "sigmoid", "aten.sigmoid.default", "aten::sigmoid"]
)
def test_operators_kept_out_on_request(name: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 8))
    done = cut_up(model, (X,), fallback_ops=[name])
    assert list(done.refused) == ["aten.sigmoid.default"]
    assert "fallback_ops" in done.refused["aten.sigmoid.default"]
    assert done.kinds == ["tensorrt", "fallback", "tensorrt"]
    assert_equal(done(X), [model(X)])


def test_an_overload_leaves_the_others_alone() -> None:
    class Adds(nn.Module):
        def forward(self, x):
            return x.sum() + x.sum(0)

    _, graph = lowered(Adds(), (X,))
    (kept_out,) = refusals(graph.graph, ["aten.sum.default"])
    assert kept_out.target is torch.ops.aten.sum.default
    assert len(refusals(graph.graph, ["aten.sum"])) == 2


def test_an_unknown_operator_names_close_ones() -> None:
    _, graph = lowered(nn.ReLU(), (X,))
    with pytest.raises(OptionError, match=r"unknown operator 'aten.sigmoidx'.*'aten.sigmoid'"):
        refusals(graph.graph, ["aten.sigmoidx"])
    with pytest.raises(OptionError, match=r"unknown operator 'aten.add.Tensr'.*'aten.add.Tensor'"):
        refusals(graph.graph, ["aten.add.Tensr"])


def test_an_operator_that_the_model_lacks_is_warned_about() -> None:
    with pytest.warns(EdgeTrtWarning, match=r"'aten.gelu'.*no such operator \(it has aten.relu\)"):
        cut_up(nn.ReLU(), (X,), fallback_ops=["aten.gelu"])


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
        self.head = nn.Linear(8, 8)

    def forward(self, x):
        return self.head(self.trunk(x)) + self.head(x)


@pytest.mark.parametrize(
    ("pattern", "modules"),
    [
        ("trunk.0", {"trunk.0"}),
        ("trunk", {"trunk.0", "trunk.1.0", "trunk.1.1"}),
        ("trunk.1", {"trunk.1.0", "trunk.1.1"}),
        ("*.0", {"trunk.0", "trunk.1.0"}),
        ("head", {"head"}),
        ("*", {"", "trunk.0", "trunk.1.0", "trunk.1.1", "head"}),
    ],
)
def test_modules_kept_out_on_request(pattern: str, modules: set[str]) -> None:
    model = Nested()
    done = cut_up(model, (X,), fallback_modules=[pattern])
    assert {refusal.module for refusal in done.coverage.refusals} == modules
    assert all(f"fallback_modules ({pattern})" in r.reason for r in done.coverage.refusals)
    assert_equal(done(X), [model(X)])


def test_a_pattern_that_matches_nothing_names_close_modules() -> None:
    with pytest.raises(OptionError, match=r"'trnk'.*did you mean 'trunk'"):
        cut_up(Nested(), (X,), fallback_modules=["trnk"])


def test_forbidden_refusals_come_all_at_once() -> None:
    coverage = cut_up(Spectrum(), (X,)).coverage
    with pytest.raises(UnsupportedError, match="2 operators can't run in TensorRT") as caught:
        forbid(coverage)
    assert [text.split(" ")[0] for text in caught.value.refusals] == [
        "aten.fft_rfft.default",
        "aten.abs.default",
    ]
    assert all("test_refusals.py:" in text for text in caught.value.refusals)
    assert "aten.abs.default" in str(caught.value)
    forbid(cut_up(nn.ReLU(), (X,)).coverage)


def test_a_choice_among_results_goes_with_the_call() -> None:
    """The results of a refused call are no operators of their own."""

    class Split(nn.Module):
        def forward(self, x):
            values, indices = torch.topk(x, 3)
            return values.relu(), indices

    done = cut_up(Split(), (X,), fallback_ops=["aten.topk"])
    assert list(done.refused) == ["aten.topk.default"]
    assert done.kinds == ["fallback", "tensorrt"]
    assert_equal(done(X), Split()(X))
    double = cut_up(Split(), (X.double(),))
    assert set(double.refused) == {"aten.topk.default", "aten.relu.default"}


def test_a_fraction_of_a_size_is_computed_where_it_is_needed() -> None:
    class Mean(nn.Module):
        def forward(self, x):
            share = x.shape[0] / 3
            return torch.fft.rfft(x * share).abs().relu() * share

    done = cut_up(Mean(), (Input(("b", 8), min=1, opt=2, max=9),))
    assert set(done.refused) == {"aten.fft_rfft.default", "aten.abs.default"}
    assert sorted(done.kinds) == ["fallback", "tensorrt", "tensorrt"]
    for size in (1, 2, 7):
        x = torch.randn(size, 8)
        assert_equal(done(x), [Mean()(x)])


def test_a_fraction_of_a_size_is_no_attribute() -> None:
    class Clamped(nn.Module):
        def forward(self, x):
            return x.clamp(max=x.shape[0] / 3).relu()

    done = cut_up(Clamped(), (Input(("b", 8), min=1, opt=2, max=9),))
    assert "no whole number" in done.refused["aten.clamp.default"]
    for size in (1, 2, 7):
        x = torch.randn(size, 8)
        assert_equal(done(x), [Clamped()(x)])


def test_sizes_that_depend_on_values_stay_in_the_fallback() -> None:
    class Positive(nn.Module):
        def forward(self, x):
            return (torch.nonzero(x) * 2).sum(0), x.relu()

    done = cut_up(Positive(), (X,), fallback_ops=["aten.nonzero"])
    assert set(done.refused) >= {"aten.nonzero.default", "aten.mul.Tensor"}
    assert "depend on values" in done.refused["aten.mul.Tensor"]
    assert sorted(done.kinds) == ["fallback", "tensorrt"]
    assert_equal(done(X), Positive()(X))
