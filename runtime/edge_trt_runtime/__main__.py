# SPDX-License-Identifier: Apache-2.0
"""``python -m edge_trt_runtime BUNDLE``: what is in a bundle, and whether it works here."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from edge_trt_runtime.bundle import open_bundle, verify_bundle
from edge_trt_runtime.describe import describe, describe_session
from edge_trt_runtime.errors import EdgeTrtError

if TYPE_CHECKING:
    from edge_trt_runtime.session import Session

LONGEST = 86400.0
"""Seconds of a bench."""


def parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m edge_trt_runtime", description=__doc__)
    parser.add_argument("bundle", help="directory that `edge_trt build` wrote")
    parser.add_argument(
        "--verify", action="store_true", help="check every file and run the recorded self-test"
    )
    parser.add_argument(
        "--device",
        help="load it, and show what runs where: auto (default), cpu, or a GPU such as cuda:0",
    )
    parser.add_argument(
        "--bench",
        type=_seconds,
        nargs="?",
        const=3.0,
        metavar="SECONDS",
        help="run it for some seconds (3), and show what a run and its parts take",
    )
    parser.add_argument(
        "--profile", action="store_true", help="show what the model's modules and layers take"
    )
    parser.add_argument("--json", metavar="FILE", help="write what --bench measured")
    parser.add_argument(
        "--trace", metavar="FILE", help="write the timeline of one run for Chrome or Perfetto"
    )
    parser.add_argument(
        "--nvtx", action="store_true", help="put --bench's runs into NVTX ranges by segment"
    )
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= LONGEST:
        raise ValueError
    return seconds


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status (0 good, 1 refused or failed)."""
    options = parser().parse_args(arguments)
    try:
        status = _run(options)
        sys.stdout.flush()  # a closed pipe shows here, and not at the interpreter's end
        return status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EdgeTrtError as error:
        if os.environ.get("EDGE_TRT_DEBUG") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    device = options.device or "auto"
    print(describe(open_bundle(options.bundle)))
    status = _verify(options.bundle, device) if options.verify else 0
    measures = options.bench is not None or options.json or options.trace or options.profile
    if measures or options.nvtx or (options.device and not options.verify):
        _bench(options, device)
    return status


def _bench(options: argparse.Namespace, device: str) -> None:
    """Load, measure, print and write what was asked for."""
    from edge_trt_runtime.bench import format_bench, measure, sample_inputs
    from edge_trt_runtime.layers import format_layers
    from edge_trt_runtime.opening import load
    from edge_trt_runtime.timing import trace_events

    nvtx = True if options.nvtx else None
    with load(options.bundle, device=device, nvtx=nvtx) as session:
        print(describe_session(session))
        if options.bench is not None or options.json or options.nvtx:
            bench = measure(session, 3.0 if options.bench is None else options.bench)
            print(format_bench(bench))
            if options.json:
                _write(options.json, bench.as_dict())
        if options.profile:
            print(format_layers(session.profile_layers(sample_inputs(session))))
        if options.trace:
            _write(options.trace, trace_events(session.profile(sample_inputs(session))))


def _write(path: str, content: object) -> None:
    try:
        with open(path, "wb") as file:
            file.write(msgspec.json.encode(content))
    except OSError as error:
        raise EdgeTrtError(f"{path!r} can't be written ({error.strerror})") from error
    print(f"wrote {path}")


def _verify(path: str, device: str) -> int:
    from edge_trt_runtime.opening import load
    from edge_trt_runtime.selftest import run_in_streams

    bundle = verify_bundle(path)
    print(f"files: {len(bundle.manifest.files)} as built")

    def opened(stream: int) -> Session:
        session = load(bundle, device=device, stream=stream)
        print(describe_session(session))
        return session

    results = run_in_streams(opened, device)
    for result in results:
        verdict = f"FAILED: {result.problem}" if result.problem else "passed"
        name = f"{result.case} {result.output}"
        name += f" in stream {result.stream}" if result.stream > 1 else ""
        print(f"  {name}: {verdict} (max error {result.max_abs:.3g})")
    if not results:
        print("self-test: none recorded in this bundle, so only its files were checked")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
