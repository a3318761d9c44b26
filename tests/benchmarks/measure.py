# SPDX-License-Identifier: Apache-2.0
"""Running a piece of work in a process of its own, for its wall time and peak memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall time of a process in seconds, and its peak resident memory in MB."""

    seconds: float
    megabytes: float


def own_peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(script: str, *arguments: str) -> Cost:
    """Runs `python script arguments`; its last line must be `seconds megabytes`.

    The script measures itself, so that starting Python and importing torch, which both sides need,
    is outside the time; the peak memory is that of the whole process.
    """
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    seconds, megabytes = done.stdout.split()[-2:]
    return Cost(float(seconds), float(megabytes))


def wall(*command: str) -> float:
    """Seconds that a command takes, in a process of its own."""
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start
