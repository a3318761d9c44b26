# SPDX-License-Identifier: Apache-2.0
"""Running a command for its time, and the peak memory of it and all processes it starts."""

from __future__ import annotations

import resource
import subprocess
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall time and CPU time in seconds, and peak resident memory in MB, of the process tree."""

    seconds: float
    megabytes: float
    cpu_seconds: float = 0.0


def cost(*command: str) -> Cost:
    """Runs a command from start to end.

    Resident memory is summed over the tree every 10 ms, so memory that processes share counts in
    each of them.
    """
    start, before, peak = time.perf_counter(), _children_cpu(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(root))
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        output = process.stdout.read().decode() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output[-2000:]}")
    return Cost(seconds, peak / 1e6, _children_cpu() - before)


def wall(*command: str) -> float:
    """Seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


def _children_cpu() -> float:
    """Seconds of user and system time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(root: psutil.Process) -> int:
    total = 0
    try:
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # ended between listing and asking
        pass
    return total
