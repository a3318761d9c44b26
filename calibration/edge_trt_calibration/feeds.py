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

import itertools
import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np

from edge_trt_calibration.cutting import Cutter, rows_of
from edge_trt_calibration.errors import CalibrationError
from edge_trt_calibration.inputs import Feed, InputSpec, as_array, check, check_together

_END = object()


class Feeds:
    """Batches that fit the inputs; larger ones come in pieces, and what is left over goes on.

    Args:
        data: see the module.
        inputs: what the model takes, in order.
        limit: end after so many samples.
        fill: repeat the last sample, so that the model takes what is left over in the end.

    Attributes:
        number: the batch that the last piece came from.
        dropped: samples of the pass that were left over in the end.
        added: samples that `fill` repeated.

    Raises:
        CalibrationError: the data has none of the forms, a file can't be read.
    """

    def __init__(
        self,
        data: Any,
        inputs: Sequence[InputSpec],
        *,
        limit: int | None = None,
        fill: bool = False,
    ) -> None:
        self._inputs = tuple(inputs)
        self._data = _opened(data, self._inputs)
        self._passes = 0
        self._limit = limit
        self._fill = fill
        self.number = self.dropped = self.added = 0

    def __iter__(self) -> Iterator[Feed]:
        """One pass over the data.

        Raises:
            CalibrationError: a batch does not fit; or a second pass over what gives one only.
        """
        data = self._data() if callable(self._data) else self._data
        if self._passes and isinstance(data, Iterator) and not callable(self._data):
            raise read_once()
        self._passes += 1
        self.dropped = self.added = 0
        data = _opened(data, self._inputs)
        if not isinstance(data, Iterable):
            raise CalibrationError(f"{type(data).__name__} gives no batches")
        cutter, given, names = Cutter(self._inputs), 0, None
        for feed in self._limited(cast("Iterable[Any]", data)):
            if feed.keys() != names:  # states may be left out, and have rows of their own
                if cutter.left is not None:
                    raise _mixed(self.number, names or (), feed)
                names = feed.keys()
                cutter = Cutter([spec for spec in self._inputs if spec.name in names])
            for piece in cutter.pieces(feed):
                yield self._checked(piece)
                given += 1
        if cutter.left is None:
            self.dropped = cutter.dropped
        elif self._fill:
            piece, self.added = cutter.filled()
            yield self._checked(piece)
        else:
            self._drop(cutter, alone=not given)

    def _limited(self, data: Iterable[Any]) -> Iterator[Feed]:
        """Batches by name, the last one cut so that there are no more samples than asked for."""
        left = self._limit
        batches = iter(data)
        for self.number in itertools.count():
            if left is not None and left <= 0:
                return
            batch: Any = next(batches, _END)
            if batch is _END:
                return
            feed = self._named(batch, self.number)
            if left is not None:
                rows = rows_of(feed)
                if rows is not None:
                    feed = {name: array[:left] for name, array in feed.items()}
                left -= rows or 1
            yield feed

    def _checked(self, piece: Feed) -> Feed:
        initial = {spec.name: spec.initial for spec in self._inputs if spec.initial is not None}
        given = initial | piece
        piece = {spec.name: given[spec.name] for spec in self._inputs}
        for spec in self._inputs:
            check(piece[spec.name], spec, self.number)
        check_together(piece, self._inputs, self.number)
        return piece

    def _drop(self, cutter: Cutter, *, alone: bool) -> None:
        """Counts what is left over in the end; it is refused if it is all that there was."""
        feed = cutter.left or {}
        rows = rows_of(feed) or 0
        for spec in self._inputs:
            if spec.name not in feed:
                continue
            check(feed[spec.name], replace(spec, shape=(rows, *spec.shape[1:])), self.number)
        if alone:
            what = ", ".join(f"{spec.name} {spec}" for spec in self._inputs)
            raise CalibrationError(
                f"{rows} samples are fewer than the model takes at once: {what}",
                hint="use more samples, or compile the model for smaller batches",
            )
        self.dropped = cutter.dropped + rows

    def _named(self, batch: Any, number: int) -> Feed:
        """A batch as arrays by name; states that it leaves out are not there."""
        names = [spec.name for spec in self._inputs]
        needed = [spec.name for spec in self._inputs if spec.initial is None]
        if isinstance(batch, Mapping):
            given = cast("Mapping[str, Any]", batch)
            if missing := [name for name in needed if name not in given]:
                raise CalibrationError(
                    f"batch {number} lacks {', '.join(missing)}",
                    names=missing,
                    hint=f"it has {', '.join(map(str, given)) or 'nothing'}",
                )
            found = {name: given[name] for name in names if name in given}
        else:
            found = _in_order(batch, names, needed, number)
        return {
            spec.name: as_array(found[spec.name], spec, number)
            for spec in self._inputs
            if spec.name in found
        }


def _in_order(
    batch: Any, names: Sequence[str], needed: Sequence[str], number: int
) -> dict[str, Any]:
    """The elements of a batch by name: of all inputs, or of those that are no states."""
    values = [batch]
    if isinstance(batch, tuple | list):
        values = list(cast("Sequence[Any]", batch))
        for wanted in (names, needed):
            if len(values) in (len(wanted), len(wanted) + 1):
                return dict(zip(wanted, values, strict=False))
        raise CalibrationError(
            f"batch {number} has {len(values)} elements, the model takes {len(names)} "
            f"({', '.join(names)})",
            hint="give the inputs in order, or a dictionary by name",
        )
    if len(needed) > 1 or not names:
        raise CalibrationError(
            f"batch {number} is one array, the model takes {', '.join(names)}",
            hint="give a tuple in this order, or a dictionary by name",
        )
    return dict(zip(needed or names, values, strict=False))


def _mixed(number: int, before: Collection[str], feed: Feed) -> CalibrationError:
    odd = [name for name in (*before, *feed) if name not in before or name not in feed]
    return CalibrationError(
        f"batch {number} and the one before, whose samples go on into it, differ in having "
        f"{', '.join(odd)}",
        names=odd,
        hint="give states in all batches or in none",
    )


def read_once() -> CalibrationError:
    """What is said of data that is spent after one pass."""
    return CalibrationError(
        "the data is a generator, which can be read once, and this needs a second pass",
        hint="give the function that makes it, without calling it",
    )


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
        with path.open("rb") as file:
            found: Any = np.load(file, allow_pickle=False)
            return cast("Any", found if isinstance(found, np.ndarray) else dict(found))
    except OSError as error:
        raise CalibrationError(f"{path} can't be read: {error.strerror or error}") from error
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise CalibrationError(
            f"{path} is no array file, or one that is damaged or holds Python objects",
            hint="give a .npy or .npz file of numbers, a folder of them or of images, or "
            "FILE.py:NAME",
        ) from error
