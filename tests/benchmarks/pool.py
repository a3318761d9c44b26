# SPDX-License-Identifier: Apache-2.0
"""What a pool adds to a run, and how much of its lanes' throughput one call gets.

    python tests/benchmarks/pool.py [--seconds S]

No board is needed. The first table is Pool.run on one lane and on three against Session.run, on one
layer and the CPU engine, taking turns in one thread. In the second, lanes are stand-ins that work
on one run after the other and sleep meanwhile, so what a GPU and two DLA cores could do together is
known.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import edge_trt_runtime
from edge_trt_runtime import Lane, Pool
from edge_trt_runtime.pool.lanes import OpenLane
from tests.support.bundles import relu_draft

BLOCK = 500
RATES = (
    {"gpu": 4000.0, "dla:0": 1000.0, "dla:1": 1000.0},
    {"gpu": 400.0, "dla:0": 390.0, "dla:1": 20.0},
)
CALLERS = 6


class Device:
    """A lane's session that does one run after the other, each in the same time."""

    places: tuple[()] = ()
    broken = ""

    def __init__(self, rate: float) -> None:
        self._seconds, self._busy = 1 / rate, threading.Lock()
        self._end = 0.0

    def run(self, inputs: Any, **_: object) -> Any:
        with self._busy:  # by the clock: a sleep that was too long makes the next one shorter
            self._end = max(self._end, time.perf_counter()) + self._seconds
            end = self._end
        time.sleep(max(0.0, end - time.perf_counter()))
        return inputs

    def close(self) -> None:
        pass


def overhead(seconds: float) -> None:
    """Prints what a call takes, and what of it is the pool's."""
    x = {"x": np.ones((1, 16), np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        path = relu_draft([1, 16]).write(Path(folder, "m.edge"))
        with (
            edge_trt_runtime.load(path, threads=1) as session,
            edge_trt_runtime.load_pool(path, threads=1) as one,
            edge_trt_runtime.load_pool(path, threads=1, lanes=[Lane()] * 3) as three,
        ):
            calls: dict[str, Callable[[Any], Any]] = {
                "Session.run": session.run, "Pool.run, one lane": one.run,
                "Pool.run, three lanes": three.run,
            }  # fmt: skip
            medians: dict[str, list[float]] = {name: [] for name in calls}
            stop = time.perf_counter() + seconds
            while time.perf_counter() < stop:
                for name, call in calls.items():
                    medians[name].append(_block(call, x))
    base = medians["Session.run"]
    for name, found in medians.items():
        more = np.median(np.subtract(found, base))
        print(f"{name:24} {min(found):7.2f} us at best, {np.median(found):7.2f} at the median, "
              f"{more:+6.2f} us in the median of turns")  # fmt: skip


def _block(call: Callable[[Any], Any], x: Any) -> float:
    times: list[float] = []
    for _ in range(BLOCK):
        start = time.perf_counter()
        call(x)
        times.append(time.perf_counter() - start)
    return 1e6 * float(np.median(times))


def throughput(rates: dict[str, float], seconds: float) -> None:
    """Prints how much of the sum of all lanes each way of calling gets."""
    best = sum(rates.values())
    bundle: Any = SimpleNamespace(root="", manifest=SimpleNamespace(signature=None))
    for name, work in (("map", _by_map), (f"run by {CALLERS} threads", _by_threads)):
        lanes = [OpenLane(n, 1, Device(r), r, 2) for n, r in rates.items()]  # type: ignore[arg-type]
        with Pool(bundle, lanes, lambda *_: (bundle, [])) as pool:
            start = time.perf_counter()
            runs = work(pool, start + seconds)
            rate = runs / (time.perf_counter() - start)
            shares = ", ".join(f"{lane.name} {lane.runs}" for lane in pool.lanes)
        print(f"{name:24} {rate:7.1f} of {best:.0f} runs per second ({rate / best:.1%}): {shares}")


def _by_map(pool: Pool, end: float) -> int:
    def inputs() -> Iterator[Any]:
        while time.perf_counter() < end:
            yield {}

    return sum(1 for _ in pool.map(inputs()))


def _by_threads(pool: Pool, end: float) -> int:
    counts = [0] * CALLERS

    def call(number: int) -> None:
        while time.perf_counter() < end:
            pool.run({})
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def main() -> None:
    """Prints what a call takes, and throughputs of stand-ins."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    overhead(arguments.seconds)
    for rates in RATES:
        throughput(rates, arguments.seconds)


if __name__ == "__main__":
    main()
