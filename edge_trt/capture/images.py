# SPDX-License-Identifier: Apache-2.0
"""``ImageInput``: a camera's bytes as input, with their preparation inside the network.

Grammar of an image on the command line, beside the input's shape as the model takes it::

    image := [name "="] part (":" part)*
    part  := "nhwc" | "nchw" | "uint8" | "float32" | "float16" | "rgb" | "bgr" | "l"
           | "imagenet" | "mean=" numbers | "std=" numbers | "scale=" number | "size=" H "x" W
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, TypeGuard

from edge_trt.capture.inputs import Bound, Input
from edge_trt.errors import OptionError
from edge_trt_runtime.manifest import ImageSpec
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_trt.capture.axes import Axis, Shape

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that most classifiers of torchvision and timm were trained with."""

_LAYOUTS = ("nhwc", "nchw")
_COLORS = ("RGB", "BGR", "L")
_TYPES = ("uint8", "float32", "float16")
_DIVISOR = 255


class ImageInput(Input):
    """An image that the network itself prepares: cast, layout, resize and normalization.

    Stands in the place of an example tensor, as ``Input`` does. The bundle then takes the pixels
    as a camera gives them, a quarter of the bytes, and the model gets
    ``(pixels * scale - mean) / std`` as floats in NCHW::

        ImageInput((1, 224, 224, 3), mean="imagenet")
        ImageInput(min=(1, 224, 224, 3), opt=(4, 224, 224, 3), max=(8, 224, 224, 3))
        ImageInput((1, 1080, 1920, 3), size=(224, 224), color="BGR")

    Args:
        shape: Sizes in the order of ``layout``, as for ``Input``; without the batch if the model
            takes images so. Left out, they come from ``size`` (a batch of one) or, where the model
            brings its own inputs, from those.
        min: Least sizes.
        opt: Sizes that engines are tuned for.
        max: Greatest sizes.
        layout: ``"nhwc"`` (cameras, image files) or ``"nchw"``.
        dtype: ``"uint8"``, ``"float32"`` or ``"float16"``.
        mean: One number per channel of the model, or ``"imagenet"`` for mean and std.
        std: One number per channel.
        scale: Factor of a pixel before ``mean`` is subtracted.
        color: Order of the input's channels: ``"RGB"``, ``"BGR"`` (turned into RGB in the network),
            or ``"L"`` for one grey channel.
        size: Height and width that the network resizes to, bilinear with half-pixel centres and
            without antialiasing, as ``torch.nn.functional.interpolate`` does.
        name: As for ``Input``.

    Raises:
        OptionError: When the description contradicts itself.
    """

    layout: str
    normalization: ImageSpec
    size: tuple[int, int] | None

    def __init__(
        self,
        shape: Sequence[int | str | None] | None = None,
        *,
        min: Bound = None,  # noqa: A002 - as Input
        opt: Bound = None,
        max: Bound = None,  # noqa: A002
        layout: str = "nhwc",
        dtype: str = "uint8",
        mean: Sequence[float] | str | None = None,
        std: Sequence[float] | None = None,
        scale: float = 1 / _DIVISOR,
        color: str = "RGB",
        size: tuple[int, int] | None = None,
        name: str | None = None,
    ) -> None:
        """Check that everything is there and fits together."""
        for value, known, what in (
            (layout, _LAYOUTS, "layout"),
            (color, _COLORS, "color"),
            (str(dtype).removeprefix("torch."), _TYPES, "data type"),
        ):
            if value not in known:
                raise OptionError(
                    f"an image has no {what} {value!r}", hint=did_you_mean(str(value), known)
                )
        channels = 1 if color == "L" else 3
        _check_numbers(mean, std, scale, size, channels)
        if shape is None and min is None and max is None and size is not None:
            shape = (1, *size, channels) if layout == "nhwc" else (1, channels, *size)
        given = shape is not None or min is not None or max is not None
        super().__init__(shape if given else (), min=min, opt=opt, max=max, dtype=dtype, name=name)
        spec = _normalization(mean, std, scale, channels)
        raw = ImageSpec(
            [0.0] * channels, [1.0] * channels, 1.0, layout.upper(), color  # type: ignore[arg-type]
        )  # fmt: skip
        values = {"layout": layout, "normalization": spec, "size": size, "image": raw}
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)
        if given:
            self._check_shape()

    @property
    def channels(self) -> int:
        """How many channels a pixel has."""
        return len(self.normalization.mean)

    def fixed_size(self, sizes: Mapping[int, int | Axis]) -> tuple[int, int] | None:
        """Return height and width with some sizes changed, by dimension, if both are fixed then.

        None also where other dimensions change, or the image is resized already.
        """
        rank = len(self.shape)
        places = [rank - 3, rank - 2] if self.layout == "nhwc" else [rank - 2, rank - 1]
        height, width = (sizes.get(place, self.shape[place]) for place in places)
        if self.size is not None or not isinstance(height, int) or not isinstance(width, int):
            return None
        return (height, width) if set(sizes) <= set(places) else None

    def of(self, model_input: Input) -> ImageInput:
        """Return the same image with the shape of the model's own input, which is NCHW."""
        shape = list(model_input.shape)
        if len(shape) not in (3, 4):
            raise OptionError(f"{model_input} is no image", hint="an image is NCHW or CHW")
        if self.layout == "nhwc":
            shape.append(shape.pop(-3))
        changed = self.with_shape(shape)
        assert isinstance(changed, ImageInput)
        object.__setattr__(changed, "name", self.name or model_input.name)
        changed._check_shape()
        return changed

    def _check_shape(self) -> None:
        shape: Shape = self.shape
        axis = -1 if self.layout == "nhwc" else -3
        if len(shape) not in (3, 4) or shape[axis] != self.channels:
            raise OptionError(
                f"the shape {self} is no {self.layout} image of {self.channels} channels",
                hint=self._fix_of_shape(),
            )

    def _fix_of_shape(self) -> str:
        if len(self.shape) in (3, 4):
            last, first = self.shape[-1], self.shape[-3]
            here, elsewhere = (last, first) if self.layout == "nhwc" else (first, last)
            if here in (1, 3) or elsewhere not in (1, 3):
                return for_channels(here)
        return "put the channels last for nhwc, and third from last for nchw"

    @classmethod
    def parse(cls, text: str) -> ImageInput:
        """Read an image from the command line; its shape comes from an input.

        Raises:
            OptionError: When the text does not follow the grammar above.
        """
        head, *rest = text.strip().split(":")
        name, equals, first = head.partition("=")
        if not equals or name in _WORDS:
            name, first = "", head
        options: dict[str, object] = {}
        for part in filter(None, [first, *rest]):
            options.update(_option(part, text))
        return cls(name=name or None, **options)  # type: ignore[arg-type]


def for_channels(count: int | Axis) -> str:
    """Return what to write for a model that takes images of so many channels."""
    if count == 1:
        return "give color='L' for one grey channel, on the command line l"
    if count == 3:
        return "give color='RGB' (or 'BGR') for three channels, on the command line rgb"
    return "an image has 1 or 3 channels: give others as they are, by Input or --input alone"


_WORDS = {"mean", "std", "scale", "size"}


def _option(part: str, text: str) -> dict[str, object]:
    """Return the keyword that one part of the command line's text stands for."""
    key, equals, value = part.partition("=")
    try:
        if key in ("mean", "std") and equals:
            return {key: tuple(float(number) for number in value.split(","))}
        if key == "scale" and equals:
            return {key: float(value)}
        if key == "size" and equals:
            height, width = value.split("x")
            return {key: (int(height), int(width))}
    except ValueError:
        raise OptionError(
            f"can't read {part!r} in the image {text!r}",
            hint="write mean=0.5,0.5,0.5, scale=0.0039 or size=224x224",
        ) from None
    if part == "imagenet":
        return {"mean": part}
    for option, known in (("layout", _LAYOUTS), ("dtype", _TYPES)):
        if part in known:
            return {option: part}
    if part.upper() in _COLORS:
        return {"color": part.upper()}
    words = [*_LAYOUTS, *_TYPES, "imagenet", *(f"{w}=" for w in sorted(_WORDS)), "rgb", "bgr", "l"]
    raise OptionError(
        f"{part!r} says nothing of the image {text!r}", hint=did_you_mean(part, words)
    )


def _check_numbers(mean: object, std: object, scale: object, size: object, channels: int) -> None:
    """Refuse what is no number, or no list of them."""
    for name, value in (("mean", mean), ("std", std)):
        if value is not None and not isinstance(value, str | Sequence):
            raise OptionError(
                f"{name}={value!r} is no list of numbers", hint=f"write {name}={[0.5] * channels}"
            )
        for number in () if value is None or isinstance(value, str) else value:
            if not _is_finite(number) or (name == "std" and not number > 0):
                usable = "positive number, and no std of 0" if name == "std" else "finite number"
                raise OptionError(
                    f"{name}={value!r} holds {number!r}", hint=f"give each channel a {usable}"
                )
    if not _is_finite(scale) or not scale:
        raise OptionError(f"scale={scale!r} is no number other than 0", hint="write scale=1/255")
    sizes = size if isinstance(size, tuple | list) else () if size is None else (size,)
    if sizes and (len(sizes) != 2 or not all(isinstance(n, int) and n > 0 for n in sizes)):
        raise OptionError(f"size={size!r} is no height and width", hint="write size=(224, 224)")


def _is_finite(number: object) -> TypeGuard[float]:
    return isinstance(number, Real) and not isinstance(number, bool) and math.isfinite(number)


def _normalization(
    mean: Sequence[float] | str | None, std: Sequence[float] | None, scale: float, channels: int
) -> ImageSpec:
    """Return mean and std, one number per channel."""
    if isinstance(mean, str):
        if mean != "imagenet" or std is not None:
            raise OptionError(
                f"mean={mean!r} names no normalization", hint="write mean='imagenet' alone"
            )
        if channels != len(IMAGENET[0]):
            raise OptionError(
                f"mean='imagenet' is of {len(IMAGENET[0])} channels, and the image has {channels}",
                hint="give one mean and std, as mean=[0.449], std=[0.226], on the command line"
                " mean=0.449:std=0.226",
            )
        mean, std = IMAGENET
    mean = [0.0] * channels if mean is None else [float(value) for value in mean]
    std = [1.0] * channels if std is None else [float(value) for value in std]
    if len(mean) != channels or len(std) != channels:
        raise OptionError(
            f"mean {mean} and std {std} don't normalize {channels} channels",
            hint="give one number per channel",
        )
    return ImageSpec(mean, std, float(scale))
