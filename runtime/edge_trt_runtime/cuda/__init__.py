# SPDX-License-Identifier: Apache-2.0
"""CUDA behind a few small classes. PyCUDA and cuda-bindings are imported nowhere else."""

from __future__ import annotations

from edge_trt_runtime.cuda.device import Device, open_device

__all__ = ["Device", "open_device"]
