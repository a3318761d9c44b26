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
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_trt.errors import EdgeTrtError, OptionError
from edge_trt.precision.guarded import running
from edge_trt.precision.observed import ObservedModel, digest, fallback_executors
from edge_trt.user_code import reason
from edge_trt_calibration import CalibrationError, Feeds, Histogram, Ranges
from edge_trt_calibration.collect import empty
from edge_trt_calibration.inputs import Feed
from edge_trt_calibration.methods import FROM_DATA
from edge_trt_calibration.ranges import choose
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
    *,
    method: str,
    samples: int,
) -> Ranges:
    """Calibrates on a cluster; every sample is used, up to as many as asked.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.1:8786`.
        bundle: a model in fp32.
        names: the tensors that need ranges, by network.
        feeds: batches.
        method: as `method_of` takes it.
        samples: end after so many.

    Raises:
        OptionError: Dask is not installed, nobody answers at the address, or the method needs a
            second pass.
        CalibrationError: there are no samples.
    """
    if method in FROM_DATA:
        raise OptionError(
            f"the method {method} {FROM_DATA[method]}, and workers of a cluster only count",
            option="dask",
            hint="choose another method, or leave --dask out",
        )
    seen = Samples()
    histograms: dict[str, Histogram] = {}
    with _client(address) as client, tempfile.TemporaryDirectory(prefix="edge_trt-") as folder:
        model = client.scatter(_packed(bundle, Path(folder)), broadcast=True)
        workers = max(1, len(client.scheduler_info()["workers"]))
        tasks = (
            client.submit(count, model, names, chunk, pure=False)
            for chunk in _chunks(_counted(feeds, seen, samples))
        )
        waiting = list(itertools.islice(tasks, AHEAD * workers))
        while waiting:
            found: dict[str, Histogram] = _result(waiting.pop(0))
            for name, histogram in found.items():
                histograms.setdefault(name, Histogram()).merge(histogram)
            waiting.extend(itertools.islice(tasks, 1))
    if not seen.count:
        raise empty()
    return Ranges(digest(bundle), method, seen.source, choose(histograms, method), histograms)


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
    while chunk := list(itertools.islice(feeds, BATCHES)):
        yield chunk
