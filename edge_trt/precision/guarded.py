# SPDX-License-Identifier: Apache-2.0
"""Blames what fails in the user's data, or on it, on the batch and the line that it comes from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np

from edge_trt.engines.onnx.observer import Group
from edge_trt.errors import EdgeTrtError
from edge_trt.user_code import reason, user_line
from edge_trt_calibration import CalibrationError


def guarded(data: Any) -> Any:
    """The data, whose own failures become errors that name batch and line."""
    if isinstance(data, str | os.PathLike | Mapping | np.ndarray | list | tuple):
        return cast("Any", data)
    if callable(data):
        return lambda: guarded(_called(data))
    if isinstance(data, Iterator):
        return _batches(cast("Iterator[Any]", data))
    return _Loader(cast("Iterable[Any]", data)) if isinstance(data, Iterable) else data


def running(
    observe: Callable[[Group], Iterator[Group]], number: Callable[[], int]
) -> Callable[[Group], Iterator[Group]]:
    """The function that runs the model on a batch, which names the batch where it fails.

    Args:
        observe: runs the model.
        number: tells which batch of the user's this is.
    """

    def named(feed: Group) -> Iterator[Group]:
        try:
            yield from observe(feed)
        except EdgeTrtError:
            raise
        except Exception as error:
            raise CalibrationError(
                f"the model can't run batch {number()}: {reason(error)}",
                hint="look at its values: indices beyond a table, sizes that don't go together",
            ) from error

    return named


class _Loader:
    """What can be read in several passes."""

    def __init__(self, data: Iterable[Any]) -> None:
        self._data = data

    def __iter__(self) -> Iterator[Any]:
        return _batches(self._data)


def _batches(data: Iterable[Any]) -> Iterator[Any]:
    number = 0
    try:
        for batch in data:
            yield batch
            number += 1
    except EdgeTrtError:
        raise
    except Exception as error:
        line, _ = user_line(error)
        raise CalibrationError(
            f"batch {number} of the calibration data could not be made: {reason(error)}{line}"
        ) from error


def _called(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except EdgeTrtError:
        raise
    except Exception as error:
        line, _ = user_line(error)
        code = getattr(function, "__code__", None)
        if not line and code is not None:  # the call itself failed: no line of it has run
            line = f" at {code.co_filename}:{code.co_firstlineno}"
        name = getattr(function, "__name__", type(function).__name__)
        raise CalibrationError(
            f"the function {name}, which gives the calibration data, failed: {reason(error)}{line}",
            hint="it is called without arguments, once for each pass",
        ) from error
