# SPDX-License-Identifier: Apache-2.0
"""Checks that a well-formed manifest also makes sense, before anything is loaded by it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.paths import MANIFEST_NAME, UNLISTED, check_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_trt_runtime.manifest import Manifest, Signature, TensorSpec

_GREATEST = 2**63 - 1  # libraries count in 64 bits; Python's numbers have no end
_DIMENSIONS = 64  # of an array in numpy


def check_manifest(manifest: Manifest, *, bundle: str = "") -> None:
    """Refuse a manifest that contradicts itself.

    Raises:
        BundleError: With the first contradiction, or an unsafe path.
    """
    for path in _paths(manifest):
        check_path(path, bundle)
    for problem in _problems(manifest):
        where = f"the manifest of {bundle}" if bundle else "the manifest"
        raise BundleError(
            f"{where} contradicts itself: {problem}",
            bundle=bundle,
            file=MANIFEST_NAME,
            hint="build the bundle again",
        )


def _paths(manifest: Manifest) -> Iterator[str]:
    """Yield every path that the manifest names."""
    yield from manifest.files
    yield from (path for path, _ in _references(manifest))


def _references(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield (path, who refers to it)."""
    for segment in manifest.segments:
        for path in (segment.network, segment.program):
            if path is not None:
                yield path, f"segment {segment.name!r}"
    for engine in manifest.engines:
        yield engine.path, f"the {engine.target} engine of segment {engine.segment!r}"
    if manifest.self_test is not None:
        yield manifest.self_test.path, "the self-test"
    if manifest.initial_states is not None:
        yield manifest.initial_states, "the initial states"


def _problems(manifest: Manifest) -> Iterator[str]:
    yield from _file_problems(manifest)
    yield from _number_problems(manifest)
    yield from _signature_problems(manifest.signature)
    yield from _profile_problems(manifest.signature)
    yield from _state_problems(manifest)
    yield from _segment_problems(manifest)
    yield from _result_problems(manifest)
    names = {segment.name for segment in manifest.segments}
    for engine in manifest.engines:
        if engine.segment not in names:
            yield f"the engine {engine.path!r} is for an unknown segment {engine.segment!r}"
        if engine.stream < 1:
            yield f"the engine {engine.path!r} is of stream {engine.stream}, and the first is 1"


def _file_problems(manifest: Manifest) -> Iterator[str]:
    for name in UNLISTED:
        if name in manifest.files:
            yield f"{MANIFEST_NAME} lists {'itself' if name == MANIFEST_NAME else name}"
    for path, entry in manifest.files.items():
        digest = entry.sha256
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            yield f"the sha256 of {path!r} is not 64 lower-case hexadecimal digits"
    for path, owner in _references(manifest):
        if path not in manifest.files:
            yield f"{path!r}, used by {owner}, is not among its files"


def _number_problems(manifest: Manifest) -> Iterator[str]:
    """Numbers that stand for nothing, or that overflow where a library reads them."""
    numbers = {f"the size of {path!r}": entry.size for path, entry in manifest.files.items()}
    numbers["its counter"] = manifest.counter
    if manifest.self_test is not None:
        numbers["its number of recorded cases"] = manifest.self_test.cases
    for name, range_ in manifest.signature.dims.items():
        numbers[f"the greatest size of {name!r}"] = range_.max
    for what, number in numbers.items():
        if number < 0:
            yield f"{what} is negative"
        elif number > _GREATEST:
            yield f"{what} is {number}, which 64 bits can't hold"
    for size, value in manifest.greatest.items():  # open ranges multiplied may be beyond 64 bits
        if value < 0:
            yield f"the greatest value of {size!r} is negative"


def _shape_problems(spec: TensorSpec, owner: str) -> Iterator[str]:
    sizes = [size for size in spec.shape if isinstance(size, int)]
    if len(spec.shape) > _DIMENSIONS:
        yield f"{owner} has {len(spec.shape)} dimensions, which are more than {_DIMENSIONS}"
    elif any(size < 0 for size in sizes):
        yield f"{owner} has a negative size"
    # A size of 0 does not hide another that is too large.
    elif math.prod(max(size, 1) for size in sizes) > _GREATEST:
        yield f"{owner} has more elements than 64 bits count"


def _signature_problems(signature: Signature) -> Iterator[str]:
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for name in _repeated(spec.name for spec in specs):
            yield f"two {kind}s are named {name!r}"
        for spec in specs:
            yield from _shape_problems(spec, f"{kind} {spec.name!r}")
    for name, range_ in signature.dims.items():
        if not 0 <= range_.min <= range_.opt <= range_.max:
            yield (
                f"dimension {name!r} has min {range_.min}, opt {range_.opt}, max {range_.max}, "
                "which are not in order"
            )
        ends = (range_.min, range_.opt, range_.max)
        if range_.step < 1 or any(size % range_.step for size in ends):
            yield f"dimension {name!r} has sizes that are no multiples of {range_.step}"


def _state_problems(manifest: Manifest) -> Iterator[str]:
    signature = manifest.signature
    inputs = {spec.name: (spec.dtype, spec.shape) for spec in signature.inputs}
    outputs = {spec.name: (spec.dtype, spec.shape) for spec in signature.outputs}
    for state in signature.states:
        types = inputs.get(state.input), outputs.get(state.output)
        if None in types or types[0] != types[1]:
            yield f"the state {state.input!r} is no input of the type of output {state.output!r}"
    if signature.states and manifest.initial_states is None:
        yield "its states have no first values"


def _profile_problems(signature: Signature) -> Iterator[str]:
    for number, profile in enumerate(signature.profiles):
        if profile.keys() != signature.dims.keys():
            yield f"profile {number} does not say the sizes of {list(signature.dims)}"
            continue
        for name, sizes in profile.items():
            whole = signature.dims[name]
            if not whole.min <= sizes.min <= sizes.opt <= sizes.max <= whole.max:
                yield f"profile {number} has sizes of {name!r} outside of its range"


def _segment_problems(manifest: Manifest) -> Iterator[str]:
    for name in _repeated(segment.name for segment in manifest.segments):
        yield f"two segments are named {name!r}"
    known = {spec.name for spec in manifest.signature.inputs}
    for segment in manifest.segments:
        for spec in segment.tensors:
            yield from _shape_problems(spec, f"value {spec.name!r} of segment {segment.name!r}")
        typed = {tensor.name for tensor in segment.tensors}
        for value in segment.inputs:
            if value not in known:
                yield f"segment {segment.name!r} reads {value!r}, which nothing before it gives"
        for value in segment.outputs:
            if value in known:
                yield f"segment {segment.name!r} gives {value!r}, which exists already"
            known.add(value)
        for value in (*segment.inputs, *segment.outputs):
            if value not in typed:
                yield f"segment {segment.name!r} does not say the type of {value!r}"
        if segment.kind != "network" and segment.program is None:
            yield f"segment {segment.name!r} is a program of kind {segment.kind} without a file"


def _result_problems(manifest: Manifest) -> Iterator[str]:
    outputs = {spec.name for spec in manifest.signature.outputs}
    values = {spec.name for spec in manifest.signature.inputs}
    values.update(value for segment in manifest.segments for value in segment.outputs)
    for output in sorted(outputs ^ manifest.results.keys()):
        missing = "the results" if output in outputs else "the signature"
        yield f"output {output!r} is missing from {missing}"
    for output, value in manifest.results.items():
        if value not in values:
            yield f"output {output!r} is {value!r}, which no segment gives"


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]
