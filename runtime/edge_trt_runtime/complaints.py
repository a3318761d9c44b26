# SPDX-License-Identifier: Apache-2.0
"""Finding out why inputs were refused, and saying it with the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.errors import InputError
from edge_trt_runtime.foreign import OnDevice
from edge_trt_runtime.names import close_matches

if TYPE_CHECKING:
    from edge_trt_runtime.manifest import Range, Signature, TensorSpec


def complain(signature: Signature, inputs: Any) -> InputError:
    """Return the error that names the first thing wrong with ``inputs``."""
    if not is_mapping(inputs):
        return InputError(
            f"inputs must be a dict of name to array, got {_kind(inputs)}",
            got=_kind(inputs),
            hint=f"pass {{{', '.join(f'{spec.name!r}: array' for spec in signature.inputs)}}}",
        )
    if error := _name_error(signature, inputs):
        return error
    sizes: dict[str, tuple[int, str]] = {}
    for spec in signature.inputs:
        array: Any = inputs[spec.name]
        error = (
            _kind_error(spec, array)
            or _dtype_error(spec, array)
            or _rank_error(signature, spec, array)
            or _size_error(signature, spec, array, sizes)
        )
        if error:
            return error
    if signature.profiles:
        return _profile_error(signature, {name: size for name, (size, _) in sizes.items()})
    raise AssertionError("the fast check refused what the slow one accepts")


def is_mapping(value: object) -> bool:
    """Return whether ``value`` maps names to something; quick for a plain dict."""
    return type(value) is dict or isinstance(value, Mapping)


def format_shape(spec: TensorSpec) -> str:
    """Return a shape as people write it: ``[n, 3, 224, 224]``."""
    return f"[{', '.join(map(str, spec.shape))}]"


def format_ranges(signature: Signature, spec: TensorSpec) -> str:
    """Return the symbols of a shape with their ranges: ``n: 1..8``; empty when there are none."""
    symbols = dict.fromkeys(size for size in spec.shape if size in signature.dims)
    ranges = ((symbol, signature.dims[str(symbol)]) for symbol in symbols)
    return ", ".join(f"{symbol}: {format_range(range_)}" for symbol, range_ in ranges)


def format_range(range_: Range) -> str:
    """Return a range as people write it: ``1..8``, ``192..512 in steps of 32``."""
    steps = f" in steps of {range_.step}" if range_.step > 1 else ""
    return f"{range_.min}..{range_.max}{steps}"


def _name_error(signature: Signature, inputs: Any) -> InputError | None:
    names = [spec.name for spec in signature.inputs]
    extra = [name for name in inputs if name not in names]
    missing = [name for name in names if name not in inputs]
    takes = f"this model takes {', '.join(map(repr, names)) or 'no inputs'}"
    if extra:
        matches = close_matches(str(extra[0]), missing or names)
        hint = f"did you mean {matches[0]!r}? {takes}" if matches else takes
        return InputError(
            f"unknown input {extra[0]!r}", name=str(extra[0]), expected=takes, hint=hint
        )
    if missing:
        return InputError(f"input {missing[0]!r} is missing", name=missing[0], hint=takes)
    return None


def _kind_error(spec: TensorSpec, value: object) -> InputError | None:
    kind = _kind(value)
    if isinstance(value, np.ma.MaskedArray):
        remedy = "pass array.filled(value)"
    elif isinstance(value, (np.ndarray, OnDevice)):
        return None
    elif kind.startswith("torch."):
        remedy = "pass tensor.numpy()"
    else:
        remedy = f"pass np.asarray(value, '{spec.dtype}')"
    return InputError(
        f"input {spec.name!r} must be a numpy array, got {kind}",
        name=spec.name,
        expected="numpy.ndarray",
        got=kind,
        hint=remedy,
    )


def _dtype_error(spec: TensorSpec, array: Any) -> InputError | None:
    if array.dtype == NUMPY_DTYPES[spec.dtype]:
        return None
    remedy = f"pass array.astype('{spec.dtype}')"
    if spec.image is not None and array.dtype == np.uint8:
        # A bare cast would give a plausible-looking wrong answer.
        remedy = (
            "scale and normalise the pixels first: (pixels * scale - mean) / std with the "
            "numbers of signature.inputs[...].image"
        )
    got = array.dtype.name + ("" if array.dtype.isnative else " in foreign byte order")
    return InputError(
        f"input {spec.name!r} must be {spec.dtype}, got {got}",
        name=spec.name,
        expected=spec.dtype,
        got=got,
        hint=remedy,
    )


def _rank_error(signature: Signature, spec: TensorSpec, array: Any) -> InputError | None:
    if array.ndim == len(spec.shape):
        return None
    expected, ranges = format_shape(spec), format_ranges(signature, spec)
    if array.ndim + 1 == len(spec.shape) and all(
        size == want or isinstance(want, str)
        for size, want in zip(array.shape, spec.shape[1:], strict=True)
    ):
        remedy = "add the first axis with array[None]"
    else:
        remedy = f"it needs {len(spec.shape)} dimensions, not {array.ndim}"
    return InputError(
        f"input {spec.name!r} must have the shape {expected}{f' ({ranges})' if ranges else ''}, "
        f"got {list(array.shape)}",
        name=spec.name,
        expected=expected,
        got=str(list(array.shape)),
        hint=remedy,
    )


def _size_error(
    signature: Signature,
    spec: TensorSpec,
    array: Any,
    sizes: dict[str, tuple[int, str]],
) -> InputError | None:
    for axis, (got, want) in enumerate(zip(array.shape, spec.shape, strict=True)):
        where = f"input {spec.name!r} has size {got} in dimension {axis}"
        wrong, remedy = "", ""
        if isinstance(want, int):
            if got != want:
                wrong = f"{where}, which must be {want}"
                remedy = f"its shape must be {format_shape(spec)}, not {list(array.shape)}"
        elif (range_ := signature.dims.get(want)) is not None:
            known, other = sizes.setdefault(want, (got, f"{spec.name!r} in dimension {axis}"))
            if not range_.min <= got <= range_.max:
                wrong = f"{where}, which must be {format_range(range_)} ({want!r})"
                remedy = "split the input, or build the bundle with a wider range"
            elif got % range_.step:
                wrong = f"{where}, which must be {format_range(range_)} ({want!r})"
                remedy = f"pad or resize it to a multiple of {range_.step}"
            elif got != known:
                wrong = f"{where}, but {other} has size {known}"
                remedy = f"both are {want!r} and must be equal"
        if wrong:
            return InputError(
                wrong,
                name=spec.name,
                expected=format_shape(spec),
                got=str(list(array.shape)),
                hint=remedy,
            )
    return None


def _profile_error(signature: Signature, sizes: Mapping[str, int]) -> InputError:
    got = ", ".join(f"{name} {size}" for name, size in sizes.items())
    profiles = "; ".join(map(format_profile, signature.profiles))
    return InputError(
        f"no profile of the bundle takes {got}",
        expected=profiles,
        got=got,
        hint=f"its profiles are {profiles}: split or pad the input, or build with one more",
    )


def format_profile(profile: Mapping[str, Range]) -> str:
    """Return a profile as people write it: ``batch 1..8, height 224``."""
    return ", ".join(
        f"{name} {size.min if size.min == size.max else format_range(size)}"
        for name, size in profile.items()
    )


def _kind(value: object) -> str:
    kind = type(value)
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
