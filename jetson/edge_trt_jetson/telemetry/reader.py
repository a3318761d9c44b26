# SPDX-License-Identifier: Apache-2.0
"""One look at a machine: everything that its kernel tells, as a `Sample`.

Paths are looked up once and files stay open, so that a look costs little (`docs/board.md` has the
measured time). Everything is read below a root path, so that recorded trees can be looked at too.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from edge_trt_jetson import detect
from edge_trt_jetson.files import Source
from edge_trt_jetson.telemetry import board_power
from edge_trt_jetson.telemetry.cpu import Cpus, MemoryReader
from edge_trt_jetson.telemetry.engines import Engines, Gpu
from edge_trt_jetson.telemetry.heat import Fans, Thermal, Throttling
from edge_trt_jetson.telemetry.rails import Rails
from edge_trt_jetson.telemetry.sample import Sample


class Reader:
    """Reads a machine; a context manager.

    Attributes:
        detection: Which Jetson it is; None where it is no Jetson.
    """

    def __init__(self, root: str | Path = "/") -> None:
        """Look up what there is.

        Args:
            root: The running system's `/`, or a folder with copies of its `proc`, `sys` and `etc`.
        """
        root = Path(root)
        self.detection = detect.detect(root)
        self._cpus, self._memory = Cpus(root), MemoryReader(root)
        self._gpu, self._engines = Gpu(root), Engines(root)
        self._thermal, self._fans = Thermal(root), Fans(root)
        self._rails, self._throttling = Rails(root), Throttling(root)
        self._uptime = Source(root / "proc/uptime")
        board = self.detection.board if self.detection else None
        self.watts_of = board_power.total_of(self._rails.names, board.family if board else "")

    def read(self) -> Sample:
        """Look once. Nothing is raised: what can't be read is in `Sample.unavailable`."""
        missing: dict[str, str] = {}
        start = time.monotonic()
        rails = self._rails.read(missing)
        # The middle of reading the rails is when their power was: energy is integrated from it.
        now = (start + time.monotonic()) / 2
        gpu, problem = self._gpu.read()
        if gpu is None:
            missing["gpu"] = problem
        elif gpu.load is None:
            missing["gpu load"] = "not told by this kernel"
        engines = self._engines.read(missing) if self.detection else {}
        uptime = self._uptime.read()
        return Sample(
            time=now,
            cpus=self._cpus.read(),
            gpu=gpu,
            engines=engines,
            temperatures=self._thermal.read(),
            rails=rails,
            watts=board_power.total(rails, self.watts_of),
            watts_of=self.watts_of,
            memory=self._memory.read(),
            fans=self._fans.read(),
            throttling=self._throttling.read(),
            uptime=float(uptime.split()[0]) if uptime else None,
            unavailable=missing,
        )

    def close(self) -> None:
        """Give all descriptors back."""
        parts = (self._cpus, self._memory, self._gpu, self._engines, self._thermal)
        for part in (*parts, self._fans, self._rails, self._throttling, self._uptime):
            part.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
