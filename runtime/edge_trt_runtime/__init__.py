# SPDX-License-Identifier: Apache-2.0
"""Load a bundle that edge_trt compiled, and run it.

::

    with edge_trt_runtime.load("model.edge") as session:
        outputs = session.run({"image": array})

Importing this package imports nothing else yet; using it imports numpy and msgspec, and the
library of an engine (ONNX Runtime, PyTorch) when a bundle needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_trt_runtime.bundle import OpenBundle, open_bundle, verify_bundle
    from edge_trt_runtime.device_arrays import DeviceArray
    from edge_trt_runtime.errors import BundleError, EdgeTrtError, EngineError, InputError
    from edge_trt_runtime.manifest import (
        Engine,
        ImageSpec,
        Manifest,
        Range,
        Segment,
        SelfTest,
        Signature,
        TensorSpec,
    )
    from edge_trt_runtime.metrics import Metrics
    from edge_trt_runtime.opening import load
    from edge_trt_runtime.pool.lanes import Lane, LaneInfo
    from edge_trt_runtime.pool.opening import load_pool
    from edge_trt_runtime.pool.pool import Pool
    from edge_trt_runtime.selftest import SelfTestResult, run_self_test
    from edge_trt_runtime.session import Session
    from edge_trt_runtime.streaming import Stream, StreamResult
    from edge_trt_runtime.tensorrt.shared import EngineInfo, engines

__version__ = "0.1.0"

# fmt: off
__all__ = [  # noqa: RUF022 (grouped by use)
    # running
    "load", "Session", "Stream", "StreamResult", "DeviceArray", "engines", "EngineInfo",
    "Metrics",
    # running on all accelerators at once
    "load_pool", "Pool", "Lane", "LaneInfo",
    # proving
    "verify_bundle", "run_self_test", "SelfTestResult",
    # looking inside
    "open_bundle", "OpenBundle", "Manifest", "Signature", "TensorSpec", "Range", "ImageSpec",
    "Segment", "Engine", "SelfTest",
    # errors
    "EdgeTrtError", "BundleError", "InputError", "EngineError",
]
# fmt: on

_HOME = {
    "load": "opening",
    "Session": "session",
    "load_pool": "pool.opening",
    "Pool": "pool.pool",
    **dict.fromkeys(("Lane", "LaneInfo"), "pool.lanes"),
    **dict.fromkeys(("Stream", "StreamResult"), "streaming"),
    **dict.fromkeys(("engines", "EngineInfo"), "tensorrt.shared"),
    "Metrics": "metrics",
    "DeviceArray": "device_arrays",
    **dict.fromkeys(("run_self_test", "SelfTestResult"), "selftest"),
    **dict.fromkeys(("open_bundle", "verify_bundle", "OpenBundle"), "bundle"),
    **dict.fromkeys(("EdgeTrtError", "BundleError", "InputError", "EngineError"), "errors"),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'manifest')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return sorted({*globals(), *__all__})
