# SPDX-License-Identifier: Apache-2.0
"""Runs a bundle as a robot does: in a process of its own, in which torch can't be imported.

`answer` is for the programs of the examples, which need torch to compare with. What it starts is
this file, and `main` is all that an application has to do.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

if __name__ == "__main__":
    sys.modules["torch"] = None  # type: ignore[assignment]  # from here on `import torch` fails

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Arrays = dict[str, np.ndarray]
COLUMN = "bundle, without torch"
"""Over what `answer` returns, in the last tables."""
WARM_UP = 5


class Answers(NamedTuple):
    """The outputs of each sample, and the seconds that each took."""

    outputs: list[Arrays]
    seconds: np.ndarray

    @property
    def latency(self) -> dict[str, float]:
        """Median and 99th percentile, as rows of a table."""
        return latency(self.seconds)


def answer(bundle: Path, samples: Iterable[Mapping[str, np.ndarray]]) -> Answers:
    """What a bundle answers to samples, one call each, where there is no torch."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        write(source, samples)
        subprocess.run(
            [sys.executable, __file__, str(bundle), str(source), str(target)], check=True
        )
        *outputs, timing = read(target)
    return Answers(outputs, timing["seconds"])


def latency(seconds: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Median and 99th percentile of the times of calls, as rows of a table."""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return {"CPU latency p50 [ms]": float(p50), "CPU latency p99 [ms]": float(p99)}


def main(bundle: str, source: str, target: str) -> None:
    """Runs every sample of an .npz file, and writes the outputs and the seconds of each call."""
    import edge_trt_runtime

    samples = read(Path(source))
    outputs: list[Arrays] = []
    seconds: list[float] = []
    with edge_trt_runtime.load(bundle) as session:
        for _ in range(WARM_UP):
            session.run(samples[0])
        for sample in samples:
            start = time.perf_counter()
            outputs.append(session.run(sample))
            seconds.append(time.perf_counter() - start)
    write(Path(target), [*outputs, {"seconds": np.array(seconds)}])


def write(path: Path, samples: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Samples as one .npz file: `3/image` is the array `image` of the fourth."""
    named = {f"{i}/{name}": a for i, sample in enumerate(samples) for name, a in sample.items()}
    np.savez(path, **named)  # type: ignore[arg-type]


def read(path: Path) -> list[Arrays]:
    """The samples that `write` wrote."""
    samples: list[Arrays] = []
    with np.load(path) as arrays:
        for key in arrays.files:
            index, _, name = key.partition("/")
            if int(index) == len(samples):
                samples.append({})
            samples[int(index)][name] = arrays[key]
    return samples


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: torch_free.py BUNDLE INPUTS.npz OUTPUTS.npz (`write` makes the inputs)")
    main(*sys.argv[1:])
