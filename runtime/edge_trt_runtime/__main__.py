# SPDX-License-Identifier: Apache-2.0
"""``python -m edge_trt_runtime BUNDLE``: what is in a bundle, and whether it works here."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from edge_trt_runtime.bundle import open_bundle, verify_bundle
from edge_trt_runtime.describe import describe, describe_session
from edge_trt_runtime.errors import EdgeTrtError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status (0 good, 1 refused or failed)."""
    parser = argparse.ArgumentParser(prog="python -m edge_trt_runtime", description=__doc__)
    parser.add_argument("bundle", help="directory that `edge_trt build` wrote")
    parser.add_argument(
        "--verify", action="store_true", help="check every file and run the recorded self-test"
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="where it runs: auto (default), cpu, or a GPU such as cuda:0",
    )
    parser.add_argument(
        "--bench",
        type=float,
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
    options = parser.parse_args(arguments)
    try:
        print(describe(open_bundle(options.bundle)))
        status = _verify(options.bundle, options.device) if options.verify else 0
        if options.bench is not None or options.json or options.trace or options.profile:
            _bench(options)
        return status
    except EdgeTrtError as error:
        if os.environ.get("EDGE_TRT_DEBUG") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


def _bench(options: argparse.Namespace) -> None:
    """Measure, print and write."""
    from edge_trt_runtime.bench import format_bench, measure, sample_inputs
    from edge_trt_runtime.layers import format_layers
    from edge_trt_runtime.opening import load
    from edge_trt_runtime.timing import trace_events

    nvtx = True if options.nvtx else None
    with load(options.bundle, device=options.device, nvtx=nvtx) as session:
        print(describe_session(session))
        if options.bench is not None or options.json:
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
    from edge_trt_runtime.selftest import run_self_test

    bundle = verify_bundle(path)
    print(f"files: {len(bundle.manifest.files)} as built")
    with load(bundle, device=device) as session:
        print(describe_session(session))
        results = run_self_test(session)
    for result in results:
        verdict = f"FAILED: {result.problem}" if result.problem else "passed"
        print(f"  {result.case} {result.output}: {verdict} (max error {result.max_abs:.3g})")
    if not results:
        print("self-test: none recorded in this bundle, so only its files were checked")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
