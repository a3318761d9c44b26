# SPDX-License-Identifier: Apache-2.0
"""Turns a bundle in memory into files and a manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from edge_trt._version import __version__
from edge_trt.bundle.bundle import Bundle, Part, Source
from edge_trt.bundle.layout import (
    ENDINGS,
    PLACEMENT,
    RANGES,
    REPORT,
    SELF_TEST,
    STATES,
    WEIGHTS,
    network_path,
    onnx_path,
    plan_path,
    program_path,
)
from edge_trt.bundle.onnx_program import relocated
from edge_trt.bundle.tolerance import tolerance
from edge_trt.bundle.writer import BundleWriter
from edge_trt.errors import BuildError, EdgeTrtError
from edge_trt.network.graph import Tensor
from edge_trt.network.serialize import dump
from edge_trt.network.size_bounds import size_range
from edge_trt.network.types import UNKNOWN
from edge_trt.network.weights import WeightStore
from edge_trt_runtime.executors.onnx import MOSTLY_IN_FLOAT
from edge_trt_runtime.manifest import Detail, Engine, Manifest, Segment, SelfTest

PRODUCER = f"edge_trt {__version__}"


def save_bundle(bundle: Bundle, path: str | os.PathLike[str], *, durable: bool = True) -> None:
    """Writes a bundle, whole or not at all.

    Args:
        bundle: what to write. Weights that lie in the bundle's source already are taken from there.
        path: where; a bundle of this name is replaced.
        durable: whether it has to survive a power cut.

    Raises:
        EdgeTrtError: the place can't be written, the disk is full, or it was a dry run.
        BundleError: the files that it was read from are damaged.
    """
    if bundle.options.dryrun:
        raise EdgeTrtError("a dry run has nothing to save", hint="compile without dryrun")
    store = WeightStore()
    networks = {n.name: dump(n, store).encode() for n in bundle.networks}
    for part in bundle.parts:
        for name, array in part.onnx.weights.values() if part.onnx else ():
            store.add(array, name)
    expected = store.nbytes + sum(memoryview(p.data).nbytes for p in bundle.plans)
    with BundleWriter(path, expected_bytes=expected, durable=durable) as writer:
        for name, text in networks.items():
            writer.add_bytes(network_path(name), text)
        for part in bundle.parts:
            if (program := _program(part, store)) is not None:
                writer.add_bytes(*program)
        source = _source_of_weights(bundle, store)
        if source is not None:
            writer.reuse(source.opened, WEIGHTS, leaving=source.leaving)
        else:
            store.write(writer.path(WEIGHTS), writer.observe(WEIGHTS))
        same = _written_onnx(source, networks)
        engines = [*_write_onnx(bundle, writer, store, same), *_write_plans(bundle, writer)]
        self_test = _write_self_test(bundle, writer)
        _write_states(bundle, writer)
        if bundle.ranges is not None:
            text = json.dumps(bundle.ranges.as_dict(coarse=True), indent=1)
            writer.add_bytes(RANGES, text.encode())
        if bundle.placement:
            writer.add_bytes(PLACEMENT, json.dumps(bundle.placement, indent=1).encode())
        writer.add_bytes(REPORT, json.dumps(bundle.report, indent=1).encode())
        bundle.check()
        writer.commit(_manifest(bundle, engines, self_test))


def _program(part: Part, store: WeightStore) -> tuple[str, bytes] | None:
    """Path and content of a fallback segment's program."""
    if part.program is not None:
        return program_path(part.name, ENDINGS["torch"]), part.program
    if part.onnx is None:
        return None
    keys = {old: store.key(array) for old, (_, array) in part.onnx.weights.items()}
    places = {old: store.extent(key) for old, key in keys.items() if key is not None}
    return program_path(part.name, ENDINGS["onnx"]), relocated(part.onnx.data, places)


def _source_of_weights(bundle: Bundle, store: WeightStore) -> Source | None:
    """The bundle whose file of weights is the one that would be written."""
    source = bundle.source
    if source is not None and store.is_written(Path(source.opened.path(WEIGHTS))):
        return source
    return None


def _written_onnx(source: Source | None, networks: Mapping[str, bytes]) -> dict[str, Engine]:
    """CPU engines by segment that this version made already, of the same networks and weights."""
    if source is None or source.opened.manifest.producer != PRODUCER:
        return {}
    manifest = source.opened.manifest
    known = {path: entry.sha256 for path, entry in manifest.files.items()}
    made = {name: known.get(network_path(name)) for name in networks}
    same = {n for n, text in networks.items() if made[n] == hashlib.sha256(text).hexdigest()}
    return {e.segment: e for e in manifest.engines if e.flavour == "onnx" and e.segment in same}


def _write_onnx(
    bundle: Bundle, writer: BundleWriter, store: WeightStore, same: Mapping[str, Engine]
) -> Iterator[Engine]:
    """CPU engines; their weights are those in the bundle's file of weights."""
    source = bundle.source
    if "cpu" not in bundle.options.targets:
        return
    if source is not None and same.keys() >= {network.name for network in bundle.networks}:
        for engine in same.values():
            writer.reuse(source.opened, engine.path, leaving=source.leaving)
            yield engine
        return
    from edge_trt.engines.onnx import ExternalData, emit
    from edge_trt.engines.onnx.integers import mostly_in_float

    def locate(tensor: Tensor) -> ExternalData | None:
        key = None if tensor.data is None else store.key(tensor.data)
        if key is None:
            return None
        extent = store.extent(key)
        return ExternalData(WEIGHTS, extent.offset, extent.length)

    for network in bundle.networks:
        path = onnx_path(network.name)
        writer.add_bytes(path, emit(network, locate).SerializeToString())
        details: dict[str, Detail] = {MOSTLY_IN_FLOAT: True} if mostly_in_float(network) else {}
        yield Engine(
            segment=network.name, target="cpu", flavour="onnx", fingerprint="cpu", path=path,
            details=details,
        )  # fmt: skip


def _write_plans(bundle: Bundle, writer: BundleWriter) -> Iterator[Engine]:
    for plan in bundle.plans:
        path = plan_path(plan.segment, plan.fingerprint, plan.stream)
        if plan.file is None:
            writer.add_bytes(path, memoryview(plan.data))
        else:
            writer.adopt(str(plan.file.path), plan.file.entry(), path)
        yield Engine(
            segment=plan.segment,
            target=plan.target,
            flavour=plan.flavour,
            fingerprint=plan.fingerprint,
            path=path,
            details=plan.details,
            stream=plan.stream,
        )


def _write_self_test(bundle: Bundle, writer: BundleWriter) -> SelfTest | None:
    vectors = bundle.vectors
    if not vectors:
        return None
    store = WeightStore()
    for name, array in vectors.items():
        # A model may return its input: without a copy the two would be stored once.
        store.add(array.copy(), name)
    store.write(writer.path(SELF_TEST), writer.observe(SELF_TEST))
    cases = len({name.partition("/")[0] for name in vectors})
    types = {t.dtype.value for n in bundle.networks for node in n.nodes for t in node.outputs}
    types |= {spec.dtype for part in bundle.parts for spec in part.tensors}
    rtol, atols = tolerance(bundle.options.precision, vectors, types)
    atol = max(atols.values(), default=0.0)
    return SelfTest(path=SELF_TEST, cases=cases, rtol=rtol, atol=atol, atols=atols)


def _write_states(bundle: Bundle, writer: BundleWriter) -> None:
    if not bundle.states:
        return
    store = WeightStore()
    for name, array in bundle.states.items():
        store.add(array.copy(), name)  # equal states are two
    store.write(writer.path(STATES), writer.observe(STATES))


def _manifest(bundle: Bundle, engines: list[Engine], self_test: SelfTest | None) -> Manifest:
    return Manifest(
        producer=PRODUCER,
        precision=bundle.options.precision,
        targets=list(bundle.options.targets),
        signature=bundle.signature,
        segments=[_segment(part) for part in bundle.parts],
        results=bundle.results,
        engines=engines,
        self_test=self_test,
        initial_states=STATES if bundle.states else None,
        options=bundle.options.as_dict(),
        greatest=_greatest(bundle),
        counter=bundle.counter,
    )


def _greatest(bundle: Bundle) -> dict[str, int]:
    """The greatest value of every expression among the sizes of values between segments.

    A device plans its memory by these. What depends on data has none, and stays on the host.
    """
    dims = bundle.signature.dims
    sizes = {s for part in bundle.parts for spec in part.tensors for s in spec.shape}
    names = sorted(s for s in sizes if isinstance(s, str) and s != UNKNOWN and s not in dims)
    found: dict[str, int] = {}
    for name in names:
        with suppress(BuildError):  # an expression that nothing is known of
            found[name] = size_range(name, dims, "a value").max
    return found


def _segment(part: Part) -> Segment:
    kind = "network" if part.network is not None else "onnx" if part.onnx else "torch"
    return Segment(
        name=part.name,
        kind=kind,
        device="gpu" if kind == "network" else "host",
        inputs=part.inputs,
        outputs=part.outputs,
        network=network_path(part.name) if kind == "network" else None,
        program=None if kind == "network" else program_path(part.name, ENDINGS[kind]),
        tensors=part.tensors,
    )
