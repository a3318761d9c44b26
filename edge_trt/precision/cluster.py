# SPDX-License-Identifier: Apache-2.0
"""Calibration on a Dask cluster: batches go out, histograms come back and are added.

The workers need edge_trt, but neither torch nor the data: the model goes to them as a bundle, and
the batches from where the data is. What one worker counts and what ten count is the same.
"""

from __future__ import annotations

import atexit
import importlib
import itertools
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_trt.errors import EdgeTrtError, OptionError
from edge_trt.precision.guarded import running
from edge_trt.precision.observed import ObservedModel, digest, fallback_executors
from edge_trt.user_code import reason
from edge_trt_calibration import CalibrationError, Feeds, Histogram, Ranges
from edge_trt_calibration.collect import Keep, check, remarks
from edge_trt_calibration.inputs import Feed
from edge_trt_calibration.methods import FROM_DATA
from edge_trt_calibration.ranges import Source, choose
from edge_trt_calibration.samples import Samples

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle

BATCHES = 8
"""Batches of one task."""

AHEAD = 2
"""Tasks for each worker that are on their way, so that none waits and memory stays bounded."""

Files = dict[str, bytes]

Numbered = tuple[int, Feed]
"""A batch, and the number of that of the user's that it came from."""


def collect_on(
    address: str,
    bundle: Bundle,
    names: Mapping[str, list[str]],
    feeds: Feeds,
    seen: Samples,
    *,
    method: str,
    samples: int,
    progress: Callable[[int], None],
    remark: Callable[[str], None],
    keep: Keep,
) -> Ranges:
    """Calibrates on a cluster; every sample is used, up to as many as asked.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.1:8786`.
        bundle: a model in fp32.
        names: the tensors that need ranges, by network.
        feeds: batches.
        seen: looks at the samples.
        method: as `method_of` takes it.
        samples: end after so many.
        progress: told how many samples are counted; what it raises ends the pass.
        remark: told what makes the ranges doubtful.
        keep: given what was counted before anything is raised, if that is a task at least.

    Raises:
        OptionError: Dask is not installed, nobody answers at the address, or the method needs a
            second pass.
        CalibrationError: there are no samples, or a tensor has no number in it.
    """
    if method in FROM_DATA:
        raise OptionError(
            f"the method {method} {FROM_DATA[method]}, and workers of a cluster only count",
            option="dask",
            hint="choose another method, or leave --dask out",
        )
    work = _Work(names, seen, progress)
    with _client(address) as client, tempfile.TemporaryDirectory(prefix="edge_trt-") as folder:
        model = client.scatter(_packed(bundle, Path(folder)), broadcast=True)
        try:
            work.run(client, model, _chunks(_counted(feeds, seen, samples)))
        except BaseException as stop:
            work.drain(stop)
            if work.source.samples:
                keep(_ranges(bundle, method, work), stop)
            raise
    check(seen, work.histograms)
    for sentence in (*seen.remarks(), *remarks(work.histograms)):
        remark(sentence)
    return _ranges(bundle, method, work)


def _ranges(bundle: Bundle, method: str, work: _Work) -> Ranges:
    chosen = choose(work.histograms, method)
    return Ranges(digest(bundle), method, work.source, chosen, work.histograms)


class _Work:
    """Tasks that are on their way, first come first counted, and what the ones before found."""

    def __init__(
        self, names: Mapping[str, list[str]], seen: Samples, progress: Callable[[int], None]
    ) -> None:
        self._names = names
        self._seen = seen
        self._progress = progress
        self._waiting: deque[tuple[Any, Source]] = deque()
        self.histograms: dict[str, Histogram] = {}
        self.source = Source()

    def run(self, client: Any, model: Any, chunks: Iterator[list[Numbered]]) -> None:
        """Hands out all batches, and adds up what comes back."""
        workers = max(1, len(client.scheduler_info()["workers"]))

        def submit(most: int) -> None:
            for chunk in itertools.islice(chunks, most):
                task = client.submit(count, model, self._names, chunk, pure=False)
                # All samples up to here, for tasks are counted in their order.
                self._waiting.append((task, self._seen.source))

        submit(AHEAD * workers)
        while self._waiting:
            self._add(*self._waiting.popleft())
            self._progress(self.source.samples)
            submit(1)

    def drain(self, stop: BaseException) -> None:
        """Adds what is on its way where data failed; what is there where the pass was ended."""
        ended = not isinstance(stop, Exception)
        with suppress(EdgeTrtError):
            while self._waiting and (not ended or self._waiting[0][0].done()):
                self._add(*self._waiting.popleft())
        for task, _ in self._waiting:
            task.cancel()

    def _add(self, task: Any, source: Source) -> None:
        for name, histogram in _result(task).items():
            self.histograms.setdefault(name, Histogram()).merge(histogram)
        self.source = source


def _result(task: Any) -> dict[str, Histogram]:
    """What a worker counted.

    Raises:
        CalibrationError: it failed, or went away.
    """
    try:
        return task.result()
    except EdgeTrtError:
        raise
    except Exception as error:
        raise CalibrationError(
            f"a worker of the cluster failed: {reason(error)}",
            hint="each needs this version of edge_trt with ONNX Runtime, and memory for the model",
        ) from error


def count(
    model: Files, names: Mapping[str, list[str]], feeds: list[Numbered]
) -> dict[str, Histogram]:
    """What a worker does: runs batches and counts."""
    observed = _opened(_Packed(model, names))
    found: dict[str, Histogram] = {}
    for number, feed in feeds:
        for group in running(observed.observe, lambda number=number: number)(feed):
            for name, array in group.items():
                found.setdefault(name, Histogram()).add(array)
    return found


class _Packed:
    """A bundle's files, equal to others by the digest in its manifest."""

    def __init__(self, files: Files, names: Mapping[str, list[str]]) -> None:
        self.files = files
        self.names = names
        self._key = (files["manifest.json"], repr(names))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Packed) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=1)
def _opened(packed: _Packed) -> ObservedModel:
    """The model, which a worker opens once."""
    from edge_trt.bundle.reader import read_bundle

    # The weights are mapped from these files, so the folder lives as long as the process.
    folder = Path(tempfile.mkdtemp(prefix="edge_trt-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for path, content in packed.files.items():
        place = folder / "model.edge" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    bundle = read_bundle(folder / "model.edge")
    place = folder / "fallbacks"
    place.mkdir()
    return ObservedModel(bundle, packed.names, fallback_executors(bundle, place))


def _packed(bundle: Bundle, folder: Path) -> Files:
    from edge_trt.bundle.save import save_bundle

    path = folder / "model.edge"
    save_bundle(bundle, path, durable=False)
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def _client(address: str) -> Any:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise OptionError(
            "Dask is not installed", option="dask", hint="pip install 'edge-trt[dask]'"
        ) from error
    try:
        return distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OptionError(
            f"no Dask scheduler answers at {address!r}",
            option="dask",
            hint="start one with `dask scheduler`, and say tcp://HOST:8786",
        ) from error


def _counted(feeds: Feeds, seen: Samples, most: int) -> Iterator[Numbered]:
    for feed in feeds:
        seen.add(feed)
        yield feeds.number, feed
        if seen.count >= most:
            return


def _chunks(feeds: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    """The batches of each task; where data fails, those before it are a task as well."""
    chunk: list[Numbered] = []
    failed: Exception | None = None
    try:
        for feed in feeds:
            chunk.append(feed)
            if len(chunk) == BATCHES:
                yield chunk
                chunk = []
    except Exception as error:
        failed = error
    if chunk:
        yield chunk
    if failed is not None:
        raise failed
