# SPDX-License-Identifier: Apache-2.0
"""Makes the tables in `tests/data/tensorrt_api`: what one TensorRT version's Python API has.

    python -m tests.support.trt_api_table FULL.json tests/data/tensorrt_api/10.3.0.json

FULL.json lists a version's whole API as class -> attribute -> signature, `property` or `method`,
and enum -> members, as its bindings report them. Kept are the parts that building a network and
running a plan need, with signatures in one spelling; layers list only what `ILayer` has not.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

KEPT = (
    "Builder", "Dims", "EngineInspector", "IBuilderConfig", "ICudaEngine", "IErrorRecorder",
    "IExecutionContext", "IHostMemory", "IIfConditional", "ILayer", "ILogger", "ILoop",
    "INetworkDefinition", "IOptimizationProfile", "IOutputAllocator", "IProfiler",
    "IProgressMonitor", "IStreamWriter", "ITensor", "ITimingCache", "Permutation", "Runtime",
    "Weights",
)  # fmt: skip

LAYER = "input: ITensor"
OVERLOADS = {
    # What the bindings show as (*args, **kwargs), from their documentation.
    "INetworkDefinition.add_quantize": [
        f"({LAYER}, scale: ITensor) -> IQuantizeLayer",
        f"({LAYER}, scale: ITensor, output_type: DataType) -> IQuantizeLayer",
    ],
    "INetworkDefinition.add_dequantize": [
        f"({LAYER}, scale: ITensor) -> IDequantizeLayer",
        f"({LAYER}, scale: ITensor, output_type: DataType) -> IDequantizeLayer",
    ],
    "INetworkDefinition.add_fill": [
        "(shape: Dims, op: FillOperation) -> IFillLayer",
        "(shape: Dims, op: FillOperation, output_type: DataType) -> IFillLayer",
    ],
    "INetworkDefinition.add_topk": [
        f"({LAYER}, op: TopKOperation, k: int, axes: int) -> ITopKLayer",
        f"({LAYER}, op: TopKOperation, k: int, axes: int, indices_type: DataType) -> ITopKLayer",
    ],
    "Builder.build_serialized_network": [
        "(network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory",
    ],
    "Runtime.deserialize_cuda_engine": ["(serialized_engine: buffer) -> ICudaEngine"],
    "ICudaEngine.create_execution_context": [
        "(strategy: ExecutionContextAllocationStrategy) -> IExecutionContext",
    ],
    "IExecutionContext.set_input_shape": ["(name: str, shape: Dims) -> bool"],
    "IStreamWriter.write": ["(data: bytes) -> int"],  # what is overridden; the bindings show C++'s
    "Weights.__init__": [
        "(type: DataType)",
        "(type: DataType, ptr: int, count: int)",
        "(a: ndarray)",
    ],
    "Dims.__init__": ["()", "(shape: List[int])"],
    "Permutation.__init__": ["()", "(shape: List[int])"],
}

VIRTUAL = {
    # What is overridden, from the documentation: the bindings show the constructor alone.
    "IOutputAllocator": {
        "reallocate_output": [
            "(tensor_name: str, memory: int, size: int, alignment: int) -> int",
        ],
        "reallocate_output_async": [
            "(tensor_name: str, memory: int, size: int, alignment: int, stream: int) -> int",
        ],
        "notify_shape": ["(tensor_name: str, shape: Dims) -> None"],
    },
}


def compact(version: str, full: dict[str, Any]) -> dict[str, Any]:
    """The table of one version."""
    classes = {
        name: _class(name, full[name], full.get("ILayer", {}))
        for name in sorted(full)
        if name in KEPT or re.fullmatch(r"I\w+Layer", name)
    }
    enums = {name: attributes["enum"] for name, attributes in full.items() if "enum" in attributes}
    return {"version": version, "enums": enums, "classes": classes}


def _class(name: str, attributes: dict[str, str], layer: dict[str, str]) -> dict[str, Any]:
    inherits = name.endswith("Layer") and name != "ILayer"
    own = {k: v for k, v in attributes.items() if not (inherits and k in layer and k != "__init__")}
    methods = {k: _signatures(f"{name}.{k}", v) for k, v in own.items() if v != "property"}
    return {
        "base": "ILayer" if inherits else "",
        "properties": sorted(k for k, v in own.items() if v == "property"),
        "methods": {k: v for k, v in methods.items() if v} | VIRTUAL.get(name, {}),
    }


def _signatures(name: str, text: str) -> list[str]:
    if text == "(*args, **kwargs)" or "apsule" in text:  # capsules are a C++ pointer's
        return OVERLOADS.get(name, [])
    if text == "method":  # severities of a logger, and constructors that Python can't call
        return ["constant"] if not name.endswith("__init__") else []
    text = re.sub(r"^\(self: [\w.]+(, )?", "(", text)
    text = re.sub(r"typing\.Supports(Int|Float)", lambda m: m[1].lower(), text)
    text = re.sub(r"collections\.abc\.Sequence\[", "List[", text)
    text = re.sub(r" = <(\w+\.\w+): -?\d+>", r" = \1", text)
    return [text.replace("typing_extensions.Buffer", "buffer")]


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    table = compact(target.stem, json.loads(source.read_text()))
    target.write_text(json.dumps(table, indent=0, sort_keys=True) + "\n")
