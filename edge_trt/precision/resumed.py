# SPDX-License-Identifier: Apache-2.0
"""The ranges of an earlier run of `tune`, so that going on does not calibrate again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from edge_trt._version import __version__
from edge_trt.precision.identity import identity
from edge_trt.precision.observed import digest
from edge_trt_calibration import CalibrationError, Ranges
from edge_trt_calibration.ranges import write_whole
from edge_trt_calibration.samples import Samples

if TYPE_CHECKING:
    from edge_trt.precision.given import Data
    from edge_trt.precision.quantization import Quantization, Step

SHAPING = ("calibration_method", "samples", "dense", "int8_except", "fp32_layers")
"""Options that decide which tensors have a range, and which one."""


def resumed_ranges(
    stage: Quantization, data: Data, path: Path, step: Step, remark: Callable[[str], None]
) -> Ranges:
    """The ranges in a file if they are of this model, data and options, otherwise measured ones.

    Args:
        stage: the model in fp32; its probes are read in either case.
        data: what the user gave.
        path: the file, which is written after a calibration. `--ranges` takes it too.
        step: told how far a calibration is.
        remark: told what makes the ranges doubtful.

    Raises:
        CalibrationError: as `Quantization.ranges_of`.
    """
    if data.ranges is not None or not _tells_itself(data.samples):
        return stage.ranges_of(data, step, remark)
    stage.probe(data.samples)
    belongs = _belongs(stage, data.samples)
    if (found := _read(path, belongs)) is not None:
        return found
    ranges = stage.ranges_of(data, step, remark)
    write_whole(path, json.dumps(ranges.as_dict() | {"belongs": belongs}, indent=1) + "\n")
    return ranges


def _tells_itself(samples: Any) -> bool:
    """Whether it shows when data changes: arrays, functions, names, and objects made of these."""
    if isinstance(samples, Mapping):
        return all(map(_tells_itself, cast("Mapping[str, Any]", samples).values()))
    if isinstance(samples, list | tuple):
        return all(map(_tells_itself, cast("list[Any]", samples)))
    if samples is None or isinstance(samples, str | int | float | np.ndarray | FunctionType):
        return True
    made_by = getattr(cast("object", type(samples)), "__iter__", None)
    known = isinstance(made_by, FunctionType) and not isinstance(samples, Iterator)
    return known and _tells_itself(vars(samples))


def _belongs(stage: Quantization, samples: Any) -> str:
    """Tells the model, the data and the options; of data that a function makes its beginning."""
    options = stage.options
    shaping = [getattr(options, name) for name in SHAPING]
    seen = Samples()
    for probe in stage.probes:
        seen.add(probe)
    what = (
        __version__, digest(stage.bundle), shaping, identity(samples), _stamps(options.calibration),
        seen.source.digest,
    )  # fmt: skip
    return hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()


def _stamps(given: object) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files that data is named by."""
    place = Path(given) if isinstance(given, str) else None
    if place is None or not place.exists():
        return []
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    stats = [(str(file), file.stat()) for file in files]
    return [(name, found.st_size, found.st_mtime_ns) for name, found in stats]


def _read(path: Path, belongs: str) -> Ranges | None:
    """The ranges of the file; None if there is none, or it is of something else."""
    try:
        values: Any = json.loads(path.read_text())
        return Ranges.from_dict(values) if values["belongs"] == belongs else None
    except (OSError, ValueError, KeyError, TypeError, CalibrationError):
        return None
