# SPDX-License-Identifier: Apache-2.0
"""The result of a calibration: a range per tensor, and what it was taken from.

ranges = choose(statistics, "mse")
ranges.save("ranges.json")
both = merge([Ranges.load("a.json"), Ranges.load("b.json")])
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from edge_trt_calibration.errors import CalibrationError
from edge_trt_calibration.histogram import SHIFT, Histogram
from edge_trt_calibration.methods import LEVELS, SquaredErrors, method_of

SCHEMA = 1
"""Version of the file; a later one is refused."""

COARSE = SHIFT + 5
"""Shift of the histograms that a bundle carries: 64 buckets for every power of two."""


@dataclass(frozen=True, slots=True)
class TensorRange:
    """What the largest int8 level of a tensor stands for."""

    amax: float
    method: str
    """Name of the method that chose it, `imported` if it comes from another tool."""
    clipped: float | None = None
    """Fraction of the values that are larger."""
    sqnr: float | None = None
    """Signal to quantization noise, in dB; None without data, or where nothing is lost."""

    @property
    def scale(self) -> float:
        """The step between two levels; 1 for a tensor that was always zero."""
        return self.amax / LEVELS if self.amax > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """The data that was looked at.

    `digest` is the sum of the samples' own digests, so that it does not depend on their order.
    """

    samples: int = 0
    digest: str = "0" * 32

    def __add__(self, other: Source) -> Source:
        total = (int(self.digest, 16) + int(other.digest, 16)) % (1 << 128)
        return Source(self.samples + other.samples, f"{total:032x}")


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges by tensor, with the histograms that they come from, if there are any.

    Attributes:
        model: digest of the networks that were run; empty for ranges of another tool.
        method: what chose the ranges, as `method_of` takes it.
        source: what data was seen.
        tensors: the range of each tensor.
        histograms: what each tensor held; empty for ranges of another tool.
        coarse: whether the histograms are too coarse to be merged.
        groups: names of tensors that have one scale between them, so that all have the largest
            range of the group.
    """

    model: str
    method: str
    source: Source = field(default_factory=Source)
    tensors: Mapping[str, TensorRange] = field(default_factory=dict[str, TensorRange])
    histograms: Mapping[str, Histogram] = field(default_factory=dict[str, Histogram])
    coarse: bool = False
    groups: Sequence[Sequence[str]] = ()

    def grouped(self, groups: Sequence[Sequence[str]]) -> Ranges:
        """With one range for all tensors of a group, the largest of them."""
        tensors = share(self.tensors, self.histograms, groups)
        return replace(self, tensors=tensors, groups=tuple(map(tuple, groups)))

    def with_method(self, method: str) -> Ranges:
        """The same data under another method.

        Raises:
            CalibrationError: there is no such method, or no data.
        """
        if not self.histograms:
            raise CalibrationError(
                "these ranges have no histograms, so no other method can be applied",
                hint="calibrate again",
            )
        chosen = choose(self.histograms, method)
        return replace(self, method=method, tensors=chosen).grouped(self.groups)

    def as_dict(self, *, coarse: bool = False) -> dict[str, Any]:
        """JSON values; `coarse` makes them small, for a report."""
        shift = COARSE if coarse else SHIFT
        tensors: dict[str, Any] = {}
        for name, chosen in self.tensors.items():
            tensors[name] = {k: v for k, v in asdict(chosen).items() if v is not None}
            if name in self.histograms:
                tensors[name]["histogram"] = self.histograms[name].as_dict(shift)
        return {
            "schema": SCHEMA,
            "model": self.model,
            "method": self.method,
            "samples": self.source.samples,
            "data": self.source.digest,
            "coarse": coarse or self.coarse,
            "groups": [list(group) for group in self.groups],
            "tensors": tensors,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ranges:
        """What `as_dict` gave.

        Raises:
            CalibrationError: the values have another form.
        """
        if values.get("schema") != SCHEMA:
            raise CalibrationError(
                f"these ranges have schema {values.get('schema')!r}, this version reads {SCHEMA}",
                hint="update edge_trt, or calibrate again",
            )
        try:
            entries: dict[str, dict[str, Any]] = values["tensors"]
            histograms = {
                name: Histogram.from_dict(entry["histogram"])
                for name, entry in entries.items()
                if "histogram" in entry
            }
            tensors = {
                name: _range(name, {k: v for k, v in entry.items() if k != "histogram"})
                for name, entry in entries.items()
            }
            source = Source(int(values["samples"]), str(values["data"]))
            coarse = bool(values["coarse"])
            groups = tuple(tuple(map(str, group)) for group in values.get("groups", ()))
            model, method = values["model"], values["method"]
            return cls(model, method, source, tensors, histograms, coarse, groups)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CalibrationError(
                f"these ranges can't be read: {type(error).__name__} {error}",
                hint="calibrate again",
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file in one step: it is whole, or what it was before."""
        text = json.dumps(self.as_dict(), indent=1) + "\n"
        write_whole(Path(path), text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ranges:
        """Reads what `save` wrote.

        Raises:
            CalibrationError: naming the file, if there is none or it is no such file.
        """
        try:
            values: Any = json.loads(Path(path).read_text())
        except OSError as error:
            raise CalibrationError(f"{path} can't be read: {error.strerror}") from error
        except ValueError as error:
            raise CalibrationError(f"{path} is no JSON file: {error}") from error
        try:
            return cls.from_dict(cast("dict[str, Any]", values) if isinstance(values, dict) else {})
        except CalibrationError as error:
            raise CalibrationError(f"{path}: {error.message}", hint=error.hint) from error


def _range(name: str, values: Mapping[str, Any]) -> TensorRange:
    found = TensorRange(**values)
    if not (isinstance(found.amax, int | float) and math.isfinite(found.amax) and found.amax >= 0):
        raise CalibrationError(
            f"the range of {name} is {found.amax!r}, which is no magnitude",
            names=[name],
            hint="calibrate again",
        )
    return found


def choose(histograms: Mapping[str, Histogram], method: str) -> dict[str, TensorRange]:
    """The range of every tensor by one method.

    Raises:
        CalibrationError: there is no such method.
    """
    find = method_of(method)
    found: dict[str, TensorRange] = {}
    for name, histogram in histograms.items():
        found[name] = measured(histogram, find(histogram), method)
        histogram.forget()
    return found


def share(
    tensors: Mapping[str, TensorRange],
    histograms: Mapping[str, Histogram],
    groups: Sequence[Sequence[str]],
) -> dict[str, TensorRange]:
    """The ranges with one for each group: the largest, with what it costs each of its tensors."""
    found = dict(tensors)
    for group in groups:
        there = [name for name in group if name in tensors]
        largest = max((tensors[name].amax for name in there), default=0.0)
        for name in there:
            mine = tensors[name]
            if mine.amax == largest:
                continue
            if name in histograms:
                found[name] = measured(histograms[name], largest, mine.method)
            else:
                found[name] = TensorRange(largest, mine.method)
    return found


def measured(histogram: Histogram, amax: float, method: str) -> TensorRange:
    """A range with what it costs: the fraction that is clipped, and the noise."""
    # As a scale is written and computed with: a float32.
    amax = float(np.float32(amax))
    centres, counts = histogram.levels()
    total = int(counts.sum())
    if not total or amax <= 0:
        return TensorRange(amax, method, 0.0 if total else None)
    clipped = int(counts[centres > amax].sum()) / total
    errors = SquaredErrors.of(histogram)
    noise = float(errors(np.array([amax]))[0])
    # Noise below what float64 resolves of the sum is none: all values are levels.
    lost = noise > errors.squares * 1e-12
    sqnr = 10 * math.log10(errors.squares / noise) if lost else None
    return TensorRange(amax, method, clipped, sqnr)


def merge(parts: Sequence[Ranges], names: Sequence[str] = ()) -> Ranges:
    """The ranges of all the data together, to the bit those of one pass over it.

    Args:
        parts: ranges of one model.
        names: what the parts are called, such as their files.

    Raises:
        CalibrationError: the parts are of different models, tensors or methods, or without
            histograms.
    """
    if not parts:
        raise CalibrationError("there are no ranges to merge")
    first = parts[0]
    names = names or [f"part {number}" for number in range(1, len(parts) + 1)]
    for part, name in zip(parts[1:], names[1:], strict=True):
        _check_mergeable(first, part, f"{names[0]} and {name}")
    if any(not part.histograms or part.coarse for part in parts):
        raise CalibrationError(
            "ranges without whole histograms can't be merged",
            hint="merge the files that edge_trt calibrate wrote, not those of a bundle or a cache",
        )
    if len({part.source for part in parts}) < len(parts):
        raise CalibrationError(
            "two of these ranges were taken from the same data, which would count twice",
            hint="name every part once",
        )
    histograms: dict[str, Histogram] = {name: Histogram() for name in first.histograms}
    source = Source()
    for part in parts:
        source += part.source
        for name, histogram in part.histograms.items():
            histograms[name].merge(histogram)
    chosen = choose(histograms, first.method)
    both = Ranges(first.model, first.method, source, chosen, histograms)
    return both.grouped(first.groups)


def _check_mergeable(first: Ranges, part: Ranges, both: str) -> None:
    odd = [
        n for n in (*first.tensors, *part.tensors) if n not in {*first.tensors} & {*part.tensors}
    ]
    if part.model != first.model:
        what = f"one alone has {listed(odd)}" if odd else "their tensors have the same names"
        raise CalibrationError(
            f"{both} belong to different models: {what}",
            names=odd,
            hint="merge those of one model with one set of weights",
        )
    if part.method != first.method:
        raise CalibrationError(
            f"{both} were chosen by different methods, {first.method} and {part.method}",
            hint="say which one is meant with --calibration-method",
        )
    if odd:
        raise CalibrationError(
            f"{both} have different tensors: {listed(sorted(odd))}",
            names=odd,
            hint="calibrate all parts with the same options",
        )
    if part.groups != first.groups:
        raise CalibrationError(
            f"other tensors share a scale in {both}",
            hint="calibrate all parts with the same options and the same version",
        )


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def write_whole(path: Path, text: str) -> None:
    """Writes a text file in one step.

    Raises:
        CalibrationError: the disk refuses it; what was there stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            beside.write_text(text)
            beside.replace(path)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise
    except OSError as error:
        raise CalibrationError(f"{path} can't be written: {error.strerror}") from error
