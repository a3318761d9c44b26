# SPDX-License-Identifier: Apache-2.0
"""Engines: one network compiled for one target, as ONNX for a CPU or as a TensorRT plan."""
