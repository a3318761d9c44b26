# SPDX-License-Identifier: Apache-2.0
"""Runs the zoo, a process per model, and writes results.jsonl and docs/zoo.md.

    python -m tests.zoo.run [--only PATTERN ...] [--jobs N] [--resume] [--seconds N] [--gigabytes N]

`--only` takes names or patterns ("timm:*") and leaves the record of other models as it is;
`--resume` leaves out what the record has without a failure. `--render` writes the document alone.
Ends with 1 when a model lost something that the record says it had.
"""

from __future__ import annotations

import argparse
import fnmatch
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from edge_trt_runtime.names import did_you_mean
from tests.support.zoo import ZOO
from tests.zoo.record import RESULTS, Record, append, read, write
from tests.zoo.render import DOCUMENT, render

SERVER = multiprocessing.get_context("forkserver")
"""Forks a process per model from one that has imported the libraries: that takes seconds each."""
SERVER.set_forkserver_preload(["tests.zoo.libraries", "tests.zoo.measure"])


@dataclass(frozen=True)
class Limits:
    """What one model may take."""

    seconds: float
    gigabytes: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the chosen models and renders the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--seconds", type=float, default=600, metavar="N")
    parser.add_argument("--gigabytes", type=float, default=16, metavar="N")
    options = parser.parse_args(arguments)
    before = read()
    if not options.render:
        names = chosen(options.only, before if options.resume else {})
        run(names, options.jobs, Limits(options.seconds, options.gigabytes))
    after = read()
    ordered = [after[name] for name in ZOO if name in after]
    write(ordered)
    DOCUMENT.write_text(render(ordered), encoding="utf-8")
    worse = [text for name, record in after.items() if (text := loss(before.get(name), record))]
    print("".join(f"{text}\n" for text in worse), end="")
    return 1 if worse else 0


def loss(before: Record | None, after: Record) -> str:
    """What a model had in the record before and has no more, as a sentence, or an empty text."""
    if before is None:
        return ""
    lost = [
        what
        for what, had, has in (
            ("agrees with eager", before.agrees, after.agrees),
            ("is one block", before.single, after.single),
            ("is built", before.built, after.built),
        )
        if had and not has
    ]
    why = f": {after.failure}" if after.failure else ""
    return f"{after.name} no longer {', '.join(lost)}{why}" if lost else ""


def chosen(patterns: Sequence[str], done: dict[str, Record]) -> list[str]:
    """Names of the models to run, in the order of the tables.

    Raises:
        SystemExit: A pattern names no model.
    """
    for pattern in patterns:
        if not fnmatch.filter(ZOO, pattern):
            raise SystemExit(
                f"no model of the zoo is named {pattern!r}: {did_you_mean(pattern, ZOO)}"
            )
    finished = {name for name, record in done.items() if not record.failure}
    return [
        name
        for name in ZOO
        if name not in finished
        and (not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns))
    ]


def run(names: Sequence[str], jobs: int, limits: Limits) -> None:
    """Measures models, some at a time; every result is appended to the record as it comes."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(measure, name, limits) for name in names]
        for index, future in enumerate(as_completed(futures)):
            record = future.result()
            append(record, RESULTS)
            outcome = record.failure or f"{record.blocks}+{record.fallbacks} blocks"
            error = "none" if record.error is None else f"{record.error:.1e}"
            print(f"{index + 1}/{len(names)} {record.name}: {outcome}, error {error}", flush=True)


def measure(name: str, limits: Limits) -> Record:
    """One model in a process of its own, which is ended when it goes beyond its limits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "record.jsonl")
        process = SERVER.Process(target=in_process, args=(name, str(path)))
        process.start()
        ended = wait(process, limits)
        record = read(path).get(name) or Record(name, ZOO[name].group, failure="the process died")
        if ended:
            record.failure = f"{record.failure} {ended}"
        elif process.exitcode:
            record.failure = f"{record.failure}: the process ended with {process.exitcode}"
        return record


def in_process(name: str, path: str) -> None:
    """What the process does; the modules are there already."""
    from tests.zoo.measure import take

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    take(name, Path(path))


def wait(process: BaseProcess, limits: Limits) -> str:
    """Waits for a process; the limit that ended it, or an empty text."""
    start = time.monotonic()
    while process.is_alive():
        process.join(0.2)
        late = time.monotonic() - start > limits.seconds
        large = memory(process.pid or 0) > limits.gigabytes * 1e9
        if late or large:
            end(process.pid or 0)
            process.join()
            return f"in {limits.seconds:g} s" if late else f"within {limits.gigabytes:g} GB"
    return ""


def memory(pid: int) -> int:
    """Bytes that a process and its children hold."""
    try:
        parent = psutil.Process(pid)
        return sum(p.memory_info().rss for p in [parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def end(pid: int) -> None:
    """Ends a process and its children."""
    try:
        parent = psutil.Process(pid)
        for process in [*parent.children(recursive=True), parent]:
            process.kill()
    except psutil.NoSuchProcess:
        pass


if __name__ == "__main__":
    sys.exit(main())
