# SPDX-License-Identifier: Apache-2.0
"""Value ranges of a network's tensors, measured on sample data.

The package turns observed activations into the ranges that INT8 engines need. It works on numpy
arrays alone, so that a board can calibrate without PyTorch. It ships inside the `edge-trt`
distribution and has no public names yet.
"""

from __future__ import annotations

__version__ = "0.1.0"
