# SPDX-License-Identifier: Apache-2.0
"""Executes a real TensorRT `INetworkDefinition` in torch, on the CPU.

    outputs = Interpreter(definition, tensorrt_rtx).run({"x": array})

Layer kinds, attributes and weights are read back through the TensorRT API; what each layer means
follows TensorRT's operator documentation (developer guide, `NvInfer.h`), not our own network. It is
proven on networks that NVIDIA's ONNX parser builds (`tests/oracles/`), and then judges ours.
"""

from tests.support.trt_interpreter.call import UnsupportedLayerError
from tests.support.trt_interpreter.interpreter import Interpreter, layer_kinds

__all__ = ["Interpreter", "UnsupportedLayerError", "layer_kinds"]
