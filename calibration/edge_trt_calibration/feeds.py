# SPDX-License-Identifier: Apache-2.0
"""Calibration data in whatever form it comes, as dictionaries of arrays that fit the model.

    for feeds in Feeds(loader, [InputSpec("image", "float32", ((1, 8), 3, 224, 224))]):
        outputs = run(feeds)

Accepted are arrays whose first axis counts samples, mappings of them, `.npy` and `.npz` files,
folders of `.npy` files, and whatever yields batches: dictionaries, tuples in the order of the
inputs (one more element is a label and is left out), or single arrays. A function that returns one
of these is called for every pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from edge_trt_calibration.errors import CalibrationError

Size = int | tuple[int, int]
"""A size of an input: a number, or the smallest and the largest of a range."""

Feed = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the model takes under a name: a numpy type's name, and a size for every axis."""

    name: str
    dtype: str
    shape: tuple[Size, ...]

    def __str__(self) -> str:
        sizes = [str(s) if isinstance(s, int) else f"{s[0]}..{s[1]}" for s in self.shape]
        return f"{self.dtype}[{', '.join(sizes)}]"

    @property
    def most_rows(self) -> int:
        """The largest size of the first axis."""
        first = self.shape[0]
        return first if isinstance(first, int) else first[1]


class Feeds:
    """Batches that fit the inputs; larger ones come in pieces.

    Args:
        data: see the module.
        inputs: what the model takes, in order.

    Raises:
        CalibrationError: the data has none of the forms, a file can't be read.
    """

    def __init__(self, data: Any, inputs: Sequence[InputSpec]) -> None:
        self._inputs = tuple(inputs)
        self._data = _opened(data, self._inputs)
        self._passes = 0

    def __iter__(self) -> Iterator[Feed]:
        """One pass over the data.

        Raises:
            CalibrationError: a batch does not fit; or a second pass over what gives one only.
        """
        data = self._data() if callable(self._data) else self._data
        if self._passes and isinstance(data, Iterator) and not callable(self._data):
            raise CalibrationError(
                "the data is a generator, which can be read once, and this needs a second pass",
                hint="give the function that makes it, without calling it",
            )
        self._passes += 1
        data = _opened(data, self._inputs)
        if not isinstance(data, Iterable):
            raise CalibrationError(f"{type(data).__name__} gives no batches")
        for number, batch in enumerate(cast("Iterable[Any]", data)):
            yield from self._pieces(self._named(batch, number), number)

    def _named(self, batch: Any, number: int) -> Feed:
        """A batch as arrays by name."""
        names = [spec.name for spec in self._inputs]
        if isinstance(batch, Mapping):
            given = cast("Mapping[str, Any]", batch)
            if missing := [name for name in names if name not in given]:
                raise CalibrationError(
                    f"batch {number} lacks {', '.join(missing)}",
                    names=missing,
                    hint=f"it has {', '.join(map(str, given)) or 'nothing'}",
                )
            values = [given[name] for name in names]
        elif isinstance(batch, tuple | list):
            values = list(cast("Sequence[Any]", batch))
            if len(values) not in (len(names), len(names) + 1):
                raise CalibrationError(
                    f"batch {number} has {len(values)} elements, the model takes {len(names)} "
                    f"({', '.join(names)})",
                    hint="give the inputs in order, or a dictionary by name",
                )
        else:
            values = [batch]
        if len(values) < len(names):
            raise CalibrationError(
                f"batch {number} is one array, the model takes {', '.join(names)}",
                hint="give a tuple in this order, or a dictionary by name",
            )
        return {
            spec.name: _array(value, spec, number)
            for spec, value in zip(self._inputs, values, strict=False)
        }

    def _pieces(self, feed: Feed, number: int) -> Iterator[Feed]:
        """Parts of a batch that the model's first axis can take."""
        rows = {len(array) for array in feed.values() if array.ndim}
        specs = [spec for spec in self._inputs if spec.shape]
        most = min((spec.most_rows for spec in specs), default=1)
        shared = len({spec.shape[0] for spec in specs}) == 1 and len(specs) == len(feed)
        if len(rows) == 1 and shared and max(rows) > most:
            (count,) = rows
            # A model of one size can't take the rows that are left over.
            end = count if specs[0].shape[0] != most else count - count % most
            starts = range(0, end, most)
            pieces = [{n: a[i : i + most] for n, a in feed.items()} for i in starts]
        else:
            pieces = [feed]
        for piece in pieces:
            for spec in self._inputs:
                _check(piece[spec.name], spec, number)
            yield piece


def _opened(data: Any, inputs: Sequence[InputSpec]) -> Any:
    """Files as arrays, and arrays of samples as an iterable with one batch."""
    if isinstance(data, str | os.PathLike):
        data = read(Path(cast("str", data)))
    if isinstance(data, Mapping):
        return [dict(cast("Mapping[str, Any]", data))]
    if isinstance(data, np.ndarray):
        return [data]
    if callable(data) or isinstance(data, Iterable):
        return cast("Any", data)
    names = ", ".join(spec.name for spec in inputs)
    raise CalibrationError(
        f"{type(data).__name__} is no calibration data",
        hint=f"give arrays, a file, or something that yields batches for {names}",
    )


def read(path: Path) -> Any:
    """The arrays of a `.npy` or `.npz` file, or those of all such files of a folder, one by one.

    Raises:
        CalibrationError: there is no such file, or it holds something else.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (".npy", ".npz"))
        if not files:
            raise CalibrationError(
                f"the folder {path} holds no data",
                hint="it needs .npy or .npz files, or images for a model that takes images",
            )
        return lambda: (read(file) for file in files)
    try:
        found: Any = np.load(path, allow_pickle=False)
    except OSError as error:
        raise CalibrationError(f"{path} can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CalibrationError(f"{path} is no array file: {error}") from error
    return cast("Any", found if isinstance(found, np.ndarray) else dict(found))


def _array(value: Any, spec: InputSpec, number: int) -> np.ndarray:
    """One input as an array of its type; numbers that would change are refused."""
    value = value.detach().cpu() if hasattr(value, "detach") else value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CalibrationError(
            f"batch {number}: {spec.name} is no array ({error})", names=[spec.name]
        ) from error
    wanted = np.dtype(spec.dtype)
    if array.dtype == wanted:
        return array
    floats = array.dtype.kind == "f" and wanted.kind == "f"
    integers = array.dtype.kind in "iu" and wanted.kind in "iu"
    if floats or (integers and np.array_equal(array, array.astype(wanted))):
        return array.astype(wanted)
    raise CalibrationError(
        f"batch {number}: {spec.name} is {array.dtype}, the model takes {spec}",
        names=[spec.name],
        hint=f"convert it to {spec.dtype}",
    )


def _check(array: np.ndarray, spec: InputSpec, number: int) -> None:
    if array.ndim != len(spec.shape) or not all(map(_fits, array.shape, spec.shape)):
        raise CalibrationError(
            f"batch {number}: {spec.name} has shape {list(array.shape)}, the model takes {spec}",
            names=[spec.name],
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise CalibrationError(
            f"batch {number}: {spec.name} contains NaN",
            names=[spec.name],
            hint="leave such samples out",
        )


def _fits(size: int, wanted: Size) -> bool:
    return size == wanted if isinstance(wanted, int) else wanted[0] <= size <= wanted[1]
