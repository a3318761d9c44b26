# SPDX-License-Identifier: Apache-2.0
"""Value ranges of a network's tensors, measured on sample data.

    ranges = collect(observe, Feeds(data, inputs), model=digest)
    ranges.save("ranges.json")

The package turns observed activations into the ranges that INT8 engines need. It works on numpy
arrays alone, so that a board can calibrate without PyTorch. It ships inside the `edge-trt`
distribution.
"""

from __future__ import annotations

from edge_trt_calibration.collect import Convergence, collect
from edge_trt_calibration.errors import CalibrationError
from edge_trt_calibration.feeds import Feeds
from edge_trt_calibration.histogram import Histogram
from edge_trt_calibration.inputs import InputSpec
from edge_trt_calibration.methods import method_of
from edge_trt_calibration.ranges import Ranges, TensorRange, merge
from edge_trt_calibration.tensorrt_cache import Cache, parse_ranges, to_cache

__version__ = "0.1.0"

__all__ = [
    "Cache",
    "CalibrationError",
    "Convergence",
    "Feeds",
    "Histogram",
    "InputSpec",
    "Ranges",
    "TensorRange",
    "collect",
    "merge",
    "method_of",
    "parse_ranges",
    "to_cache",
]
