# SPDX-License-Identifier: Apache-2.0
"""One pass over the data: every tensor's histogram, until the ranges stand still.

    ranges = collect(observe, Feeds(data, inputs), model=digest, method="mse")

`observe` runs the model on one batch and yields groups of tensors by name, so that no more than
two groups of the model's activations are in memory: one is counted while the next is computed. It
may use the arrays of a group again once the group after the next is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edge_trt_calibration.errors import CalibrationError
from edge_trt_calibration.feeds import read_once
from edge_trt_calibration.histogram import Histogram
from edge_trt_calibration.inputs import Feed
from edge_trt_calibration.methods import BINS, entropy2, method_of
from edge_trt_calibration.ranges import Ranges, Source, TensorRange, choose, listed, measured
from edge_trt_calibration.samples import Samples

SAMPLES = 512
"""Samples that are enough for images and for most else."""

FIRST_CHECK = 64
"""Samples after which the ranges are looked at for the first time, then at every doubling."""

TOLERANCE = 0.01
"""Relative change over a doubling of the samples below which a range stands still."""

SETTLED = 0.98
"""Fraction of the tensors that have to stand still before a pass ends early."""

FALLBACK = "mse"
"""The method of a pass that failed before a second one, which its own method needs."""

Observe = Callable[[Feed], Iterable[Mapping[str, np.ndarray]]]


@dataclass(frozen=True, slots=True)
class Convergence:
    """How far the ranges have settled."""

    samples: int
    settled: float
    """Fraction of the ranges that moved by less than `TOLERANCE` since half as many samples."""
    largest: float
    """The largest relative change."""

    def __str__(self) -> str:
        return (
            f"{self.samples} samples: {self.settled:.0%} of the ranges moved less than "
            f"{TOLERANCE:.0%}"
        )


def read_out(samples: int, last: Convergence | None) -> str:
    """How far a pass has come, in words: what it has read, and the last look at the ranges."""
    if last is not None and last.samples == samples:
        return str(last)
    return f"{samples} samples" if last is None else f"{samples} samples; at {last}"


Progress = Callable[[int, "Convergence | None"], None]
"""Called after each batch with the samples so far, and the last look at the ranges."""


class Enough(KeyboardInterrupt):  # no error where a pass ends by it
    """Raised by who watches the progress: the pass ends, with the ranges of the samples so far."""


Keep = Callable[[Ranges, BaseException], None]
"""Called with the ranges of the batches before the one that failed, and what it failed with."""


def collect(
    observe: Observe,
    feeds: Iterable[Feed],
    *,
    model: str,
    method: str = "mse",
    samples: int | None = SAMPLES,
    early: bool = True,
    progress: Progress | None = None,
    remark: Callable[[str], None] | None = None,
    pixels: Collection[str] = (),
    states: Collection[str] = (),
    keep: Keep | None = None,
) -> Ranges:
    """Calibrates.

    Args:
        observe: runs a batch and yields every tensor that needs a range.
        feeds: batches; `entropy2` reads them twice.
        model: digest of what is run, kept with the ranges.
        method: as `method_of` takes it, or `entropy2`.
        samples: end after so many, None for all there are.
        early: end before when the ranges stand still.
        progress: told after each batch; ends the pass by raising `Enough`.
        remark: told what makes the ranges doubtful, a sentence each.
        pixels: names of inputs that are images with values from 0 to 255.
        states: names of inputs that are states.
        keep: given what was counted before anything is raised, if that is a batch at least.

    Raises:
        CalibrationError: there are no samples, or a tensor has no number in it.
    """
    first = _First(model, method, Samples(pixels=pixels, states=states))
    seen, histograms = first.seen, first.histograms
    with first.kept(keep):
        found = first.run(observe, feeds, samples, early=early, progress=progress)
    check(seen, histograms)
    if method == "entropy2":
        with first.kept(keep):
            chosen = _second_pass(observe, feeds, histograms, seen.source)
    else:
        chosen = choose(histograms, method)
    if remark is not None:
        for sentence in (*found, *seen.remarks(), *remarks(histograms)):
            remark(sentence)
    return Ranges(model, method, seen.source, chosen, histograms)


class _First:
    """The pass that counts, and what it has if it fails."""

    def __init__(self, model: str, method: str, seen: Samples) -> None:
        self._model = model
        # What a second pass would choose by is not there; one histogram is enough for this.
        self._method = FALLBACK if method == "entropy2" else method
        self._watch = _Watch(method_of("max" if method == "entropy2" else method))
        self._whole = Source()
        self.seen = seen
        self.histograms: dict[str, Histogram] = {}

    def run(
        self,
        observe: Observe,
        feeds: Iterable[Feed],
        samples: int | None,
        *,
        early: bool,
        progress: Progress | None,
    ) -> list[str]:
        """Counts; returns what is to be said of it."""
        seen, watch = self.seen, self._watch
        with _Beside(self._count) as beside:
            for feed in feeds:
                seen.add(feed)
                for group in observe(feed):
                    beside.hand(group)
                self._whole = seen.source
                if watch.is_due(seen.count, samples):
                    beside.wait()
                    watch.look(seen.count, self.histograms)
                if progress is not None and not _goes_on(progress, seen.count, watch.last):
                    return [f"interrupted: these are the ranges of the first {seen.count} samples"]
                if samples is not None and seen.count >= samples:
                    break
                if early and watch.last is not None and watch.last.settled >= SETTLED:
                    break
        return []

    def _count(self, name: str, array: np.ndarray) -> None:
        self.histograms.setdefault(name, Histogram()).add(array)

    @contextmanager
    def kept(self, keep: Keep | None) -> Generator[None]:
        """Hands on what is there when the block fails; a batch that failed halfway is in part."""
        try:
            yield
        except BaseException as stop:
            if keep is not None and self._whole.samples:
                chosen = choose(self.histograms, self._method)
                ranges = Ranges(self._model, self._method, self._whole, chosen, self.histograms)
                keep(ranges, stop)
            raise


def _goes_on(progress: Progress, count: int, last: Convergence | None) -> bool:
    """Tells of a batch; false if whoever watches has seen enough."""
    try:
        progress(count, last)
    except Enough:
        return False
    return True


class _Beside:
    """Counts a group in a thread of its own, while the next one is computed."""

    def __init__(self, count: Callable[[str, np.ndarray], None]) -> None:
        self._count = count
        self._worker = ThreadPoolExecutor(1)
        self._busy: Future[None] | None = None

    def hand(self, group: Mapping[str, np.ndarray]) -> None:
        """Waits for the group before, and has this one counted."""
        self.wait()
        self._busy = self._worker.submit(self._all, dict(group))

    def wait(self) -> None:
        """Waits until everything is counted.

        Raises:
            Exception: what counting failed with.
        """
        if self._busy is not None:
            self._busy.result()
            self._busy = None

    def _all(self, group: Mapping[str, np.ndarray]) -> None:
        for name, array in group.items():
            self._count(name, array)

    def __enter__(self) -> _Beside:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._worker.shutdown()  # waits: what was handed over is counted


class _Watch:
    """Compares the ranges at every doubling of the samples."""

    def __init__(self, find: Callable[[Histogram], float]) -> None:
        self._find = find
        self._next = FIRST_CHECK
        self._before: dict[str, float] = {}
        self.last: Convergence | None = None

    def is_due(self, count: int, last: int | None) -> bool:
        """Whether it is time to look, and there is more to come."""
        return count >= self._next and (last is None or count < last)

    def look(self, count: int, histograms: Mapping[str, Histogram]) -> None:
        """Looks."""
        now = {name: self._find(histogram) for name, histogram in histograms.items()}
        if self._before:
            moved = [_change(self._before.get(name, 0.0), value) for name, value in now.items()]
            settled = sum(change < TOLERANCE for change in moved) / max(len(moved), 1)
            self.last = Convergence(count, settled, max(moved, default=0.0))
        self._before = now
        self._next = 2 * count


def _change(before: float, now: float) -> float:
    if before == now:
        return 0.0
    return abs(now - before) / before if before else math.inf


def _second_pass(
    observe: Observe, feeds: Iterable[Feed], histograms: Mapping[str, Histogram], first: Source
) -> dict[str, TensorRange]:
    """Linear bins over each tensor's whole range, of the same samples again."""
    bins = {name: np.zeros(BINS, np.int64) for name in histograms}
    seen = Samples()

    def add(name: str, array: np.ndarray) -> None:
        _count(bins[name], array, histograms[name].amax)

    with _Beside(add) as beside:
        for feed in feeds:
            seen.add(feed)
            for group in observe(feed):
                beside.hand(group)
            if seen.count >= first.samples:
                break
    _check_again(seen.source, first)
    found: dict[str, TensorRange] = {}
    for name, histogram in histograms.items():
        amax = entropy2(bins[name], histogram.amax)
        found[name] = measured(histogram, amax, "entropy2")
    return found


def _check_again(second: Source, first: Source) -> None:
    """Refuses a second pass over other samples: the bins would be of other data than the ranges."""
    if second.samples != first.samples:
        raise read_once()
    if second != first:
        raise CalibrationError(
            "the second pass over the data gave other samples than the first",
            hint="give the same ones in each pass: no shuffling, no random changes, and no "
            "generator that goes on where it was",
        )


def _count(bins: np.ndarray, values: np.ndarray, amax: float) -> None:
    if amax == 0:
        return
    magnitudes = np.abs(np.asarray(values, np.float32)).reshape(-1)
    magnitudes = magnitudes[np.isfinite(magnitudes)]
    # In float64 where the factor, or with it a rounded product, is beyond float32.
    factor = BINS / amax
    kind = np.float32 if factor < float(np.finfo(np.float32).max) else np.float64
    index = np.minimum(magnitudes * kind(factor), BINS - 1).astype(np.intp)
    bins += np.bincount(index, minlength=BINS)


def empty() -> CalibrationError:
    """What is said of data without samples."""
    return CalibrationError("the calibration data is empty", hint="it needs some samples")


def check(seen: Samples, histograms: Mapping[str, Histogram]) -> None:
    """Refuses what sets no ranges.

    Raises:
        CalibrationError: there are no samples, or a tensor has no number in it.
    """
    if not seen.count:
        raise empty()
    if lost := [n for n, h in histograms.items() if not h.total and h.nan + h.infinite]:
        raise CalibrationError(
            f"nothing but NaN and infinity in {listed(lost)}",
            names=lost,
            hint="the model or its inputs are broken; run it on one sample",
        )


def remarks(histograms: Mapping[str, Histogram]) -> list[str]:
    """A sentence for everything in the tensors that makes the ranges doubtful."""
    found: list[str] = []
    if odd := [name for name, h in histograms.items() if h.nan or h.infinite]:
        found.append(f"NaN or infinity in {listed(odd)}: left out of the ranges")
    if zero := [name for name, h in histograms.items() if not h.amax]:
        found.append(f"{listed(zero)}: zero in all samples, so any range would do")
    return found
