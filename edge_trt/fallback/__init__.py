# SPDX-License-Identifier: Apache-2.0
"""Fallback blocks in a form that the device can run, if possible without PyTorch."""

from edge_trt.fallback.runner import Fallback, save_fallbacks
from edge_trt.fallback.translations import onnx_converter

__all__ = ["Fallback", "onnx_converter", "save_fallbacks"]
