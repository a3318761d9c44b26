# SPDX-License-Identifier: Apache-2.0
"""What Session.run does on the host around CUDA's calls, with a driver whose calls do nothing.

    python tests/benchmarks/host_overhead.py [--runs N]

No GPU is needed. What is left of a run is Python and numpy: checking, walking the list of calls,
and copying inputs and outputs of 32 KB. `tests/benchmarks/gpu.py` tells what it is on a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import edge_trt_runtime
from edge_trt_runtime.cuda.device import Device
from edge_trt_runtime.hybrid.place import Place, Placement
from tests.support.bundles import Draft, node, spec

SHAPE = [8, 1024]
BLOCK = 500


def _nothing(*_: object) -> None:
    """Stands for a call of the driver."""


def _giving(value: object) -> Callable[..., Any]:
    """Return what gives the same whenever it is called."""

    def give(*_: object, **__: object) -> Any:
        return value

    return give


def _pagelocked(size: int, dtype: Any, mem_flags: int) -> np.ndarray:
    del mem_flags
    return np.empty(size, dtype).view(_Pinned)[:]


class _Pinned(np.ndarray):
    """An array with the methods of PyCUDA's page-locked allocations."""

    get_device_pointer = staticmethod(_giving(1 << 20))
    free = _nothing


class _Allocation(int):
    """An address with the method of PyCUDA's device allocations."""

    free = _nothing


class _Stream:
    handle = 1
    synchronize = staticmethod(_nothing)
    wait_for_event = staticmethod(_nothing)


class _Event:
    record = staticmethod(_nothing)
    synchronize = staticmethod(_nothing)
    query = staticmethod(_giving(True))


def driver() -> Any:
    """What our CUDA module uses of PyCUDA."""
    context = SimpleNamespace(push=_nothing)
    device = SimpleNamespace(
        name=_giving("nothing"),
        compute_capability=_giving((8, 7)),
        get_attribute=_giving(0),
        retain_primary_context=_giving(context),
    )
    return SimpleNamespace(
        Device=_giving(device),
        Context=SimpleNamespace(pop=_nothing),
        Error=type("Error", (Exception,), {}),
        MemoryError=type("MemoryError", (Exception,), {}),
        device_attribute=SimpleNamespace(INTEGRATED=0),
        event_flags=SimpleNamespace(DISABLE_TIMING=2, DEFAULT=0),
        host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
        Stream=_giving(_Stream()),
        Event=_giving(_Event()),
        mem_alloc=_giving(_Allocation(1 << 20)),
        mem_get_info=_giving((1 << 30, 1 << 30)),
        pagelocked_empty=_pagelocked,
        memcpy_htod_async=_nothing,
        memcpy_dtoh_async=_nothing,
    )


class _Segment:
    """A segment of a GPU that does nothing, and its call and its graph at once."""

    capturable, scratch = True, 0
    shapes = (tuple(SHAPE),)
    enqueue = launch = free = close = staticmethod(_nothing)

    def bind(self, *_: object) -> _Segment:
        return self

    def capture(self, *_: object) -> _Segment:
        return self


class _HostSegment:
    """A segment of the host that hands on what it gets."""

    @staticmethod
    def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
        return inputs


def session(folder: Path, lanes: list[str]) -> edge_trt_runtime.Session:
    """Segments one after the other, each on its lane."""
    names = ["x", *(f"v{i}" for i in range(len(lanes)))]
    draft = Draft(
        inputs=[spec("x", SHAPE)],  # type: ignore[arg-type]
        outputs=[spec("y", SHAPE)],  # type: ignore[arg-type]
        results={"y": names[-1]},
        values=[spec(name, SHAPE) for name in names[1:]],  # type: ignore[arg-type]
    )
    for i in range(len(lanes)):
        draft.network(f"s{i}", [names[i]], [names[i + 1]], [node("Neg", names[i], names[i + 1])])
    places = [Place(f"s{i}", lane) for i, lane in enumerate(lanes)]

    def load_executors(prepared: Any, *_: object) -> None:
        for number, lane in enumerate(lanes):
            if lane == "host":
                prepared.host_executors[number] = _HostSegment()
            else:
                prepared.device_executors[number] = _Segment()
        prepared.capturable = frozenset(prepared.device_executors)

    with (
        patch("edge_trt_runtime.loaded.find_device", _giving(Device(driver(), 0))),
        patch("edge_trt_runtime.hybrid.place.place_all", _giving(Placement(places, {}))),
        patch("edge_trt_runtime.hybrid.runner.load_executors", load_executors),
    ):
        return edge_trt_runtime.load(draft.write(folder / f"{len(lanes)}.edge"))


def main() -> None:
    """Prints microseconds a run: the least median of its blocks, and the median over all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20000)
    arguments = parser.parse_args()
    x = {"x": np.ones(SHAPE, np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        for lanes in (["gpu"], ["gpu", "host", "gpu"]):
            with session(Path(folder), lanes) as ours:
                medians: list[float] = []
                for _ in range(-(-arguments.runs // BLOCK)):
                    times: list[float] = []
                    for _ in range(BLOCK):
                        start = time.perf_counter()
                        ours.run(x)
                        times.append(time.perf_counter() - start)
                    medians.append(1e6 * float(np.median(times)))
            name = ", ".join(lanes)
            print(
                f"{name}: {min(medians):.2f} us at best, {np.median(medians):.2f} us at the median"
            )


if __name__ == "__main__":
    main()
