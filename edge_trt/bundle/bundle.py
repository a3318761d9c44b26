# SPDX-License-Identifier: Apache-2.0
"""A compiled model in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt.bundle.layout import WEIGHTS, network_path
from edge_trt.network.graph import Network
from edge_trt.options import CompileOptions
from edge_trt_runtime.manifest import Signature, TensorSpec

if TYPE_CHECKING:
    from concurrent.futures import Future

    from torch import nn

    from edge_trt.bundle.onnx_program import OnnxProgram
    from edge_trt.engines.plans import Plan
    from edge_trt_calibration import Ranges
    from edge_trt_runtime.bundle import OpenBundle


@dataclass(slots=True)
class Part:
    """One segment before it is written: a network for TensorRT, or a fallback program.

    Attributes:
        name: name of the segment.
        inputs: names of the values that it reads.
        outputs: names of the values that it gives.
        tensors: types of both, in this order.
        network: what TensorRT runs, or None.
        onnx: what ONNX Runtime runs as a fallback, or None.
        program: what PyTorch runs, a `.pt2` file's bytes, or None.
    """

    name: str
    inputs: list[str]
    outputs: list[str]
    tensors: list[TensorSpec]
    network: Network | None = None
    onnx: OnnxProgram | None = None
    program: bytes | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Files that a bundle was read from.

    Attributes:
        opened: the bundle that they are of.
        leaving: whether they are about to be deleted.
        checked: the comparison of large files with their digests, where it goes on meanwhile.
    """

    opened: OpenBundle
    leaving: bool = False
    checked: Future[None] | None = None


@dataclass(repr=False)
class Bundle:
    """A compiled model. `save` writes it, `module` calls it from PyTorch.

    Attributes:
        name: short name of the model.
        signature: names, types and ranges of inputs and outputs.
        options: what it was compiled with.
        coverage: blocks, fallback reasons and shares, as in `report.json`.
        seconds: wall time by stage.
        parts: segments in execution order; after a dry run none, or those that were placed on DLA.
        results: name of the value that each output of the signature is.
        kept: layers that stay fp32 in another precision, and why.
        quantization: what int8 gained and cost; empty in another precision.
        ranges: the ranges of int8, or None.
        vectors: the self-test, `<case>/in/<name>` and `<case>/out/<name>`.
        states: first value of each input that was a buffer of the model.
        plans: TensorRT's engines.
        missing: targets without engines, and why.
        remarks: what else to know.
        placement: which layers run on DLA and why the others don't, as in `placement.json`; empty
            without `dla`.
        counter: the release that it was signed as; what is saved has lost the signature itself.
        path: where it was written or read; None before, and after a change.
        source: the files that its weights were read from.
    """

    name: str
    signature: Signature
    options: CompileOptions
    coverage: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    parts: list[Part] = field(default_factory=list[Part])
    results: dict[str, str] = field(default_factory=dict[str, str])
    kept: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    quantization: dict[str, Any] = field(default_factory=dict[str, Any])
    ranges: Ranges | None = None
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    states: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    plans: list[Plan] = field(default_factory=list["Plan"])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    remarks: list[str] = field(default_factory=list[str])
    placement: dict[str, Any] = field(default_factory=dict[str, Any])
    counter: int = 0
    path: Path | None = None
    source: Source | None = None

    def __repr__(self) -> str:
        """Name, precision, targets and layers; the report has the rest."""
        layers = sum(_layers(network) for network in self.networks)
        targets = ", ".join(self.options.targets)
        return f"<Bundle {self.name}: {self.options.precision} for {targets}, {layers} layers>"

    @property
    def networks(self) -> list[Network]:
        """The networks of all TensorRT segments, in order."""
        return [p.network for p in self.parts if p.network is not None]

    def digests(self) -> dict[str, str]:
        """A digest of each network with all weights, by its name, where a file has it."""
        if self.source is None or self.source.leaving:
            return {}
        files = self.source.opened.manifest.files
        paths = {n.name: network_path(n.name) for n in self.networks}
        weights = files[WEIGHTS].sha256
        return {n: f"{files[path].sha256} {weights}" for n, path in paths.items() if path in files}

    def check(self) -> None:
        """Waits until all files that it was read from are compared with their digests.

        Raises:
            BundleError: one was changed.
        """
        if self.source is not None and self.source.checked is not None:
            self.source.checked.result()

    @property
    def notes(self) -> list[str]:
        """Sentences that a person should read: targets without engines, options without effect."""
        return [*self.coverage.get("notes", []), *self.missing.values(), *self.remarks]

    @property
    def report(self) -> dict[str, Any]:
        """What happened, as JSON values: what `report.json` holds."""
        return {
            "model": self.name,
            "precision": self.options.precision,
            "coverage": self.coverage,
            "layers": {n.name: _layers(n) for n in self.networks},
            "kept_fp32": self.kept,
            "quantization": self.quantization,
            "timings": {stage: round(s, 4) for stage, s in self.seconds.items()},
            "missing_engines": self.missing,
            "notes": self.notes,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the bundle, replacing a bundle of that name; anything else there is refused.

        Returns:
            The path.

        Raises:
            EdgeTrtError: the place can't be written, the disk is full, or this was a dry run. What
                was there stays as it was.
        """
        from edge_trt.bundle.save import save_bundle

        save_bundle(self, path)
        self.path = Path(path)
        return self.path

    def module(self) -> nn.Module:
        """The compiled model with the original calling convention: torch tensors in and out.

        A bundle that was not saved is written to a temporary folder, which lives as long as it.

        Raises:
            EdgeTrtError: as `save`.
            EngineError: the bundle has no engine that runs on this machine.
        """
        from edge_trt.module import BundleModule
        from edge_trt_runtime import load

        if self.path is None:
            folder = tempfile.mkdtemp(prefix="edge_trt-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self.save(Path(folder, "model.edge"))
        assert self.path is not None
        return BundleModule(load(self.path))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Bundle:
        """Reads a saved bundle back, after a check of every file; torch is not needed.

        Raises:
            BundleError: it is damaged, edited or too new.
        """
        from edge_trt.bundle.reader import read_bundle

        return read_bundle(path)


def _layers(network: Network) -> int:
    """How many layers a network has, those of loops and branches included."""
    return sum(1 for _ in network.walk())
