# SPDX-License-Identifier: Apache-2.0
"""Image files as inputs: scaled, cut and normalized as the bundle's signature says; by Pillow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.errors import InputError
from edge_trt_runtime.manifest import Range

if TYPE_CHECKING:
    from edge_trt_runtime.manifest import ImageSpec, Signature, TensorSpec

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder and of the folders in it, in order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)


def image_batches(
    signature: Signature, paths: Sequence[Path]
) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    """A function that reads the images anew, as many at once as the model takes.

    Args:
        signature: a model with one input, which is an image.
        paths: image files.

    Raises:
        InputError: the model takes more than an image, or the function finds a bad file.
    """
    if len(signature.inputs) != 1:
        names = ", ".join(spec.name for spec in signature.inputs)
        raise InputError(
            f"a folder of images is one input, and the model takes {names}",
            hint="give .npz files with an array for each",
        )
    (spec,) = signature.inputs
    fixed = len(spec.shape) == 4 and isinstance(spec.shape[0], int)
    least = _size(signature, spec.shape[0]).min if len(spec.shape) == 4 else 1
    count = int(spec.shape[0]) if fixed else max(least, 1)

    def batches() -> Iterator[dict[str, np.ndarray]]:
        # What is left over does not fill a batch.
        for start in range(0, len(paths) - count + 1, count):
            yield {spec.name: image_batch(signature, spec, paths[start : start + count])}

    return batches


def image_batch(signature: Signature, spec: TensorSpec, paths: Sequence[Path]) -> np.ndarray:
    """Read images as one input.

    The input must be ``[batch, channels, height, width]`` with 1 (grey) or 3 (RGB) channels, the
    channels last if the bundle says so, or the same without the batch. An image is scaled until it
    covers height x width and cut at the centre. Then pixels become ``(pixel * scale - mean) / std``
    as the bundle says; if it says nothing, floating-point inputs get pixels from 0 to 1, and
    integer inputs the pixels themselves.

    Args:
        signature: Ranges of the sizes.
        spec: The input.
        paths: Image files.

    Returns:
        The array with the input's data type.

    Raises:
        InputError: If the input can't be an image, or a file can't be read as one.
    """
    shape = list(spec.shape)
    last = spec.image is not None and spec.image.layout == "NHWC"
    order = [-1, -3, -2] if last else [-3, -2, -1]
    if len(shape) not in (3, 4) or shape[order[0]] not in (1, 3):
        raise InputError(
            f"the input {spec.name!r} has the shape {shape}, which is no image",
            name=spec.name,
            hint="give a .npy file",
        )
    channels, height, width = (shape[axis] for axis in order)
    size = (_size(signature, height), _size(signature, width))
    pixels = [_pixels(path, "L" if channels == 1 else "RGB", size) for path in paths]
    batch = np.stack([_normalised(array, spec) for array in pixels])
    if len(shape) == 3:
        if len(paths) > 1:
            raise InputError(f"the input {spec.name!r} takes one image", name=spec.name)
        return batch[0]
    if isinstance(shape[0], int) and shape[0] != len(paths):
        raise InputError(
            f"the input {spec.name!r} takes {shape[0]} images, got {len(paths)}",
            name=spec.name,
            hint=f"give --input {spec.name}=FILE {shape[0]} times",
        )
    return batch


def _size(signature: Signature, size: int | str) -> Range:
    """The sizes that a dimension takes."""
    if isinstance(size, int):
        return Range(size, size, size)
    return signature.dims.get(size, Range(1, 1, 1 << 16))


def _pixels(path: Path, mode: str, size: tuple[Range, Range]) -> np.ndarray:
    """An image as ``[height, width, channels]`` 8-bit pixels of a size within the limits."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert(mode)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image", hint="give a PNG or JPEG file") from error
    limits = zip((image.width, image.height), reversed(size), strict=True)
    wanted = tuple(
        min(max(have - have % sizes.step, sizes.min), sizes.max) for have, sizes in limits
    )
    if wanted != image.size:
        image = ImageOps.fit(image, (wanted[0], wanted[1]), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(wanted[1], wanted[0], -1)


def _normalised(pixels: np.ndarray, spec: TensorSpec) -> np.ndarray:
    dtype = NUMPY_DTYPES[spec.dtype]
    values: np.ndarray = pixels
    if spec.image is not None:
        values = _apply(pixels[..., ::-1] if spec.image.color == "BGR" else pixels, spec.image)
    elif dtype.kind == "f":
        values = pixels.astype(np.float32) / 255
    if spec.image is None or spec.image.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values.astype(dtype))


def _apply(pixels: np.ndarray, image: ImageSpec) -> np.ndarray:
    mean = np.asarray(image.mean, np.float32)
    std = np.asarray(image.std, np.float32)
    return (pixels.astype(np.float32) * np.float32(image.scale) - mean) / std
