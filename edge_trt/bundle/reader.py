# SPDX-License-Identifier: Apache-2.0
"""Reads a saved bundle back into memory, without torch."""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt.bundle.bundle import Bundle, Part, Source
from edge_trt.bundle.layout import PLACEMENT, RANGES, REPORT, WEIGHTS
from edge_trt.bundle.onnx_program import OnnxProgram
from edge_trt.engines.plans import Plan
from edge_trt.errors import BundleError
from edge_trt.network.serialize import load
from edge_trt.network.weights import Extent, read_extents, read_weights
from edge_trt.options import CompileOptions
from edge_trt_runtime.bundle import OpenBundle, open_bundle
from edge_trt_runtime.executors.external_data import external_tensors
from edge_trt_runtime.manifest import Segment
from edge_trt_runtime.vectors import read_tensors

if TYPE_CHECKING:
    from edge_trt_calibration import Ranges


LARGE = 8 << 20
"""Bytes from which the comparison of a file with its digest takes longer than a thread's start."""


def read_bundle(
    path: str | os.PathLike[str], *, leaving: bool = False, beside: Executor | None = None
) -> Bundle:
    """Opens a bundle; its weights are memory-mapped.

    Every file is compared with its digest first: what is saved later gets digests of its own, and
    damage would go unnoticed from then on.

    Args:
        path: the bundle.
        leaving: it was written a moment ago by this build, and is deleted at its end: it is not
            compared, and may be robbed of its files.
        beside: where large files are compared while the bundle is used already. Until `check` of
            the bundle has returned, weights may be damaged; `save` waits for it.

    Raises:
        BundleError: it is damaged, edited or too new, or was not written by the compiler.
    """
    opened = open_bundle(path)
    checked = None if leaving else _verify(opened, beside)
    try:
        bundle = _read(opened, Path(path))
    except (KeyError, TypeError, ValueError) as error:
        if checked is not None:
            checked.result()  # damage, if there is any, is the better reason
        if isinstance(error, BundleError):
            raise
        raise BundleError(
            f"{opened.root} can't be read by this version of edge_trt ({error})",
            bundle=opened.root,
            hint="build it again from the model",
        ) from error
    bundle.source = Source(opened, leaving, checked)
    return bundle


def _verify(opened: OpenBundle, beside: Executor | None) -> Future[None] | None:
    """Compares all files with their digests; what is read as a whole before anything is made of it.

    Raises:
        BundleError: one is wrong.
    """
    if beside is None:
        opened.verify()
        return None
    opened.check_listing()
    files = opened.manifest.files
    large = [file for file in files if files[file].size >= LARGE]
    for file in files.keys() - large:
        opened.check_file(file)

    def check() -> None:
        for file in large:
            opened.check_file(file)

    return beside.submit(check)


def _read(opened: OpenBundle, path: Path) -> Bundle:
    manifest = opened.manifest
    weights = read_weights(Path(opened.path(WEIGHTS)))
    report = json.loads(opened.read(REPORT))
    return Bundle(
        name=report["model"],
        signature=manifest.signature,
        options=_options(manifest.options),
        coverage=report["coverage"],
        seconds=report["timings"],
        parts=[_part(opened, segment, weights) for segment in manifest.segments],
        results=manifest.results,
        kept=report["kept_fp32"],
        quantization=report.get("quantization", {}),
        ranges=_ranges(opened),
        vectors=read_tensors(opened.path(manifest.self_test.path)) if manifest.self_test else {},
        states=read_tensors(opened.path(manifest.initial_states))
        if manifest.initial_states
        else {},
        plans=_plans(opened),
        missing=report["missing_engines"],
        remarks=_remarks(report),
        placement=_placement(opened),
        counter=manifest.counter,
        path=path,
    )


def _remarks(report: Mapping[str, Any]) -> list[str]:
    """The notes of a report that stand nowhere else in it."""
    elsewhere = {*report["missing_engines"].values(), *report["coverage"].get("notes", [])}
    return [note for note in report["notes"] if note not in elsewhere]


def _placement(opened: OpenBundle) -> dict[str, Any]:
    """Which layers run on DLA; empty if nothing was placed."""
    there = PLACEMENT in opened.manifest.files
    return dict(json.loads(opened.read(PLACEMENT))) if there else {}


def _ranges(opened: OpenBundle) -> Ranges | None:
    """The ranges of a bundle in int8."""
    if RANGES not in opened.manifest.files:
        return None
    from edge_trt_calibration import Ranges

    return Ranges.from_dict(json.loads(opened.read(RANGES)))


def _options(stored: Mapping[str, Any]) -> CompileOptions:
    """The options that this version knows."""
    known = {f.name for f in dataclasses.fields(CompileOptions)}
    return CompileOptions(**{name: value for name, value in stored.items() if name in known})


def _part(opened: OpenBundle, segment: Segment, weights: Mapping[str, np.ndarray]) -> Part:
    part = Part(segment.name, segment.inputs, segment.outputs, segment.tensors)
    if segment.network is not None:
        part.network = load(opened.read(segment.network).decode(), weights)
    if segment.kind == "torch" and segment.program is not None:
        part.program = opened.read(segment.program)
    if segment.kind == "onnx" and segment.program is not None:
        part.onnx = _onnx(opened, segment.program, weights)
    return part


def _onnx(opened: OpenBundle, path: str, weights: Mapping[str, np.ndarray]) -> OnnxProgram:
    """A fallback in ONNX with its weights, found by where they lie in their file."""
    data = opened.read(path)
    names = {extent: name for name, extent in read_extents(Path(opened.path(WEIGHTS))).items()}
    used = (Extent(tensor.offset, tensor.length) for tensor in external_tensors(data))
    return OnnxProgram(data, {extent: (names[extent], weights[names[extent]]) for extent in used})


def _mapped(path: str) -> memoryview:
    """The content of a file, read when it is needed."""
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _plans(opened: OpenBundle) -> list[Plan]:
    return [
        Plan(
            e.segment, e.target, e.flavour, e.fingerprint, _mapped(opened.path(e.path)), e.details,
            stream=e.stream,
        )
        for e in opened.manifest.engines
        if e.flavour != "onnx"
    ]  # fmt: skip
