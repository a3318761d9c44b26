# SPDX-License-Identifier: Apache-2.0
"""Quantizes a compiled model: data to ranges, ranges to networks, and what that costs.

quantize(bundle, options, compare={"eager": eager}, progress=...)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from edge_trt.engines.onnx.observer import Group
from edge_trt.errors import OptionError
from edge_trt.network.graph import Node
from edge_trt.precision.damage import Damage, measure
from edge_trt.precision.exceptions import Patterns
from edge_trt.precision.fp16 import Kept
from edge_trt.precision.int8 import to_int8, with_twins
from edge_trt.precision.metric import Run, evaluate
from edge_trt.precision.observed import (
    ObservedModel,
    check_ranges,
    digest,
    input_specs,
    key,
    network_ranges,
    shown,
)
from edge_trt.precision.sites import Keep, Sites, find_sites, weighted
from edge_trt_calibration import Feeds, Ranges, collect, parse_ranges

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle
    from edge_trt.options import CompileOptions

PROBES = 16
"""Samples on which the noise of layers is measured."""

RUNS = 20
"""Runs of which the median is the latency."""

Step = Callable[[float, str], None]
Remark = Callable[[str], None]


@dataclass(slots=True)
class Quantized:
    """What `quantize` found, besides the networks that it put into the bundle."""

    ranges: Ranges
    report: dict[str, Any]
    kept: list[Kept] = field(default_factory=list[Kept])
