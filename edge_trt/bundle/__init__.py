# SPDX-License-Identifier: Apache-2.0
"""Writing bundles; the format and the reader belong to the runtime."""

from __future__ import annotations

from edge_trt.bundle.writer import BundleWriter

__all__ = ["BundleWriter"]
