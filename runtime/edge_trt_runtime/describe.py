# SPDX-License-Identifier: Apache-2.0
"""A bundle as text, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt_runtime.bundle import read_signature
from edge_trt_runtime.complaints import format_profile, format_ranges, format_shape
from edge_trt_runtime.signing import decode_signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.manifest import Signature, TensorSpec
    from edge_trt_runtime.session import Session


def describe(bundle: OpenBundle) -> str:
    """Return signature, segments, engines and sizes, one thing a line."""
    return "\n".join(_lines(bundle))


def format_size(size: float) -> str:
    """Return a number of bytes as people write it, in powers of 1000: ``97.8 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _lines(bundle: OpenBundle) -> Iterator[str]:
    manifest = bundle.manifest
    files = manifest.files
    total = sum(entry.size for entry in files.values())
    yield f"{bundle.root}: {manifest.precision}, {format_size(total)} in {len(files)} files"
    yield f"  built by {manifest.producer} for {', '.join(manifest.targets) or 'no target'}"
    yield "inputs"
    yield from _specs(manifest.signature, manifest.signature.inputs)
    for number, profile in enumerate(manifest.signature.profiles):
        yield f"  profile {number}  {format_profile(profile)}"
    yield "outputs"
    yield from _specs(manifest.signature, manifest.signature.outputs)
    for state in manifest.signature.states:
        yield f"  {state.output} of a run is {state.input} of the next"
    yield "segments"
    for segment in manifest.segments:
        flow = f"{', '.join(segment.inputs)} -> {', '.join(segment.outputs)}"
        yield f"  {segment.name}  {segment.kind} on {segment.device}: {flow}"
    yield "engines"
    for engine in manifest.engines:
        size = format_size(files[engine.path].size)
        stream = f", stream {engine.stream}" if engine.stream > 1 else ""
        yield (
            f"  {engine.segment}  {engine.target} ({engine.flavour}{stream}), {engine.path}, {size}"
        )
    if not manifest.engines:
        yield "  none yet: finish the bundle with `edge_trt build`"
    if manifest.self_test is not None:
        yield f"self-test: {manifest.self_test.cases} cases, {manifest.self_test.path}"


def _specs(signature: Signature, specs: list[TensorSpec]) -> Iterator[str]:
    for spec in specs:
        ranges = format_ranges(signature, spec)
        yield f"  {spec.name}  {spec.dtype}{format_shape(spec)}{f'  {ranges}' if ranges else ''}"


def describe_signature(bundle: OpenBundle, *, trusted: bool) -> str:
    """Return who signed a bundle; ``trusted`` when that was checked."""
    data = read_signature(bundle.root)
    if data is None:
        return "not signed"
    key, counter = decode_signature(data, bundle=bundle.root).key, bundle.manifest.counter
    known = "" if trusted else ", which was not checked against a key that you trust"
    return f"signed by the key {key}, counter {counter}{known}"


def describe_session(session: Session) -> str:
    """Return where a session's segments run, a line each, and the memory that a run takes."""
    if not session.places:
        return "runs on the CPU"
    lines = [
        f"{where.segment} runs on {where.lane}{f' ({where.reason})' if where.reason else ''}"
        for where in session.places
    ]
    memory = session.memory
    if memory is not None:
        lines.append(
            f"memory of a run in flight, of {memory.frames}: {format_size(memory.device)} on the "
            f"GPU ({format_size(memory.unshared)} if nothing were shared, "
            f"{format_size(memory.scratch)} of it for segments while they run), "
            f"{format_size(memory.pinned)} page-locked"
        )
    return "\n".join(lines)
