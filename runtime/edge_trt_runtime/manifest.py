# SPDX-License-Identifier: Apache-2.0
"""``manifest.json``: what a bundle contains, and how its parts fit together.

Every record is immutable; ``msgspec.structs.replace`` makes a changed copy.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.repeated_names import repeated_name

SCHEMA = 2
"""Version of the manifest that this package writes, and the newest that it reads.

2: segments of kind ``onnx``.
"""

KINDS = ("network", "onnx", "torch")
"""What a segment can be."""

_ZEROS = "0" * 64
_OWN_DIGEST = re.compile(rb'("digest"\s*:\s*")[0-9a-f]{64}')

Detail = str | int | float | bool
Size = int | str


class Range(msgspec.Struct, frozen=True):
    """Sizes that a symbolic dimension may take; the engine is tuned for ``opt``.

    All three are multiples of ``step``, and no other sizes may be taken.
    """

    min: int
    opt: int
    max: int
    step: int = 1


class ImageSpec(msgspec.Struct, frozen=True):
    """How 8-bit pixels become an image input: ``(pixel * scale - mean) / std`` per channel."""

    mean: list[float]
    std: list[float]
    scale: float = 1 / 255
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    color: Literal["RGB", "BGR", "L"] = "RGB"


class TensorSpec(msgspec.Struct, frozen=True):
    """Name and type of a value.

    A string in ``shape`` is a symbolic size: a key of :attr:`Signature.dims`, an expression of
    such keys, or ``"?"``. Expressions are text for people; nothing here evaluates them.
    ``value`` is the same of a number that passes between segments because it is a size.
    """

    name: str
    dtype: str
    shape: list[Size]
    image: ImageSpec | None = None
    value: Size | None = None


class State(msgspec.Struct, frozen=True):
    """A value that a run takes as ``input`` and leaves as ``output`` for the next run."""

    input: str
    output: str


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a session takes and gives, in order.

    ``dims`` are the sizes that may be taken. With ``profiles``, all sizes of a run have to lie
    within one of them, each of which has a range for every key of ``dims``.
    ``in_tree`` and ``out_tree`` are PyTorch pytree specs as JSON, opaque to the runtime.
    """

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    dims: dict[str, Range] = {}
    profiles: list[dict[str, Range]] = []
    states: list[State] = []
    in_tree: str = ""
    out_tree: str = ""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run, of a kind in :data:`KINDS`.

    A ``network`` has an engine for the target; ``onnx`` and ``torch`` are fallbacks on the host,
    programs for ONNX Runtime and for PyTorch. ``inputs`` and ``outputs`` are value names of the
    whole graph: names of graph inputs, or of values that an earlier segment gives. ``tensors``
    holds the types of all of them. ``network`` or ``program`` is the path of the segment's
    description in the bundle.
    """

    name: str
    kind: str
    device: Literal["gpu", "dla:0", "dla:1", "host"]
    inputs: list[str]
    outputs: list[str]
    network: str | None = None
    program: str | None = None
    tensors: list[TensorSpec] = []


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """A segment compiled for a target. ``flavour`` names the library that runs it.

    ``stream`` says which of the placements that share the accelerators it belongs to; stream 1 is
    what a session runs by default. A segment without an engine of another stream runs that of
    stream 1 in it. Where there are two, ``details`` has ``runs_per_second``: how often the plan
    runs the stream (an estimate, the same for all segments), beside the other one.
    """

    segment: str
    target: str
    flavour: str
    fingerprint: str
    path: str
    details: dict[str, Detail] = {}
    stream: int = 1


class FileEntry(msgspec.Struct, frozen=True):
    """Digest (hexadecimal) and size in bytes of a file."""

    sha256: str
    size: int


class SelfTest(msgspec.Struct, frozen=True):
    """Recorded cases: a safetensors file with ``<case>/in/<name>`` and ``<case>/out/<name>``.

    An output passes when ``|got - expected| <= atol + rtol * |expected|`` everywhere, with its own
    ``atol`` from ``atols`` where that has one: outputs may be of very different sizes.
    """

    path: str
    cases: int
    rtol: float
    atol: float
    atols: dict[str, float] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a bundle. ``results`` maps each output's name to a value's name."""

    schema: int = SCHEMA
    producer: str
    precision: str
    targets: list[str]
    signature: Signature
    segments: list[Segment]
    results: dict[str, str]
    engines: list[Engine] = []
    self_test: SelfTest | None = None
    initial_states: str | None = None
    """A safetensors file with the first value of every state's input."""
    files: dict[str, FileEntry] = {}
    options: dict[str, Any] = {}
    greatest: dict[str, int] = {}
    """The greatest value of every size in a segment's shapes that is an expression."""
    counter: int = 0
    """Rises with every release that is signed, so that a device can refuse to go back."""
    digest: str = ""
    """sha256 of ``manifest.json`` itself, with zeros in the place of this digest."""


class _Header(msgspec.Struct):
    """The part that every past and future manifest has."""

    schema: int
    producer: str = ""


def decode_manifest(data: bytes, *, bundle: str = "") -> Manifest:
    """Read a manifest; unknown keys are ignored, so that small additions need no new schema.

    Args:
        data: The bytes of ``manifest.json``.
        bundle: Path of the bundle, for error texts.

    Raises:
        BundleError: When it is not JSON, of a newer schema, malformed (the text says where), names
            something twice, or contradicts itself.
    """
    from edge_trt_runtime.consistency import check_manifest

    where = f"manifest.json of {bundle}" if bundle else "manifest.json"
    try:
        header = msgspec.json.decode(data, type=_Header)
        if header.schema > SCHEMA:
            raise _too_new(header, where, bundle)
        manifest = msgspec.json.decode(data, type=Manifest)
        if (name := repeated_name(data)) is not None:
            raise _malformed(f"{name!r} stands twice in one object", where, bundle)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(str(error), where, bundle) from error
    except RecursionError as error:
        raise _malformed("it is nested too deeply", where, bundle) from error
    for segment in manifest.segments:
        if segment.kind not in KINDS:
            raise _unknown_kind(segment, where, bundle)
    check_manifest(manifest, bundle=bundle)
    if manifest.digest and manifest.digest != _digest(data):
        raise BundleError(
            f"{where} was changed after it was written: its content does not have its checksum",
            bundle=bundle,
            file="manifest.json",
            hint="copy the whole bundle again, or build it again",
        )
    return msgspec.structs.replace(manifest, digest="")  # it belongs to the bytes


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as indented JSON with sorted keys: equal manifests give equal bytes."""
    return _encode(msgspec.structs.replace(manifest, digest=_ZEROS))


def with_counter(data: bytes, counter: int) -> bytes:
    """Return the bytes of a manifest that decodes with another counter, and else as ``data``.

    What a later version has put into it stays.
    """
    tree: dict[str, Any] = msgspec.json.decode(data)
    return _encode({**tree, "counter": counter, "digest": _ZEROS})


def _encode(tree: Manifest | dict[str, Any]) -> bytes:
    """Write JSON with the digest of itself in the place of zeros."""
    data = msgspec.json.format(msgspec.json.encode(tree, order="sorted"), indent=2) + b"\n"
    return _OWN_DIGEST.sub(rb"\g<1>" + _digest(data).encode(), data, count=1)


def _digest(data: bytes) -> str:
    """Return the digest of a manifest's bytes, whatever its own field says."""
    import hashlib  # only those who read a bundle pay for it

    return hashlib.sha256(_OWN_DIGEST.sub(rb"\g<1>" + _ZEROS.encode(), data, count=1)).hexdigest()


def _malformed(what: str, where: str, bundle: str) -> BundleError:
    return BundleError(
        f"{where} is malformed: {what}",
        bundle=bundle,
        file="manifest.json",
        hint="copy the whole bundle again, or build it again",
    )


def _too_new(header: _Header, where: str, bundle: str) -> BundleError:
    """Say which version is needed: the compiler and the runtime are released together."""
    from edge_trt_runtime import __version__

    release = re.search(r"\d+(\.\d+)+", header.producer)
    needed = f">= {release.group()}" if release else f"newer than {__version__}"
    return BundleError(
        f"{where} has schema {header.schema}, and edge_trt_runtime {__version__} reads up to "
        f"{SCHEMA}: it needs edge_trt_runtime {needed}",
        bundle=bundle,
        file="manifest.json",
        hint="pip install --upgrade edge-trt-runtime",
    )


def _unknown_kind(segment: Segment, where: str, bundle: str) -> BundleError:
    from edge_trt_runtime import __version__

    return BundleError(
        f"segment {segment.name!r} in {where} is of kind {segment.kind!r}, which edge_trt_runtime "
        f"{__version__} does not know (it knows {', '.join(KINDS)})",
        bundle=bundle,
        file="manifest.json",
        hint="pip install --upgrade edge-trt-runtime, or build the bundle again",
    )
