# SPDX-License-Identifier: Apache-2.0
"""One bundle for a range of batches and sizes, checked at its ends, its optimum and between."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.capture import Axis
from edge_trt_runtime import load
from tests.support.models import Detector, TextEncoder
from tests.support.zoo import ZOO, randomise

TOLERANCE = 2e-3


@dataclass(frozen=True)
class Case:
    """A model, its inputs as on the command line, and a step that odd sizes keep to."""

    build: Callable[[], nn.Module]
    inputs: tuple[str, ...]
    step: int = 1


def torchvision(name: str, **arguments: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from edge_trt.capture.torchvision_ops import declared_on_import

        with declared_on_import():
            from torchvision import models
        return models.get_model(name, weights=None, **arguments)

    return build


def small_resnet() -> nn.Module:
    from edge_trt.capture.torchvision_ops import declared_on_import

    with declared_on_import():
        from torchvision.models.resnet import Bottleneck, ResNet
    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10, width_per_group=8)


def small_vit() -> nn.Module:
    from edge_trt.capture.torchvision_ops import declared_on_import

    with declared_on_import():
        from torchvision.models.vision_transformer import VisionTransformer
    return VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=10)


class SmallSegmenter(nn.Module):
    """A dilated backbone, a head, and logits resized to the size of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Conv2d(8, 4, 3, padding=2, dilation=2)

    def forward(self, x):
        y = self.head(self.down(x))
        return nn.functional.interpolate(y, size=x.shape[-2:], mode="bilinear")


class CausalTransformer(nn.Module):
    """A masked encoder and decoder that leave it to torch to find out that the masks are causal."""

    def __init__(self) -> None:
        super().__init__()
        encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(encoder, 2)
        decoder = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)
        self.decoder = nn.TransformerDecoder(decoder, 1)

    def forward(self, source, target):
        masks = (
            nn.Transformer.generate_square_subsequent_mask(x.shape[1]) for x in (source, target)
        )
        return self.decoder(target, self.encoder(source, next(masks)), next(masks))


LARGE = "image=1..2..8x3x192..224..512x192..224..512"
CASES = {
    "resnet": Case(small_resnet, ("image=1..2..4x3x33..64..96x32..64..96",)),
    "vit": Case(small_vit, ("image=1..2..8x3x32x32",)),
    "fcn": Case(SmallSegmenter, ("image=1..2..3x3x19..24..51x19..24..51",)),
    "detector": Case(
        lambda: Detector(width=4, classes=3), ("image=1..2..3x3x32..64..128x32..64..96",), 32
    ),
    "bert": Case(
        lambda: TextEncoder(layers=1),
        ("ids=batch:1..2..4xseq:1..7..20:int64", "mask=batch:1..2..4xseq:1..7..20:int64"),
    ),
    "transformer": Case(
        CausalTransformer,
        ("source=batch:1..2..3xfirst:1..5..9x16", "target=batch:1..2..3xsecond:1..6..12x16"),
    ),
    "transformers_bert": Case(
        ZOO["transformers:bert"].make,
        (
            "input_ids=batch:1..2..4xseq:2..7..20:int64",
            "attention_mask=batch:1..2..4xseq:2..7..20:int64",
        ),
    ),
}
SLOW = {
    "resnet50": Case(torchvision("resnet50"), (LARGE,)),
    "vit_b_16": Case(torchvision("vit_b_16"), ("image=1..2..8x3x224x224",)),
    "fcn_resnet50": Case(
        torchvision("fcn_resnet50", weights_backbone=None),
        ("image=1..2..4x3x192..224..512x192..224..512",),
    ),
    "detector_large": Case(lambda: Detector(width=16), (LARGE,), 32),
    "bert_base": Case(
        lambda: TextEncoder(words=30522, width=768, heads=12, layers=12),
        ("ids=batch:1..2..8xseq:1..128..512:int64", "mask=batch:1..2..8xseq:1..128..512:int64"),
    ),
}
ALL = {**CASES, **SLOW}


def described(case: Case) -> tuple[edge_trt.Input, ...]:
    return tuple(edge_trt.Input.parse(text) for text in case.inputs)


def shapes_to_run(case: Case) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of all inputs at the least, usual, greatest and odd sizes."""

    def odd(axis: Axis, turn: int) -> int:
        return max(axis.min, axis.max - (1 + turn) * case.step)

    kinds: dict[str, Callable[[Axis, int], int]] = {
        "min": lambda axis, _: axis.min,
        "opt": lambda axis, _: axis.opt,
        "max": lambda axis, _: axis.max,
        "odd": odd,
    }
    found: dict[str, list[tuple[int, ...]]] = {}
    for kind, size_of in kinds.items():
        found[kind] = []
        for given in described(case):
            turns = itertools.count()
            found[kind].append(
                tuple(
                    size_of(size, next(turns))
                    if isinstance(size, Axis) and (size.max > size.min)
                    else int(size)  # type: ignore[call-overload]
                    for size in given.shape
                )
            )
    return found


def arrays(case: Case, shapes: list[tuple[int, ...]], seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made: list[torch.Tensor] = []
    for given, shape in zip(described(case), shapes, strict=True):
        if given.dtype == "float32":
            made.append(torch.randn(shape, generator=generator))
        else:
            high = 2 if str(given.name).endswith("mask") else 100
            made.append(torch.randint(0, high, shape, generator=generator))
            made[-1][:, 0] = 1  # a sequence of padding only is nothing
    return made


@pytest.mark.rtx
@pytest.mark.filterwarnings("ignore:.*is taken in multiples of")
@pytest.mark.parametrize(
    "name", [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_one_bundle_takes_all_sizes(name: str, tmp_path) -> None:
    case = ALL[name]
    torch.manual_seed(zlib.crc32(name.encode()))
    model = case.build().eval()
    shapes = shapes_to_run(case)
    sample = arrays(case, shapes["opt"], 0)[0]
    randomise(model, sample if sample.dim() == 4 and sample.is_floating_point() else None)
    model.eval()
    bundle = edge_trt.compile(model, described(case), target=["cpu", "rtx"])
    bundle.save(tmp_path / "m.edge")
    assert len(bundle.parts) == 1
    (plan,) = bundle.plans
    assert len(plan.data) > 0
    with load(tmp_path / "m.edge") as session:
        for seed, sizes in enumerate(shapes.values()):
            inputs = arrays(case, sizes, seed)
            with torch.inference_mode():
                expected = model(*inputs)
            if isinstance(expected, dict):
                expected = list(expected.values())
            expected = expected if isinstance(expected, (list, tuple)) else [expected]
            named = dict(zip([s.name for s in session.signature.inputs], inputs, strict=True))
            outputs = session.run({key: tensor.numpy() for key, tensor in named.items()})
            for got, wanted in zip(outputs.values(), expected, strict=True):
                assert got.shape == tuple(wanted.shape)
                scale = float(wanted.abs().max())
                assert np.abs(got - wanted.numpy()).max() <= TOLERANCE * scale


class SizeOfElsewhere(nn.Module):
    """After a fallback only a number is left, and a size that no shape there determines."""

    def forward(self, x, y):
        total = torch.fft.rfft(x.relu()).abs().sum()
        return torch.softmax((total + y).expand(x.shape[0] * 2, -1).exp(), 0)


@pytest.mark.rtx
@pytest.mark.parametrize("profiles", [(), ("n=1", "n=2..4..8")])
def test_a_size_that_no_shape_determines_is_an_input(profiles, tmp_path) -> None:
    model = SizeOfElsewhere().eval()
    given = (edge_trt.Input(("n", 4), min=1, opt=4, max=8), torch.randn(1, 4))
    bundle = edge_trt.compile(
        model, given, target=["cpu", "rtx"], min_block_size=1, fallback_ops="aten.sum",
        profiles=profiles,
    )  # fmt: skip
    values = [spec.value for part in bundle.parts for spec in part.tensors if spec.value]
    assert "2*n" in values
    assert len(bundle.plans) == len(bundle.networks) == 2
    y = torch.randn(1, 4)
    for size in (1, 4, 8):
        x = torch.randn(size, 4)
        torch.testing.assert_close(bundle.module()(x, y), model(x, y), rtol=1e-3, atol=1e-5)
    again = edge_trt.load(bundle.save(tmp_path / "m.edge"))
    assert [spec.value for part in again.parts for spec in part.tensors if spec.value] == values
