# SPDX-License-Identifier: Apache-2.0
"""Imports what makes the models, for the process that the others are forked from."""

from __future__ import annotations

import importlib

from edge_trt.capture.torchvision_ops import declared_on_import

with declared_on_import():
    for name in ("torchvision", "timm", "transformers.modeling_utils"):
        importlib.import_module(name)
