# SPDX-License-Identifier: Apache-2.0
"""The oracles' small parts: comparison, random inputs, the model zoo."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.support.compare import assert_close, relative_error, within
from tests.support.random_inputs import odd_size, random_like, random_tensor
from tests.support.zoo import CORE, randomise

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("result", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.1], [1.0, 2.0], 0.05),
        ([0.0], [0.0], 0.0),
        ([1e-9], [0.0], INF),
        ([NAN, 1.0], [NAN, 1.0], 0.0),
        ([1.0, NAN], [NAN, 1.0], INF),
        ([1.0, 1.0], [NAN, 1.0], INF),
        ([INF, 1.0], [INF, 2.0], 0.5),
        ([-INF, 1.0], [INF, 1.0], INF),
        ([], [], 0.0),
        ([1], [1], 0.0),
        ([1, 2], [1, 3], INF),
        ([1], [1.0], INF),
        ([True], [False], INF),
        ([[1.0]], [1.0], INF),
    ],
)
def test_relative_error(result: list[object], expected: list[object], error: float) -> None:
    found = relative_error(torch.tensor(result), torch.tensor(expected))
    assert found == pytest.approx(error, abs=1e-7)


def test_small_differences_are_allowed_absolutely() -> None:
    tiny = torch.tensor([1e-7])
    assert within(tiny, torch.zeros(1))
    assert not within(tiny, torch.zeros(1), atol=1e-8)
    assert not within(torch.tensor([NAN]), torch.zeros(1))
    assert not within(torch.tensor([1]), torch.tensor([2]), atol=10)


def test_a_difference_is_told_with_types_and_shapes() -> None:
    text = r"here: relative error inf .*got torch.float32\[2\], eager gives torch.int64\[2\]"
    with pytest.raises(AssertionError, match=text):
        assert_close(torch.zeros(2), torch.zeros(2, dtype=torch.int64), "here")


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int8,
        torch.uint8,
        torch.bool,
    ],
)
def test_random_tensors_have_their_type_and_vary(dtype: torch.dtype) -> None:
    tensor = random_tensor(8, 16, dtype=dtype)
    assert tensor.dtype is dtype
    assert tensor.shape == (8, 16)
    assert len(tensor.unique()) > 1


@pytest.mark.parametrize("example", [torch.tensor([2, 5]), torch.tensor([0.5, 2.0])])
def test_fresh_values_stay_in_the_range_of_the_example(example: torch.Tensor) -> None:
    fresh = random_like(example, (50, 3))
    assert fresh.dtype is example.dtype
    assert fresh.shape == (50, 3)
    assert example.min() <= fresh.min()
    assert fresh.max() <= example.max()


@pytest.mark.parametrize(
    ("limits", "size"), [((1, 2, 8), 5), ((1, 3, 4), 3), ((4, 4, 4), 4), ((1, 2, 3), 2)]
)
def test_odd_sizes(limits: tuple[int, int, int], size: int) -> None:
    assert odd_size(*limits) == size


def test_randomise_leaves_nothing_without_effect() -> None:
    model = randomise(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LayerNorm(144)),
        torch.randn(8, 3, 8, 8),
    )
    norm = model[1]
    for name, parameter in model.named_parameters():
        assert parameter.any(), name
    assert not torch.allclose(norm.running_mean, torch.zeros(4), atol=1e-3)
    assert not torch.allclose(norm.running_var, torch.ones(4), atol=1e-3)
    assert not norm.training


def test_the_zoo_has_every_model_of_the_list() -> None:
    assert len(CORE) == 25
    assert CORE["inception_v3"].size == 299


FAST = ("resnet18", "squeezenet1_1", "timm:deit_tiny_patch16_224")


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in CORE]
)
def test_models_depend_on_their_input_and_are_well_conditioned(name: str) -> None:
    """Else a comparison with eager would check nothing, or fail through rounding alone."""
    entry = CORE[name]
    model, same = entry.build(), entry.build()
    with torch.no_grad():
        first, second = (tensor_of(model(entry.example(seed=seed))) for seed in (1, 2))
        again = tensor_of(same(entry.example(seed=1)))
        exact = tensor_of(model.double()(entry.example(seed=1).double())).float()
    assert torch.equal(first, again)
    assert relative_error(second, first) > 0.02
    assert relative_error(first, exact) < 3e-5


def tensor_of(output: object) -> torch.Tensor:
    return next(iter(output.values())) if isinstance(output, dict) else output
