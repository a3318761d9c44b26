# SPDX-License-Identifier: Apache-2.0
"""The preparation of images as a part of the model, so that it is captured with it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.utils import _pytree as pytree

from edge_trt.capture.images import ImageInput
from edge_trt.capture.inputs import Input
from edge_trt.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from torch import nn

    from edge_trt.capture.call import Call


def with_images(own: Any, given: Any) -> Any:
    """Return the inputs to capture with: those given, or else the model's own.

    An ``ImageInput`` without a shape stands for the model's own input of its name, or the only one.

    Raises:
        OptionError: When the model has no such input.
    """
    entries = given if isinstance(given, list | tuple) else (given,)
    images = [entry for entry in entries if isinstance(entry, ImageInput) and not entry.shape]
    if not images:
        return own if given is None else given
    if len(images) != len(entries) or not isinstance(own, list | tuple):
        raise OptionError(
            "an image without a shape stands for an input that the model brings along",
            hint="give its shape, as in ImageInput((1, 224, 224, 3)) or --input image=1x3x224x224",
        )
    inputs = list(own)
    for image in images:
        places = [i for i, entry in enumerate(own) if isinstance(entry, Input)]
        named = [i for i in places if image.name and own[i].name == image.name]
        if len(named or places) != 1:
            raise OptionError(
                f"the model's own inputs have no single image {image.name or ''!r}",
                hint="describe them by Input and ImageInput",
            )
        place = (named or places)[0]
        inputs[place] = image.of(own[place])
    return tuple(inputs)


@contextmanager
def prepared_images(model: nn.Module, call: Call) -> Generator[None]:
    """Let a model take the images that a call describes, as long as the block runs.

    A hook does it and not a wrapping module: paths of modules and names of parameters stay.
    """
    images = {
        tensor.position: tensor.described
        for tensor in call.tensors
        if isinstance(tensor.described, ImageInput)
    }
    if not images:
        yield
        return
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)

    def prepare_all(_: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        for position, image in images.items():
            leaves[position] = prepare(leaves[position], image, dtype)
        return pytree.tree_unflatten(leaves, spec)

    handle = model.register_forward_pre_hook(prepare_all, prepend=True, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def prepare(pixels: torch.Tensor, image: ImageInput, dtype: torch.dtype) -> torch.Tensor:
    """Return what the model takes: ``(pixels * scale - mean) / std`` in NCHW.

    Args:
        pixels: The image as the bundle gets it.
        image: What is known of it.
        dtype: The model's type of floats.
    """
    x = pixels.to(torch.float32)  # first: TensorRT does nothing else with 8-bit pixels
    if image.layout == "nhwc":
        x = x.movedim(-1, -3)
    if image.size is not None and not _is_fixed_at(x.shape[-2:], image.size):
        batch = x if x.dim() == 4 else x[None]
        batch = F.interpolate(batch, size=image.size, mode="bilinear", antialias=False)
        x = batch if x.dim() == 4 else batch[0]
    spec = image.normalization
    if image.image is not None and image.image.color == "BGR":
        x = x.flip(-3)
    std = torch.tensor(spec.std, dtype=torch.float64)
    factor = (spec.scale / std).to(torch.float32)[:, None, None]
    offset = (-torch.tensor(spec.mean, dtype=torch.float64) / std).to(torch.float32)
    x = x * factor
    if any(spec.mean):
        x = x + offset[:, None, None]
    return x.to(dtype)


def _is_fixed_at(sizes: Sequence[int | torch.SymInt], size: Sequence[int]) -> bool:
    """Whether sizes are these in every run. To compare one that varies would fix it."""
    return all(isinstance(n, int) and n == m for n, m in zip(sizes, size, strict=True))
