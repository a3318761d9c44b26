# SPDX-License-Identifier: Apache-2.0
"""What the user gives to quantize with: data, ranges and a metric, or names of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt.errors import CaptureError
from edge_trt.image_files import image_batches, images_in
from edge_trt.precision.metric import Metric
from edge_trt.user_code import load_object
from edge_trt_calibration import CalibrationError, Ranges, parse_ranges
from edge_trt_calibration.tensorrt_cache import cache_header

if TYPE_CHECKING:
    from edge_trt.options import CompileOptions
    from edge_trt_runtime.manifest import Signature


@dataclass(frozen=True, slots=True)
class Data:
    """What the user gives to quantize with.

    Attributes:
        samples: calibration data in a form that `Feeds` takes, or None.
        ranges: ranges of an earlier calibration, or None.
        metric: the user's measure, or None.
    """

    samples: Any = None
    ranges: Ranges | None = None
    metric: Metric | None = None


def load_data(options: CompileOptions, signature: Signature, remark: Callable[[str], None]) -> Data:
    """What the options name: files are read, objects of Python files imported.

    Args:
        options: what the user gave.
        signature: the model's inputs, for folders of images.
        remark: told what makes the ranges doubtful.

    Raises:
        CaptureError: a Python file has no such object, or fails.
        CalibrationError: a file holds no data, or no ranges.
        InputError: images, and the model takes none.
    """
    samples, ranges, metric = options.calibration, options.ranges, options.metric
    if isinstance(samples, str) and _names_object(samples):
        samples = load_object(samples)
    elif isinstance(samples, str) and (images := images_in(Path(samples))):
        samples = image_batches(signature, images)
        _remark_on_images(signature, remark)
    if isinstance(ranges, str):
        ranges = _read_ranges(ranges, options, remark)
    if isinstance(metric, str):
        metric = load_object(metric)
    # Data that knows what it is for rates the models too.
    return Data(samples, ranges, metric or getattr(samples, "evaluate", None))


def _remark_on_images(signature: Signature, remark: Callable[[str], None]) -> None:
    (spec,) = signature.inputs
    if spec.image is None and np.dtype(spec.dtype).kind == "f":
        remark(
            f"the model says no normalization of {spec.name}, so the images are pixels from 0 to "
            "1: if it was trained with one, say so with --image nhwc:uint8:imagenet "
            "(edge_trt.ImageInput), or give arrays that are normalized"
        )


def _read_ranges(path: str, options: CompileOptions, remark: Callable[[str], None]) -> Ranges:
    """The ranges of a file; of a calibration cache it is said if its TensorRT is another one."""
    ranges = read_ranges(path)
    if header := cache_header(Path(path).read_text()):
        from edge_trt.precision.cache_version import remark_on

        if sentence := remark_on(path, header, options.targets):
            remark(sentence)
    return ranges


def check_files(options: CompileOptions) -> None:
    """Refuses names of files that are not there, before the model is captured.

    Raises:
        CaptureError: a Python file is missing.
        CalibrationError: another file is.
    """
    for given in (options.calibration, options.ranges, options.metric):
        if not isinstance(given, str):
            continue
        if _names_object(given):
            where = given.rpartition(":")[0]
            if where.endswith(".py") and not Path(where).is_file():
                raise CaptureError(f"there is no file {where}", hint="give file.py:name")
        elif given is not options.metric and not Path(given).exists():
            raise CalibrationError(f"{given} can't be read: there is no such file or folder")


def _names_object(text: str) -> bool:
    where, colon, name = text.rpartition(":")
    return bool(colon) and name.isidentifier() and (where.endswith(".py") or "/" not in where)


def read_ranges(path: str) -> Ranges:
    """Ranges from a file of ours, of TensorRT, or of another tool.

    Raises:
        CalibrationError: naming the file.
    """
    try:
        return parse_ranges(Path(path).read_text())
    except OSError as error:
        raise CalibrationError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{path} is no text") from error
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error.message}", hint=error.hint) from error
