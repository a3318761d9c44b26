# SPDX-License-Identifier: Apache-2.0
"""Networks as ONNX: the CPU engine, the numerical oracle and the engine of calibration.

    model = emit(network, locate)                  # weights stay in the bundle's weights file
    outputs = run_network(network, {"x": array})   # in memory, through ONNX Runtime

The semantics are those of the layer kinds, which are TensorRT's. `dispatch.emit_layer` holds one
function per kind; the files beside it register them, family by family.
"""

from edge_trt.engines.onnx.graph import INLINE_BYTES, ExternalData, Locate
from edge_trt.engines.onnx.model import IR_VERSION, OPSET, emit
from edge_trt.engines.onnx.runner import CpuRunner, run_network

__all__ = [
    "INLINE_BYTES",
    "IR_VERSION",
    "OPSET",
    "CpuRunner",
    "ExternalData",
    "Locate",
    "emit",
    "run_network",
]
