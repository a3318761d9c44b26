# SPDX-License-Identifier: Apache-2.0
"""Small bundles by hand: ONNX models of a few nodes, and torch programs, without the compiler."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save

from edge_trt.bundle import BundleWriter
from edge_trt_runtime.manifest import (
    Engine,
    Manifest,
    Range,
    Segment,
    SelfTest,
    Signature,
    TensorSpec,
)


def spec(name: str, shape: list[int | str], dtype: str = "float32", **more: Any) -> TensorSpec:
    return TensorSpec(name, dtype, shape, **more)


def onnx_bytes(
    nodes: list[onnx.NodeProto],
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    weights: list[TensorProto] | None = None,
) -> bytes:
    def values(specs: list[TensorSpec]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(
                s.name, getattr(TensorProto, s.dtype.upper().replace("FLOAT32", "FLOAT")), s.shape
            )
            for s in specs
        ]

    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs), weights or [])
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


@dataclass
class Draft:
    """A bundle in the making; value types are found by name among the given specs."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    results: dict[str, str]
    dims: dict[str, Range] = field(default_factory=dict)
    values: list[TensorSpec] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    self_test: SelfTest | None = None
    profiles: list[dict[str, Range]] = field(default_factory=list)

    def network(
        self,
        name: str,
        inputs: list[str],
        outputs: list[str],
        nodes: list[onnx.NodeProto],
        weights: list[TensorProto] | None = None,
    ) -> Draft:
        """Add a segment with an ONNX engine for the CPU."""
        path = f"engines/cpu/{name}.onnx"
        self.files[path] = onnx_bytes(nodes, self._typed(inputs), self._typed(outputs), weights)
        self.engines.append(
            Engine(segment=name, target="cpu", flavour="onnx", fingerprint="cpu", path=path)
        )
        return self._segment(name, "network", inputs, outputs)

    def plan(self, segment: str, data: bytes, **engine: Any) -> Draft:
        """Add a TensorRT plan to a segment that is there already."""
        chosen = {"target": "cuda", "flavour": "tensorrt", **engine}
        stream = f".stream{chosen['stream']}" if "stream" in chosen else ""
        path = f"engines/{chosen['target']}/{segment}{stream}.plan"
        self.files[path] = data
        self.engines.append(Engine(segment=segment, fingerprint="f", path=path, **chosen))
        return self

    def torch(self, name: str, inputs: list[str], outputs: list[str], program: bytes) -> Draft:
        """Add a segment that is a PyTorch program."""
        path = f"fallback/{name}.pt2"
        self.files[path] = program
        return self._segment(name, "torch", inputs, outputs, program=path)

    def manifest(self) -> Manifest:
        return Manifest(
            producer="edge-trt 0.1.0",
            precision="fp32",
            targets=["cpu"],
            signature=Signature(
                inputs=self.inputs, outputs=self.outputs, dims=self.dims, profiles=self.profiles
            ),
            segments=self.segments,
            results=self.results,
            engines=self.engines,
            self_test=self.self_test,
        )

    def write(self, path: Path) -> Path:
        with BundleWriter(path) as writer:
            for relative, data in self.files.items():
                writer.add_bytes(relative, data)
            writer.commit(self.manifest())
        return path

    def _segment(
        self, name: str, kind: Any, inputs: list[str], outputs: list[str], **more: Any
    ) -> Draft:
        tensors = self._typed(inputs) + self._typed(outputs)
        device = "host" if kind == "torch" else "gpu"
        self.segments.append(
            Segment(
                name=name,
                kind=kind,
                device=device,
                inputs=inputs,
                outputs=outputs,
                tensors=tensors,
                **more,
            )
        )
        return self

    def _typed(self, names: list[str]) -> list[TensorSpec]:
        known = {s.name: s for s in (*self.inputs, *self.values)}
        return [known[name] for name in names]


def relu_draft(shape: list[int | str] | None = None, dims: dict[str, Range] | None = None) -> Draft:
    """One segment, one layer: ``output = relu(x)``."""
    shape = [1, 4] if shape is None else shape
    draft = Draft(
        inputs=[spec("x", shape)],
        outputs=[spec("output", shape)],
        results={"output": "main.0"},
        dims=dims or {},
        values=[spec("main.0", shape)],
    )
    return draft.network("main", ["x"], ["main.0"], [node("Relu", "x", "main.0")])


def self_tested(folder: Path, *, error: float = 0.0, cases: int = 2, **replaced: Any) -> Path:
    """A ReLU bundle with two recorded cases, the second one wrong by ``error``.

    ``replaced`` are tensors that take the place of recorded ones; ``None`` takes one away.
    """
    draft, path = relu_draft(), "selftest.safetensors"
    tensors: dict[str, Any] = {}
    for case in range(2):
        x = np.random.default_rng(case).standard_normal((1, 4)).astype(np.float32)
        tensors[f"case{case}/in/x"] = x
        tensors[f"case{case}/out/output"] = np.maximum(x, 0)
    tensors["case1/out/output"] = tensors["case1/out/output"] + np.float32(error)
    tensors.update(replaced)
    draft.files[path] = save({key: value for key, value in tensors.items() if value is not None})
    draft.self_test = SelfTest(path, cases, rtol=1e-4, atol=1e-5)
    return draft.write(folder / "m.edge")
