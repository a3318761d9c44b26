# SPDX-License-Identifier: Apache-2.0
"""The inputs of ``edge_trt build`` from ``--input`` and ``--image``."""

from __future__ import annotations

from collections.abc import Sequence

from edge_trt.capture import ImageInput, Input
from edge_trt.errors import OptionError
from edge_trt_runtime.names import did_you_mean


def parse_inputs(inputs: Sequence[str], images: Sequence[str]) -> tuple[Input, ...] | None:
    """Read descriptions of inputs; an image takes the shape of the input of its name.

    Args:
        inputs: ``[NAME=]SHAPE[:TYPE]``, the shapes as the model takes them.
        images: ``[NAME=]LAYOUT:TYPE[:...]``; without any input, they stand for the model's own.

    Returns:
        The inputs in their order, or None when nothing is given.

    Raises:
        OptionError: When a text can't be read, or an image is of no input.
    """
    described = [Input.parse(text) for text in inputs]
    prepared = [ImageInput.parse(text) for text in images]
    if not described:
        return tuple(prepared) or None
    for image in prepared:
        names = [entry.name or "" for entry in described]
        if image.name is None and len(described) == 1:
            place = 0
        elif image.name in names:
            place = names.index(image.name)
        else:
            raise OptionError(
                f"--image {image.name or 'without a name'} is of no --input",
                hint=did_you_mean(image.name or "", names),
            )
        described[place] = image.of(described[place])
    return tuple(described)
