# SPDX-License-Identifier: Apache-2.0
"""Compile a PyTorch model on any machine, and run it on any Jetson.

::

    bundle = edge_trt.compile(model, (x,), target="cpu", precision="fp16")
    bundle.save("model.edge")

Importing this package imports nothing else: each name below is loaded when it is first used, so
that inspecting, verifying and building a bundle need no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt._version import __version__

if TYPE_CHECKING:
    from edge_trt.capture import ImageInput, Input
    from edge_trt.conversion.plugins import converter, evaluator
    from edge_trt.errors import (
        BuildError,
        BundleError,
        CaptureError,
        ConversionError,
        EdgeTrtError,
        EngineError,
        InputError,
        OptionError,
        UnsupportedError,
    )
    from edge_trt.fallback import onnx_converter
    from edge_trt.options import CompileOptions
    from edge_trt.pipeline import Bundle, calibrate, compile, tune
    from edge_trt.warning import EdgeTrtWarning
    from edge_trt_runtime.manifest import ImageSpec

    load = Bundle.load

# fmt: off
__all__ = [  # noqa: RUF022 (grouped by use)
    # compiling
    "compile", "calibrate", "tune", "Input", "ImageInput", "ImageSpec", "CompileOptions",
    # operators of your own
    "converter", "evaluator", "onnx_converter",
    # bundles
    "Bundle", "load",
    # errors and warnings
    "EdgeTrtError", "CaptureError", "UnsupportedError", "ConversionError", "BuildError",
    "OptionError", "BundleError", "InputError", "EngineError", "EdgeTrtWarning",
    # version
    "__version__",
]
# fmt: on

_HOME = {
    "compile": "edge_trt.pipeline",
    "calibrate": "edge_trt.pipeline",
    "tune": "edge_trt.pipeline",
    "converter": "edge_trt.conversion.plugins",
    "evaluator": "edge_trt.conversion.plugins",
    "Bundle": "edge_trt.pipeline",
    "EdgeTrtWarning": "edge_trt.warning",
    "Input": "edge_trt.capture",
    "ImageInput": "edge_trt.capture",
    "ImageSpec": "edge_trt_runtime.manifest",
    "CompileOptions": "edge_trt.options",
    "onnx_converter": "edge_trt.fallback",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "load":
        return import_module("edge_trt.pipeline").Bundle.load
    value = getattr(import_module(_HOME.get(name, "edge_trt.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return sorted({*globals(), *__all__})
