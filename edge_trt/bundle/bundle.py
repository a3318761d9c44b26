# SPDX-License-Identifier: Apache-2.0
"""A compiled model in memory, and how it becomes a directory."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt.bundle.tolerance import tolerance
from edge_trt.errors import EdgeTrtError
from edge_trt.network.graph import Network
from edge_trt.network.serialize import dump
from edge_trt.network.weights import WeightStore
from edge_trt.options import CompileOptions
from edge_trt_runtime.manifest import (
    Engine,
    Manifest,
    Segment,
    SelfTest,
    Signature,
    TensorSpec,
)

if TYPE_CHECKING:
    from torch import nn

    from edge_trt.bundle.writer import BundleWriter
    from edge_trt.engines.plans import Plan

WEIGHTS = "weights.safetensors"
REPORT = "report.json"
SELF_TEST = "self_test.safetensors"


@dataclass(slots=True)
class Part:
    """One segment before it is written: a network for TensorRT, or a torch program."""

    name: str
    inputs: list[str]
    outputs: list[str]
    tensors: list[TensorSpec]
    network: Network | None = None
    program: bytes | None = None


@dataclass
class Bundle:
    """A compiled model. `save` writes it, `module` calls it from PyTorch.

    Attributes:
        name: short name of the model.
        signature: names, types and ranges of inputs and outputs.
        options: what it was compiled with.
        coverage: blocks, fallback reasons and shares, as in `report.json`.
        seconds: wall time by stage.
        path: where it was written or read, None before.
    """

    name: str
    signature: Signature
    options: CompileOptions
    coverage: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    kept: list[dict[str, str]] = field(default_factory=list)
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    path: Path | None = None
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def networks(self) -> list[Network]:
        """The networks of all TensorRT segments, in order."""
        return [p.network for p in self.parts if p.network is not None]

    @property
    def report(self) -> dict[str, Any]:
        """What happened, as JSON values: what `report.json` holds."""
        layers = {n.name: len(n.nodes) for n in self.networks}
        return {
            "model": self.name,
            "precision": self.options.precision,
            "coverage": self.coverage,
            "layers": layers,
            "kept_fp32": self.kept,
            "timings": {stage: round(s, 4) for stage, s in self.seconds.items()},
            "notes": self.notes,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the bundle, replacing a bundle of that name; anything else there is refused.

        Returns:
            The path.

        Raises:
            EdgeTrtError: the place can't be written, the disk is full, or this was a dry run.
        """
        from edge_trt.bundle.writer import BundleWriter

        if not self.parts:
            raise EdgeTrtError("a dry run has nothing to save", hint="compile without dryrun")
        store = WeightStore()
        texts = {n.name: dump(n, store) for n in self.networks}
        expected = store.nbytes + sum(memoryview(p.data).nbytes for p in self.plans)
        with BundleWriter(path, expected_bytes=expected) as writer:
            for name, text in texts.items():
                writer.add_bytes(_network_path(name), text.encode())
            for part in self.parts:
                if part.program is not None:
                    writer.add_bytes(_program_path(part.name), part.program)
            store.write(writer.path(WEIGHTS), writer.observe(WEIGHTS))
            engines = [*self._onnx_engines(writer, store), *self._plan_engines(writer)]
            writer.add_bytes(REPORT, json.dumps(self.report, indent=1).encode())
            writer.commit(self._manifest(engines, self._write_self_test(writer)))
        self.path = Path(path)
        return self.path

    def module(self) -> nn.Module:
        """The compiled model with the original calling convention: torch tensors in and out.

        Raises:
            EngineError: the bundle has no engine that runs on this machine.
        """
        from edge_trt.module import BundleModule
        from edge_trt_runtime import load

        if self.path is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="edge_trt-")
            self.save(Path(self._temporary.name, "model.edge"))
        assert self.path is not None
        return BundleModule(load(self.path))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Bundle:
        """Reads a saved bundle back.

        Raises:
            BundleError: it is damaged, edited or too new.
        """
        from edge_trt.bundle.reader import read_bundle

        return read_bundle(path)

    def _onnx_engines(self, writer: BundleWriter, store: WeightStore) -> list[Engine]:
        if "cpu" not in self.options.targets:
            return []
        from edge_trt.engines.onnx import ExternalData, emit

        def locate(tensor: Any) -> ExternalData | None:
            key = store.key(tensor.data)
            if key is None:
                return None
            extent = store.extent(key)
            return ExternalData(WEIGHTS, extent.offset, extent.length)

        engines: list[Engine] = []
        for network in self.networks:
            path = f"engines/cpu/{network.name}.onnx"
            writer.add_bytes(path, emit(network, locate).SerializeToString())
            engines.append(
                Engine(
                    segment=network.name,
                    target="cpu",
                    flavour="onnx",
                    fingerprint="cpu",
                    path=path,
                )
            )
        return engines

    def _plan_engines(self, writer: BundleWriter) -> list[Engine]:
        engines: list[Engine] = []
        for plan in self.plans:
            path = f"engines/{plan.fingerprint}/{plan.segment}.plan"
            writer.add_bytes(path, memoryview(plan.data))
            engines.append(
                Engine(
                    segment=plan.segment,
                    target=plan.target,
                    flavour=plan.flavour,
                    fingerprint=plan.fingerprint,
                    path=path,
                    details=plan.details,
                )
            )
        return engines

    def _write_self_test(self, writer: BundleWriter) -> SelfTest | None:
        if not self.vectors:
            return None
        store = WeightStore()
        for name, array in self.vectors.items():
            # A model may return its input: without a copy the two would be stored once.
            store.add(array.copy(), name)
        store.write(writer.path(SELF_TEST), writer.observe(SELF_TEST))
        cases = len({name.split("/")[0] for name in self.vectors})
        rtol, atol = tolerance(self.options.precision, self.vectors)
        return SelfTest(path=SELF_TEST, cases=cases, rtol=rtol, atol=atol)

    def _manifest(self, engines: list[Engine], self_test: SelfTest | None) -> Manifest:
        from edge_trt._version import __version__

        return Manifest(
            producer=f"edge_trt {__version__}",
            precision=self.options.precision,
            targets=list(self.options.targets),
            signature=self.signature,
            segments=[_segment(part) for part in self.parts],
            results=self.results,
            engines=engines,
            self_test=self_test,
            options=self.options.as_dict(),
        )


def _segment(part: Part) -> Segment:
    network = part.network is not None
    return Segment(
        name=part.name,
        kind="network" if network else "torch",
        device="gpu" if network else "host",
        inputs=part.inputs,
        outputs=part.outputs,
        network=_network_path(part.name) if network else None,
        program=None if network else _program_path(part.name),
        tensors=part.tensors,
    )


def _network_path(name: str) -> str:
    return f"networks/{name}.json"


def _program_path(name: str) -> str:
    return f"fallback/{name}.pt2"
