# SPDX-License-Identifier: Apache-2.0
"""``edge_trt verify``: every file as it was built, and results as eager PyTorch recorded them.

With --key, also whether one of these keys signed it, before any file is parsed. The exit status is
1 if a file was changed, the signature is refused or an output differs by more than the tolerance.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_trt_runtime.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("bundle", help="directory that `edge_trt build` wrote")
    parser.add_argument(
        "--device", default="auto", help="auto (default), cpu, or a GPU such as cuda:0"
    )
    parser.add_argument(
        "--key",
        action="append",
        metavar="FILE",
        help="a public key that may have signed it (repeat it for several; default: those in "
        "EDGE_TRT_TRUSTED_KEYS)",
    )
    parser.add_argument(
        "--least-counter",
        type=int,
        default=0,
        metavar="N",
        help="refuse a bundle that was signed with a lower --counter",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check the files, then run the recorded cases."""
    from edge_trt.cli.console import print_table
    from edge_trt_runtime.bundle import verify_bundle
    from edge_trt_runtime.describe import describe_session, describe_signature
    from edge_trt_runtime.keys import named_by_environment
    from edge_trt_runtime.opening import load
    from edge_trt_runtime.selftest import run_in_streams

    keys = arguments.key or named_by_environment()
    least = arguments.least_counter
    bundle = verify_bundle(arguments.bundle, trusted_keys=keys, least_counter=least)
    print(f"{len(bundle.manifest.files)} files are as built")
    print(describe_signature(bundle, trusted=keys is not None))
    test = bundle.manifest.self_test
    if test is None:
        print("no recorded cases (built with --self-test 0): only the files were checked")
        return 0

    def opened(stream: int) -> Session:
        session = load(
            bundle, device=arguments.device, stream=stream, trusted_keys=keys, least_counter=least
        )
        print(describe_session(session))
        return session

    results = run_in_streams(opened, arguments.device)
    rows = [
        (
            result.case if result.stream == 1 else f"{result.case} in stream {result.stream}",
            result.output,
            f"{result.max_abs:.3g}",
            f"{result.max_rel:.3g}",
            "passed" if result.passed else "FAILED",
            result.problem,
        )
        for result in results
    ]
    title = f"Recorded cases (rtol {test.rtol:g}, atol {test.atol:g})"
    print_table(title, ["case", "output", "#max error", "#relative", "result", "problem"], rows)
    return 0 if all(result.passed for result in results) else 1
