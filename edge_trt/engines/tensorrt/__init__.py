# SPDX-License-Identifier: Apache-2.0
"""TensorRT engines: a network emitted through TensorRT's API and built into a plan.

TensorRT itself is imported by `load_flavour` only; this package imports without it.
"""

from edge_trt.engines.tensorrt.build import PlanResult, build_plan
from edge_trt.engines.tensorrt.emit import Emitted, emit
from edge_trt.engines.tensorrt.fingerprint import fingerprint
from edge_trt.engines.tensorrt.flavours import (
    Flavour,
    check_installed,
    flavour_of,
    has_layer,
    load_flavour,
    newer_than_tested,
)
from edge_trt.engines.tensorrt.progress import Progress
from edge_trt.engines.tensorrt.settings import BuildSettings
from edge_trt.engines.tensorrt.timing_cache import with_timing_cache

__all__ = [
    "BuildSettings",
    "Emitted",
    "Flavour",
    "PlanResult",
    "Progress",
    "build_plan",
    "check_installed",
    "emit",
    "fingerprint",
    "flavour_of",
    "has_layer",
    "load_flavour",
    "newer_than_tested",
    "with_timing_cache",
]
