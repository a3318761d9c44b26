# SPDX-License-Identifier: Apache-2.0
"""A small bundle for the command line, written without the compiler: channel means of an image.

One input ``image`` [n: 1..4, 3, 8, 8], one output ``scores`` [n, 3], a CPU engine, two cases.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from edge_trt.network import serialize
from edge_trt.network.graph import Network
from edge_trt.network.layers import Reduce
from edge_trt.network.types import DType, TensorType
from edge_trt.network.weights import WeightStore
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.manifest import (
    Engine,
    ImageSpec,
    Manifest,
    Range,
    Segment,
    SelfTest,
    Signature,
    TensorSpec,
    encode_manifest,
)

IMAGE = TensorSpec("image", "float32", ["n", 3, 8, 8])
NORMALISED = ImageSpec(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])
REPORT = {
    "model": "means",
    "precision": "fp32",
    "coverage": {
        "calls": 4,
        "covered_calls": 3,
        "flops": 2_500_000,
        "covered_flops": 2_500_000,
        "blocks": [{"name": "main", "kind": "tensorrt", "calls": 3, "flops": 2_500_000}],
        "refusals": [
            {
                "op": "aten.nonzero.default",
                "module": "head",
                "source": "model.py:12",
                "reason": "no such layer",
            }
        ],
        "by_calls": 0.75,
        "by_flops": 1.0,
    },
    "layers": {"main": 7},
    "kept_fp32": [{"layer": "softmax", "reason": "sums of many small numbers"}],
    "timings": {"capture": 0.5, "engines": 1.0},
    "missing_engines": {},
    "notes": ["built for nobody"],
}


def write(
    root: Path,
    *,
    image: ImageSpec | None = None,
    drift: float = 0.0,
    targets: tuple[str, ...] = ("cpu",),
) -> Path:
    """Write the bundle; `drift` is added to the recorded outputs, so that they don't agree."""
    (root / "engines/cpu").mkdir(parents=True)
    (root / "networks").mkdir()
    (root / "engines/cpu/main.onnx").write_bytes(_engine())
    network, store = Network("main"), WeightStore()
    x = network.input("image", TensorType(DType.FLOAT32, ("n", 3, 8, 8)))
    network.mark_output(network.add(Reduce("AVG", (2, 3)), x), "main.0")
    (root / "networks/main.json").write_text(serialize.dump(network, store))
    store.write(root / "weights.safetensors")
    _record(root / "self_test.safetensors", drift)
    (root / "report.json").write_text(json.dumps(REPORT))
    spec = TensorSpec("image", "float32", ["n", 3, 8, 8], image)
    seal(root, _manifest(spec, targets))
    return root


def seal(root: Path, manifest: Manifest) -> None:
    """Write the manifest with the digests of what is there."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            manifest.files[path.relative_to(root).as_posix()] = file_entry(str(path))
    (root / "manifest.json").write_bytes(encode_manifest(manifest))


def _manifest(spec: TensorSpec, targets: tuple[str, ...]) -> Manifest:
    scores = TensorSpec("main.0", "float32", ["n", 3])
    return Manifest(
        producer="edge_trt 0.1.0",
        precision="fp32",
        targets=list(targets),
        signature=Signature(
            inputs=[spec],
            outputs=[TensorSpec("scores", "float32", ["n", 3])],
            dims={"n": Range(1, 1, 4)},
        ),
        segments=[
            Segment(
                name="main",
                kind="network",
                device="gpu",
                inputs=["image"],
                outputs=["main.0"],
                network="networks/main.json",
                tensors=[IMAGE, scores],
            )
        ],
        results={"scores": "main.0"},
        engines=[
            Engine(
                segment="main",
                target="cpu",
                flavour="onnx",
                fingerprint="cpu",
                path="engines/cpu/main.onnx",
            )
        ],
        self_test=SelfTest("self_test.safetensors", 2, 1e-4, 1e-5),
        files={},
    )


def _engine() -> bytes:
    node = helper.make_node("ReduceMean", ["image", "axes"], ["main.0"], keepdims=0)
    graph = helper.make_graph(
        [node],
        "main",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("main.0", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])],
    )
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def _record(path: Path, drift: float) -> None:
    arrays: dict[str, np.ndarray] = {}
    for case in range(2):
        x = np.random.default_rng(case).random((case + 1, 3, 8, 8), np.float32)
        arrays[f"{case}/in/image"] = x
        arrays[f"{case}/out/scores"] = x.mean((2, 3)) + np.float32(drift)
    save_file(arrays, path)
