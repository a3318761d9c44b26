# SPDX-License-Identifier: Apache-2.0
"""TensorRT's calibration cache, and the JSON forms in which other tools write scales.

The cache is text. Its first line names TensorRT's version and the calibrator, every other one a
tensor and its scale: the eight hexadecimal digits of a float32, most significant first.

    TRT-100300-EntropyCalibration2
    image: 3c010a14
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from edge_trt_calibration.errors import CalibrationError
from edge_trt_calibration.methods import LEVELS
from edge_trt_calibration.ranges import Ranges, TensorRange

ALGORITHM = "EntropyCalibration2"
"""The only calibrator whose cache a DLA takes."""

_HEADER = re.compile(r"TRT-(\d{4,6})-(\w+)")
_LINE = re.compile(r"(?P<name>.+): (?P<scale>[0-9a-fA-F]{1,8})")
_TABLES = ("int8_tensor_scales", "tensor_scales")


@dataclass(frozen=True, slots=True)
class Cache:
    """What a calibration cache says."""

    version: str
    """As in the header: `100300` is TensorRT 10.3.0, `8601` is 8.6.1."""
    algorithm: str
    scales: Mapping[str, float]

    def __str__(self) -> str:
        lines = [f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in self.scales.items()]
        return "\n".join([f"TRT-{self.version}-{self.algorithm}", *lines, ""])

    @classmethod
    def parse(cls, text: str) -> Cache:
        """Reads a cache.

        Raises:
            CalibrationError: naming the line that is none of a cache.
        """
        first, *lines = text.splitlines() or [""]
        header = _HEADER.fullmatch(first.strip())
        if header is None:
            raise CalibrationError(
                f"line 1 is no header of a calibration cache: {first[:60]!r}",
                hint="it should read like TRT-100300-EntropyCalibration2",
            )
        scales: dict[str, float] = {}
        for number, line in enumerate(lines, 2):
            if not line.strip():
                continue
            found = _LINE.fullmatch(line.rstrip())
            if found is None:
                raise CalibrationError(f"line {number} is no tensor and scale: {line[:60]!r}")
            (scale,) = struct.unpack(">f", bytes.fromhex(found["scale"].zfill(8)))
            if not (math.isfinite(scale) and scale > 0):
                raise CalibrationError(
                    f"line {number} gives tensor {found['name']} the scale {scale}",
                    names=[found["name"]],
                    hint="a scale is positive",
                )
            scales[found["name"]] = scale
        return cls(header[1], header[2], scales)


def to_cache(ranges: Ranges, tensorrt: str, algorithm: str = ALGORITHM) -> Cache:
    """The ranges as a cache for a TensorRT of that version, such as `10.3.0`.

    Raises:
        CalibrationError: the text is no version, or TensorRT 11, which has no caches.
    """
    scales = {name: found.scale for name, found in ranges.tensors.items()}
    return Cache(header_version(tensorrt), algorithm, scales)


def header_version(tensorrt: str) -> str:
    """A version as the header of a cache writes it: from 10 on with two digits for each part."""
    found = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+))?(?:\.\d+)*", tensorrt)
    if found is None:
        raise CalibrationError(f"{tensorrt!r} is no TensorRT version", hint="say 10.3.0")
    major, minor, patch = int(found[1]), int(found[2]), int(found[3] or 0)
    if major >= 11:
        raise CalibrationError(
            f"TensorRT {tensorrt} reads no calibration cache",
            hint="build from the bundle, whose network says every scale itself",
        )
    if major >= 10:
        return str(major * 10000 + minor * 100 + patch)
    return f"{major}{minor}{patch:02d}"


def cache_header(text: str) -> str:
    """The version in the first line of a calibration cache, empty where the text is none."""
    found = _HEADER.match(text)
    return found[1] if found else ""


def from_scales(scales: Mapping[str, float]) -> Ranges:
    """Ranges out of scales that another tool found."""
    tensors = {name: TensorRange(scale * LEVELS, "imported") for name, scale in scales.items()}
    return Ranges("", "imported", tensors=tensors)


def parse_ranges(text: str) -> Ranges:
    """Ranges in any form: our own JSON, a calibration cache, or a JSON table of scales.

    Tables are `{"int8_tensor_scales": {name: scale}}`, `{"tensor_scales": {name: largest}}` and
    `{name: {"scale": scale, ...}}`.

    Raises:
        CalibrationError: the text is none of them.
    """
    if text.startswith("TRT-"):
        return from_scales(Cache.parse(text).scales)
    try:
        values = json.loads(text)
    except ValueError as error:
        raise CalibrationError(
            f"neither JSON nor a calibration cache ({error})",
            hint="give what edge_trt calibrate wrote, or a cache that begins with TRT-",
        ) from error
    if not isinstance(values, dict):
        raise CalibrationError("a table of ranges has names, this is a list or a number")
    table = cast("dict[str, Any]", values)
    return Ranges.from_dict(table) if "schema" in table else from_scales(_scales(table))


def _scales(values: dict[str, Any]) -> dict[str, float]:
    named = next((key for key in _TABLES if key in values), None)
    table: dict[str, Any] = values[named] if named else values
    divisor = LEVELS if named == "tensor_scales" else 1  # that one has the largest values
    found: dict[str, float] = {}
    for name, entry in table.items():
        scale: Any = entry
        if isinstance(entry, dict):
            scale = cast("dict[str, Any]", entry).get("scale")
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not scale > 0:
            raise CalibrationError(
                f"tensor {name} has the scale {scale!r}",
                names=[name],
                hint="a scale is a positive number",
            )
        found[name] = scale / divisor
    return found


def to_table(ranges: Ranges) -> str:
    """The ranges as a JSON table of scales, as NVIDIA's Q/DQ translator for DLA reads it."""
    scales = {name: found.scale for name, found in ranges.tensors.items()}
    return json.dumps({"int8_tensor_scales": scales}, indent=1) + "\n"
