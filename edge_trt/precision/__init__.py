# SPDX-License-Identifier: Apache-2.0
"""Rewrites of a network into another precision.

network, kept = to_fp16(network, keep_fp32=["head", "softmax"])
for layer in kept:
    print(layer)      # what stayed float32, and why
"""

from edge_trt.precision.exceptions import Patterns
from edge_trt.precision.fp16 import Kept, to_fp16

__all__ = ["Kept", "Patterns", "to_fp16"]
