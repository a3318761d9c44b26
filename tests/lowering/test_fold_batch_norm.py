# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from edge_trt.lowering.fold_batch_norm import fold_batch_norm
from edge_trt.lowering.remove_dead_code import remove_dead_code
from tests.lowering.graphs import agree, check, lines, ops, text, unlifted


def randomised(model):
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            if norm.affine:
                nn.init.uniform_(norm.weight, -2, 2)
                nn.init.normal_(norm.bias)
            if norm.track_running_stats:
                nn.init.normal_(norm.running_mean)
                nn.init.uniform_(norm.running_var, 0.2, 3)
    return model.eval()


def test_text():
    model = randomised(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    x = torch.randn(2, 3, 8, 8)
    gm = unlifted(model, x)
    assert fold_batch_norm(gm)
    remove_dead_code(gm)
    check(gm)
    assert text(gm) == lines("""
        input_1 = input
        _0_folded_weight = <0.folded_weight>
        _0_folded_bias = <0.folded_bias>
        conv2d = conv2d(input_1, _0_folded_weight, _0_folded_bias)
        relu = relu(conv2d)
        return (relu)
    """)
    agree(gm, model, x)
    assert not fold_batch_norm(gm)


LAYERS = [
    (nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d(6), (2, 4, 9)),
    (nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    (nn.Conv2d(4, 4, 3, groups=4, stride=2, padding=1), nn.BatchNorm2d(4), (2, 4, 9, 9)),
    (nn.Conv3d(2, 3, 2, padding=1), nn.BatchNorm3d(3, eps=1e-3), (2, 2, 4, 5, 6)),
    (nn.ConvTranspose1d(4, 6, 3), nn.BatchNorm1d(6), (2, 4, 9)),
    (nn.ConvTranspose2d(4, 6, 3, 2, groups=2, output_padding=1), nn.BatchNorm2d(6), (2, 4, 5, 5)),
    (nn.ConvTranspose3d(2, 4, 2, bias=False), nn.BatchNorm3d(4), (1, 2, 3, 4, 5)),
    (nn.Linear(5, 6), nn.BatchNorm1d(6), (3, 5)),
    (nn.Linear(5, 6, bias=False), nn.BatchNorm1d(6, affine=False), (3, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "norm", "shape"), LAYERS, ids=lambda x: type(x).__name__)
def test_layers(layer, norm, shape):
    model = randomised(nn.Sequential(layer, norm))
    x = torch.randn(shape)
    gm = unlifted(model, x)
    assert fold_batch_norm(gm)
    remove_dead_code(gm)
    check(gm)
    assert "batch_norm" not in ops(gm)
    agree(gm, model, x)


def test_half_precision_weights_stay_half():
    model = randomised(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).half()
    gm = unlifted(model, torch.randn(1, 3, 8, 8).half())
    assert fold_batch_norm(gm)
    remove_dead_code(gm)
    assert {buffer.dtype for buffer in gm.buffers()} == {torch.float16}


def test_the_model_keeps_its_weights():
    model = randomised(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    before = {name: data.clone() for name, data in model.state_dict().items()}
    fold_batch_norm(unlifted(model, torch.randn(1, 3, 8, 8)))
    assert all(torch.equal(data, before[name]) for name, data in model.state_dict().items())


def test_a_weight_with_two_readers_is_folded_for_one():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.conv(x)) + self.conv(x * 2)

    model = randomised(Shared())
    x = torch.randn(1, 3, 4, 4)
    gm = unlifted(model, x)
    assert fold_batch_norm(gm)
    agree(gm, model, x)


class Uses(nn.Module):
    """Batch-norms that must stay: each after the same convolution."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4, track_running_stats=kind != "batch statistics")
        self.linear, self.rows = nn.Linear(4, 5), nn.BatchNorm1d(3)

    def forward(self, x):
        y = self.conv(x)
        if self.kind == "two readers":
            return self.norm(y) + y
        if self.kind == "relu between":
            return self.norm(y.relu())
        if self.kind == "channels are not features":
            return self.rows(self.linear(x[..., 0].permute(0, 2, 1)[:, :3]))
        if self.kind == "variable weight":
            return self.norm(nn.functional.conv2d(x, x[:, :, :1, :1].repeat(2, 1, 1, 1)[:4]))
        return self.norm(y)


@pytest.mark.parametrize(
    "kind",
    [
        "two readers",
        "relu between",
        "channels are not features",
        "variable weight",
        "batch statistics",
    ],
)
def test_what_can_not_be_folded_stays(kind):
    model = randomised(Uses(kind))
    x = torch.randn(2, 3, 4, 4) if kind != "channels are not features" else torch.randn(2, 4, 4, 4)
    model.conv = nn.Conv2d(x.shape[1], 4, 1)
    gm = unlifted(model, x)
    assert not fold_batch_norm(gm)
    assert "batch_norm" in ops(gm)
