# SPDX-License-Identifier: Apache-2.0
"""TensorRT's text format to the letter, and the tables of other tools."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_calibration import Cache, CalibrationError, Ranges, TensorRange, parse_ranges
from edge_trt_calibration.tensorrt_cache import header_version, to_cache, to_table

# Figures of caches that TensorRT wrote: 1/127, a range of 2048.5 bins of 2048, 2040.5 of them.
GOLDEN = """TRT-100300-EntropyCalibration2
image: 3c010204
input_1:0: 3c010a14
(Unnamed Layer* 8) [Constant]_output: 4000890a
a: b: 3c008912
"""


def test_reads_and_writes_what_tensorrt_does() -> None:
    cache = Cache.parse(GOLDEN)
    assert (cache.version, cache.algorithm) == ("100300", "EntropyCalibration2")
    assert list(cache.scales) == [
        "image", "input_1:0", "(Unnamed Layer* 8) [Constant]_output", "a: b",
    ]  # fmt: skip
    bins = np.array([2048, 2048.5, 255 * 2048.5, 2040.5]) / 2048 / 127
    assert list(cache.scales.values()) == [float(np.float32(s)) for s in bins]
    assert str(cache) == GOLDEN


def test_digits_without_leading_zeros_are_read() -> None:
    assert Cache.parse("TRT-8601-MinMaxCalibration\nx: 800000").scales["x"] == 2**-126


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is no header"),
        ("TRT-x-Entropy", "line 1 is no header"),
        ("TRT-8600-EntropyCalibration2\nx 3c010204", "line 2 is no tensor and scale"),
        ("TRT-8600-EntropyCalibration2\nx: 00000000", "gives tensor x the scale 0.0"),
        ("TRT-8600-EntropyCalibration2\nx: 7fc00000", "gives tensor x the scale nan"),
        ("TRT-8600-EntropyCalibration2\nx: bf800000", "gives tensor x the scale -1.0"),
    ],
)
def test_damaged_caches_are_refused(text: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        Cache.parse(text)


@pytest.mark.parametrize(
    ("tensorrt", "header"),
    [("10.3.0", "100300"), ("10.13.3", "101303"), ("8.6.1", "8601"), ("10.3.0.30", "100300")],
)
def test_versions(tensorrt: str, header: str) -> None:
    assert header_version(tensorrt) == header


@pytest.mark.parametrize(
    ("tensorrt", "message"), [("11.0.0", "reads no calibration cache"), ("ten", "no TensorRT")]
)
def test_versions_without_a_cache(tensorrt: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        header_version(tensorrt)


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(st.dictionaries(NAMES, st.floats(2**-100, 2**100, width=32), max_size=5))
def test_ranges_pass_through_a_cache(scales: dict[str, float]) -> None:
    tensors = {name: TensorRange(scale * 127, "max") for name, scale in scales.items()}
    text = str(to_cache(Ranges("", "max", tensors=tensors), "10.3.0"))
    found = parse_ranges(text).tensors
    assert list(found) == list(tensors)
    for name, chosen in found.items():
        assert chosen.amax == pytest.approx(tensors[name].amax, rel=1e-6)


@pytest.mark.parametrize(
    "table",
    [
        {"int8_tensor_scales": {"x": 0.5}, "fp16_nodes": []},
        {"tensor_scales": {"x": 63.5}},
        {"x": {"scale": 0.5, "min": 0, "max": 0, "offset": 0}},
        {"x": 0.5},
    ],
)
def test_tables_of_other_tools(table: dict[str, object]) -> None:
    assert parse_ranges(json.dumps(table)).tensors == {"x": TensorRange(63.5, "imported")}


def test_writes_a_table() -> None:
    ranges = parse_ranges('{"x": 0.5, "y": 2}')
    assert parse_ranges(to_table(ranges)).tensors == ranges.tensors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "neither JSON nor a calibration cache"),
        ("[1]", "a table of ranges has names"),
        ('{"x": "1"}', "tensor x has the scale '1'"),
        ('{"x": 0}', "tensor x has the scale 0: a scale is a positive number"),
        ('{"x": {"amax": 1}}', "tensor x has the scale None"),
        ('{"x": true}', "tensor x has the scale True"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        parse_ranges(text)
