# SPDX-License-Identifier: Apache-2.0
"""Reads a saved bundle back into memory, without torch."""

from __future__ import annotations

import json
import os
from pathlib import Path

from edge_trt.bundle.bundle import REPORT, WEIGHTS, Bundle, Part
from edge_trt.engines.plans import Plan
from edge_trt.network.serialize import load
from edge_trt.network.weights import read_weights
from edge_trt.options import CompileOptions
from edge_trt_runtime.bundle import OpenBundle, open_bundle
from edge_trt_runtime.manifest import Segment
from edge_trt_runtime.vectors import read_tensors


def read_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Opens a bundle; its weights are memory-mapped.

    Raises:
        BundleError: it is damaged, edited or too new.
    """
    opened = open_bundle(path)
    manifest = opened.manifest
    weights = read_weights(Path(opened.path(WEIGHTS)))

    def part(segment: Segment) -> Part:
        network = program = None
        if segment.network is not None:
            network = load(opened.read(segment.network).decode(), weights)
        if segment.program is not None:
            program = opened.read(segment.program)
        return Part(
            segment.name, segment.inputs, segment.outputs, segment.tensors, network, program
        )

    report = json.loads(opened.read(REPORT))
    return Bundle(
        name=report["model"],
        signature=manifest.signature,
        options=CompileOptions(**manifest.options),
        coverage=report["coverage"],
        seconds=report["timings"],
        parts=[part(s) for s in manifest.segments],
        results=manifest.results,
        kept=report["kept_fp32"],
        vectors=read_tensors(opened.path(manifest.self_test.path)) if manifest.self_test else {},
        plans=_plans(opened),
        notes=report["notes"],
        path=Path(path),
    )


def _plans(opened: OpenBundle) -> list[Plan]:
    return [
        Plan(e.segment, e.target, e.flavour, e.fingerprint, opened.read(e.path), e.details)
        for e in opened.manifest.engines
        if e.path.endswith(".plan")
    ]
