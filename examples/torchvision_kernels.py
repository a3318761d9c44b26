# SPDX-License-Identifier: Apache-2.0
"""Import this before torchvision: its operators run then, also where its extension does not load.

PyPI's torchvision is built for PyTorch with CUDA, and can't load beside a PyTorch for the CPU.
edge_trt has slow kernels for this case; where the extension loads, nothing happens.
"""

from __future__ import annotations

from edge_trt.capture.torchvision_ops import provide_kernels

provide_kernels()
