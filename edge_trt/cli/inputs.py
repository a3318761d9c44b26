# SPDX-License-Identifier: Apache-2.0
"""The model and its inputs on the command line: bundles, ``--input`` and ``--image``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_trt.errors import OptionError
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from edge_trt.capture import Input
    from edge_trt.pipeline import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that describe the inputs of a model."""
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]SHAPE[:TYPE]",
        help="an input (repeat it for each)",
    )
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="[NAME=]LAYOUT:TYPE[:...]",
        help="an input that is an image, prepared in the network (repeat it for each)",
    )


def is_bundle(text: str) -> bool:
    """Whether a model on the command line is a bundle."""
    return (Path(text) / "manifest.json").is_file()


def model_or_bundle(text: str) -> str | Bundle:
    """The text, or the bundle that it is the path of.

    Raises:
        BundleError: The bundle is damaged or too new.
    """
    if not is_bundle(text):
        return text
    from edge_trt.bundle.reader import read_bundle

    return read_bundle(text)


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
    if not inputs and not images:
        return None  # the usual case, and no reason to import torch
    from edge_trt.capture import ImageInput, Input

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
