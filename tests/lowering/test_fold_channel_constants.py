# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from edge_trt.lowering.fold_channel_constants import fold_channel_constants
from edge_trt.lowering.fold_constants import fold_constants
from edge_trt.lowering.remove_dead_code import remove_dead_code
from tests.lowering.graphs import agree, check, lines, ops, text, unlifted


class After(nn.Module):
    """A layer, and a function of its result and constants."""

    def __init__(self, layer, function, **constants):
        super().__init__()
        self.layer, self.function = layer, function
        for name, data in constants.items():
            self.register_buffer(name, data)

    def forward(self, x):
        return self.function(self.layer(x), **dict(self.named_buffers(recurse=False)))


class FrozenBatchNorm(nn.Module):
    """As detectors write it."""

    def __init__(self, channels):
        super().__init__()
        for name in ("weight", "bias", "mean", "var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x):
        weight, bias, mean, var = (b.reshape(1, -1, 1, 1) for b in self.buffers())
        scale = weight * (var + 1e-5).rsqrt()
        return x * scale + (bias - mean * scale)


def lowered(model, x):
    gm = unlifted(model, x)
    fold_constants(gm)
    changed = fold_channel_constants(gm)
    remove_dead_code(gm)
    check(gm)
    return gm, changed


def test_text():
    x = torch.randn(2, 5, 3)
    model = After(nn.Linear(3, 4), lambda y, gamma: y.permute(0, 2, 1) * gamma,
                  gamma=torch.rand(4, 1) + 0.5)  # fmt: skip
    gm, changed = lowered(model, x)
    assert changed
    assert text(gm) == lines("""
        x = input
        layer_folded_weight = <layer.folded_weight>
        layer_folded_bias = <layer.folded_bias>
        linear = linear(x, layer_folded_weight, layer_folded_bias)
        permute = permute(linear, [0, 2, 1])
        return (permute)
    """)
    agree(gm, model, x)
    assert not fold_channel_constants(gm)


G = torch.rand(4) + 0.5
LINEAR, CONV = nn.Linear(3, 4), nn.Conv2d(3, 4, 2)
ROWS, IMAGE = (2, 5, 3), (2, 3, 6, 5)
FOLDED = {
    "product": (LINEAR, lambda y, g: y * g, ROWS, G),
    "product, constant first": (LINEAR, lambda y, g: g * y, ROWS, G),
    "quotient": (LINEAR, lambda y, g: y / g, ROWS, G),
    "sum": (LINEAR, lambda y, g: g + y, ROWS, G),
    "difference": (LINEAR, lambda y, g: y - g, ROWS, G),
    "no bias, product": (nn.Linear(3, 4, bias=False), lambda y, g: y * g, ROWS, G),
    "no bias, difference": (nn.Linear(3, 4, bias=False), lambda y, g: y - g, ROWS, G),
    "several": (LINEAR, lambda y, g: (y * g + g) / g - g, ROWS, G),
    "conv": (CONV, lambda y, g: y * g, IMAGE, G.reshape(4, 1, 1)),
    "conv, permuted": (CONV, lambda y, g: y.permute(0, 2, 3, 1) * g, IMAGE, G),
    "conv 1d": (nn.Conv1d(3, 4, 2), lambda y, g: y * g, (2, 3, 6), G.reshape(1, 4, 1)),
    "conv transpose, groups": (
        nn.ConvTranspose2d(4, 4, 2, groups=2), lambda y, g: y * g - g, (2, 4, 6, 5),
        G.reshape(4, 1, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDED)
def test_folded(name):
    layer, function, shape, g = FOLDED[name]
    model, x = After(layer, function, g=g), torch.randn(shape)
    gm, changed = lowered(model, x)
    assert changed
    assert not set(ops(gm)) & {"mul", "div", "add", "sub"}
    agree(gm, model, x)


def test_a_frozen_batch_norm_vanishes():
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), FrozenBatchNorm(4), nn.ReLU()), torch.randn(IMAGE)
    gm, _ = lowered(model, x)
    assert set(ops(gm)) == {"conv2d", "relu"}
    agree(gm, model, x)


def test_the_model_keeps_its_weights():
    layer = nn.Linear(3, 4)
    before = layer.weight.clone()
    lowered(After(layer, lambda y, g: y * g + g, g=G), torch.randn(ROWS))
    assert torch.equal(layer.weight, before)


STAYS = {
    "two readers": (LINEAR, lambda y, g: y * g + y, ROWS, G),
    "the other axis": (nn.Linear(3, 4), lambda y, g: y * g, (2, 4, 3), G.reshape(4, 1)),
    "not per channel": (LINEAR, lambda y, g: y * g, ROWS, torch.rand(5, 4)),
    "one number": (LINEAR, lambda y, g: y * g, ROWS, torch.tensor([2.0])),
    "larger result": (LINEAR, lambda y, g: y * g, (1, 3), torch.rand(2, 1, 4)),
    "no constant": (LINEAR, lambda y, g: y * y.sin() * 1, ROWS, G),
    "activation between": (LINEAR, lambda y, g: y.relu() * g, ROWS, G),
    "tiny scale": (LINEAR, lambda y, g: y * g, ROWS, torch.full((4,), 1e-6)),
    "division by zero": (LINEAR, lambda y, g: y / g, ROWS, torch.zeros(4)),
    "alpha": (LINEAR, lambda y, g: torch.add(y, g, alpha=2), ROWS, G),
    "constant minus": (LINEAR, lambda y, g: g - y, ROWS, G),
    "wider type": (LINEAR, lambda y, g: y * g, ROWS, G.double()),
    "integers": (LINEAR, lambda y, g: y + g, ROWS, torch.arange(4)),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_stays(name):
    layer, function, shape, g = STAYS[name]
    gm, changed = lowered(After(layer, function, g=g), torch.randn(shape))
    assert not changed
    assert set(ops(gm)) & {"mul", "div", "add", "sub"}


def test_shared_weights_are_not_copied():
    layer = nn.Linear(4, 4)
    model = After(layer, lambda y, g: layer(y * g), g=G)
    _, changed = lowered(model, torch.randn(2, 4))
    assert not changed
