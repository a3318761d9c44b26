# SPDX-License-Identifier: Apache-2.0
"""The user's own measure of a model: a function that is given a model to run and returns a number.

    def accuracy(run):
        images, labels = held_out()
        return float((run(images).argmax(1) == labels).mean())

`run` takes what calibration data may consist of (an array, a tuple, a dictionary; as many samples
as there are) and returns the output's array, or arrays by name where there are several outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_trt.engines.onnx.observer import Group
from edge_trt.errors import EdgeTrtError
from edge_trt.user_code import located
from edge_trt_calibration import Feeds, InputSpec

RunFeed = Callable[[Group], Group]
"""A model: arrays by name in and out."""

Metric = Callable[[Callable[[Any], Any]], float]


def name_of(metric: Metric) -> str:
    """What a metric is called."""
    return getattr(metric, "__name__", type(metric).__name__)


def evaluate(metric: Metric, run: RunFeed, inputs: Sequence[InputSpec]) -> float:
    """What the metric says of a model.

    Args:
        metric: the user's function.
        run: runs one batch.
        inputs: what the model takes; larger batches are cut.

    Raises:
        CaptureError: the function failed; the text says where.
        EdgeTrtError: it returned no number.
    """

    def run_all(data: Any) -> Any:
        # A list would be many batches; here it is one. All of its rows are rated.
        feeds = Feeds(lambda: iter([data]), inputs, fill=True)
        pieces: list[Group] = []
        for feed in feeds:
            found = run(feed)
            pieces.append(_without(found, feed, feeds.added) if feeds.added else found)
        outputs = {n: np.concatenate([p[n] for p in pieces]) for n in pieces[0]}
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    name = name_of(metric)
    try:
        value = metric(run_all)
    except EdgeTrtError:
        raise
    except Exception as error:
        raise located(error, f"the metric {name} failed") from error
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise EdgeTrtError(
            f"the metric {name} returned {value!r}", hint="it has to return a finite number"
        )
    return number


def _without(outputs: Group, feed: Group, added: int) -> Group:
    """The outputs of a batch without those of the samples that only filled it up."""
    rows = len(next(iter(feed.values())))

    def cut(array: np.ndarray) -> np.ndarray:
        # A sample may have several rows of an output; one without rows of samples stays whole.
        each, rest = divmod(len(array), rows) if array.ndim else (0, 1)
        return array if rest else array[: each * (rows - added)]

    return {name: cut(array) for name, array in outputs.items()}
