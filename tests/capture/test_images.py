# SPDX-License-Identifier: Apache-2.0
"""Images whose preparation is in the network, against the same preparation in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import edge_trt
from edge_trt import ImageInput, ImageSpec, Input, OptionError
from edge_trt.capture import capture
from edge_trt.capture.images import IMAGENET
from edge_trt.cli.inputs import parse_inputs
from edge_trt.errors import CaptureError
from edge_trt_runtime import load, run_self_test
from tests.pipeline.models import net


def by_hand(pixels, layout="nhwc", color="RGB", mean=(0, 0, 0), std=(1, 1, 1), scale=1 / 255,
            size=None):  # fmt: skip
    x = pixels.float()
    x = x.permute(0, 3, 1, 2) if layout == "nhwc" else x
    x = x.flip(1) if color == "BGR" else x
    x = F.interpolate(x, size, mode="bilinear", align_corners=False) if size else x
    shape = (1, -1, 1, 1)
    return (x * scale - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


IMAGENET_NUMBERS = {"mean": IMAGENET[0], "std": IMAGENET[1]}


@pytest.mark.rtx
@pytest.mark.parametrize(
    ("image", "numbers"),
    [
        (ImageInput((1, 16, 12, 3), mean="imagenet"), IMAGENET_NUMBERS),
        (ImageInput((2, 16, 12, 3)), {}),
        (ImageInput((1, 3, 16, 12), layout="nchw", mean=(1, 2, 3), scale=1),
         {"layout": "nchw", "mean": (1, 2, 3), "scale": 1}),
        (ImageInput((1, 16, 12, 3), dtype="float32", std=(2, 3, 4)), {"std": (2, 3, 4)}),
        (ImageInput((1, 16, 12, 3), color="BGR", mean="imagenet"),
         {"color": "BGR", **IMAGENET_NUMBERS}),
        (ImageInput((1, 40, 30, 3), size=(16, 12), mean="imagenet"),
         {"size": (16, 12), **IMAGENET_NUMBERS}),
        (ImageInput(("n", "h", "w", 3), min={"n": 1, "h": 20, "w": 20},
                    opt={"n": 2, "h": 40, "w": 30}, max={"n": 4, "h": 60, "w": 60}, size=(16, 12)),
         {"size": (16, 12)}),
        (ImageInput(size=(16, 12)), {}),
    ],
)  # fmt: skip
def test_pixels_become_what_the_model_takes(image: ImageInput, numbers, tmp_path) -> None:
    model = net()
    bundle = edge_trt.compile(model, image, target=["cpu", "rtx"])
    bundle.save(tmp_path / "m.edge")
    (spec,) = bundle.signature.inputs
    assert spec.dtype == image.dtype
    assert spec.image is not None
    assert spec.image.layout == image.layout.upper()
    assert len(bundle.parts) == len(bundle.plans) == 1
    run = bundle.module()
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        shape = [bundle.signature.dims[s].opt if isinstance(s, str) else s for s in spec.shape]
        pixels = torch.randint(0, 256, shape, generator=generator).to(getattr(torch, spec.dtype))
        torch.testing.assert_close(run(pixels), model(by_hand(pixels, **numbers)).detach())
    assert all(result.passed for result in run_self_test(tmp_path / "m.edge"))


class Sized(nn.Module):
    """Takes images of 16 by 12, and no others."""

    def __init__(self, channels=3):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels, 16, 12))

    def forward(self, image):
        return (image * self.weight).sum((2, 3))


RANGE = {"min": (1, 10, 12, 3), "opt": (1, 16, 12, 3), "max": (2, 60, 60, 3)}


@pytest.mark.rtx
def test_the_range_of_a_resized_image_may_hold_the_size_that_the_model_takes():
    model = Sized().eval()
    bundle = edge_trt.compile(model, ImageInput(**RANGE, size=(16, 12)), target=["cpu", "rtx"])
    assert [(d.min, d.opt, d.max) for d in bundle.signature.dims.values()][1] == (10, 16, 60)
    run = bundle.module()
    for height, width in ((16, 12), (10, 12), (16, 13), (60, 60), (31, 47)):
        pixels = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
        expected = model(by_hand(pixels, size=(16, 12))).detach()
        torch.testing.assert_close(run(pixels), expected)


def test_a_model_of_one_size_says_how_its_image_is_resized():
    with pytest.raises(CaptureError, match=r"fixes dimension 1 .* fixes dimension 2") as caught:
        capture(Sized().eval(), ImageInput(**RANGE))
    assert caught.value.hint == (
        "let the network resize the image by size=(16, 12), on the command line size=16x12"
    )
    capture(Sized().eval(), parse_inputs(["1..2x3x10..60x12..60"], ["imagenet:size=16x12"]))


def test_the_fix_for_an_image_of_other_channels_works():
    model = Sized(1).eval()
    with pytest.raises(CaptureError, match="to have 1 channels, but got 3") as caught:
        capture(nn.Conv2d(1, 2, 3).eval(), ImageInput((1, 16, 12, 3)))
    assert "color='L'" in caught.value.hint
    with pytest.raises(CaptureError, match="to have 3 channels, but got 1") as caught:
        capture(nn.Conv2d(3, 2, 3).eval(), ImageInput((1, 16, 12, 1), color="L"))
    assert "color='RGB'" in caught.value.hint
    with pytest.raises(OptionError, match=r"on the command line l$"):
        parse_inputs(["1x1x16x12"], ["nhwc:uint8"])
    with pytest.raises(OptionError, match=r"on the command line mean=0\.449:std=0\.226$"):
        parse_inputs(["1x1x16x12"], ["nhwc:uint8:l:imagenet"])
    capture(model, parse_inputs(["1x1x16x12"], ["nhwc:uint8:l:mean=0.449:std=0.226"]))


def test_paths_names_and_the_model_stay_as_they_are():
    model = net()
    captured = capture(model, ImageInput((1, 16, 12, 3)))
    assert captured.input_names == ["image"]
    assert "conv.weight" in captured.program.state_dict
    assert model(torch.zeros(1, 3, 16, 12)).shape == (1, 4)
    assert not model._forward_pre_hooks
    assert len(captured.examples[0].unique()) > 50


def test_a_half_model_gets_halves():
    captured = capture(nn.Conv2d(3, 2, 3).half().eval(), ImageInput((1, 8, 8, 3)))
    assert captured.signature.outputs[0].dtype == "float16"


def test_one_grey_channel_and_no_batch():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((1, 2))

    run = edge_trt.compile(Mean().eval(), ImageInput((6, 5, 1), color="L", mean=[0.5])).module()
    pixels = torch.randint(0, 256, (6, 5, 1), dtype=torch.uint8)
    torch.testing.assert_close(run(pixels), (pixels.float() / 255 - 0.5).mean((0, 1)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"shape": (1, 3, 8, 8)}, "no nhwc image of 3 channels"),
        ({"shape": (1, 8, 8, 1)}, "give color='L' for one grey channel"),
        ({"shape": (1, 8, 8, 3), "color": "L"}, "give color='RGB'"),
        ({"shape": (1, 8, 8, 4)}, "give others as they are, by Input"),
        ({"shape": (1, 8, 8, 1), "color": "L", "mean": "imagenet"}, "is of 3 channels"),
        ({"shape": (1, 8, 8, 3), "layout": "nwhc"}, "no layout 'nwhc': did you mean 'nhwc'"),
        ({"shape": (1, 8, 8, 3), "color": "GBR"}, "no color 'GBR'"),
        ({"shape": (1, 8, 8, 3), "dtype": "int8"}, "no data type 'int8'"),
        ({"shape": (1, 8, 8, 3), "mean": "imagnet"}, "names no normalization"),
        ({"shape": (1, 8, 8, 3), "mean": (1, 2)}, "one number per channel"),
        ({"shape": (1, 8, 8, 3), "std": (1, 0, 1)}, "no std of 0"),
        ({"shape": (1, 8, 8, 3), "std": 0}, "std=0 is no list of numbers: .* 0.5, 0.5"),
        ({"shape": (1, 8, 8, 1), "color": "L", "mean": 0.5}, r"write mean=\[0.5\]"),
        ({"shape": (1, 8, 8, 3), "scale": "x"}, "scale='x' is no number"),
        ({"shape": (1, 8, 8, 3), "scale": 0}, "scale=0 is no number other than 0"),
        ({"shape": (1, 8, 8, 3), "scale": float("inf")}, "scale=inf is no number"),
        ({"shape": (1, 8, 8, 3), "mean": (1, float("nan"), 1)}, r"mean=\(1, nan, 1\) holds nan"),
        ({"shape": (1, 8, 8, 3), "mean": (1, "a", 1)}, r"mean=.* holds 'a'"),
        ({"shape": (1, 8, 8, 3), "std": (1, float("inf"), 1)}, r"std=\(1, inf, 1\) holds inf"),
        ({"shape": (1, 8, 8, 3), "std": (1, -1, 1)}, r"std=\(1, -1, 1\) holds -1: .*positive"),
        ({"shape": (1, 8, 8, 3), "size": (0, 3)}, "is no height and width"),
    ],
)
def test_what_is_no_image(arguments, says):
    with pytest.raises(OptionError, match=says):
        ImageInput(**arguments)


def test_an_image_without_a_shape_needs_a_model_with_inputs():
    with pytest.raises(OptionError, match="give its shape"):
        capture(net(), ImageInput.parse("nhwc:uint8"))
    program = torch.export.export(net(), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(edge_trt.CaptureError, match=r"give the nn\.Module"):
        capture(program, ImageInput((1, 8, 8, 3)))


def test_the_command_line_says_the_same():
    assert parse_inputs([], []) is None
    text = "image=nhwc:uint8:bgr:mean=0.5,0.4,0.3:std=0.2,0.1,0.5:scale=0.5:size=8x9"
    (image,) = parse_inputs(["image=1..2..4x3x32x48:float32"], [text])
    assert isinstance(image, ImageInput)
    assert str(image) == "image=1..2..4x32x48x3:uint8"
    assert image.size == (8, 9)
    assert image.normalization == ImageSpec([0.5, 0.4, 0.3], [0.2, 0.1, 0.5], 0.5)
    assert image.image == ImageSpec([0.0] * 3, [1.0] * 3, 1.0, "NHWC", "BGR")
    (short,) = parse_inputs(["1x3x8x8"], ["imagenet"])
    assert str(short) == "1x8x8x3:uint8"
    assert short.normalization == ImageSpec(*map(list, IMAGENET))
    other, kept = parse_inputs(["a=4", "b=1x3x8x8"], ["b=nchw"])
    assert type(other) is Input
    assert str(kept) == "b=1x3x8x8:uint8"


@pytest.mark.parametrize(
    ("inputs", "image", "says"),
    [
        (["a=1x3x8x8"], "b=nhwc", "b is of no --input: choose from 'a'"),
        (["a=1x3x8x8", "b=1"], "nhwc", "without a name is of no --input"),
        (["a=1x3"], "a=nhwc", "no image"),
        (["a=1x3x8x8"], "a=nhwcc", "'nhwcc' says nothing of the image .*did you mean 'nhwc'"),
        (["a=1x3x8x8"], "a=mean=1,x,3", "can't read 'mean=1,x,3'"),
    ],
)
def test_the_command_line_refuses(inputs, image, says):
    with pytest.raises(OptionError, match=says):
        parse_inputs(inputs, [image])


def test_a_photograph_becomes_the_bytes(tmp_path):
    from PIL import Image

    from edge_trt.cli.files import read_inputs

    bundle = edge_trt.compile(net(), ImageInput((1, 6, 8, 3), color="BGR"))
    bundle.save(tmp_path / "m.edge")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    with load(tmp_path / "m.edge") as session:
        arrays = read_inputs(session.signature, [f"image={tmp_path / 'photo.png'}"])
        assert np.array_equal(arrays["image"], pixels[None, ..., ::-1])
        session.run(arrays)
