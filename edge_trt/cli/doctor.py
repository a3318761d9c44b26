# SPDX-License-Identifier: Apache-2.0
"""``edge_trt doctor``: what is installed here, what that allows, and how to add the rest.

The exit status is 1 if something is installed but does not work.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from contextlib import suppress

from edge_trt_jetson import probe
from edge_trt_jetson.checks import Check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--json", action="store_true", help="print the findings for programs")
    parser.add_argument(
        "--root", default="/", metavar="DIR", help="examine a copy of another machine's files"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run every check and print the findings."""
    from edge_trt.cli.console import print_json, print_table

    checks = probe.run(arguments.root)
    if (dla := _dla(arguments.root)) is not None:
        place = next(i for i, check in enumerate(checks) if check.name == "tensorrt")
        checks.insert(place + 1, dla)
    if arguments.json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        rows = [(c.name, c.status, c.found, c.allows, c.fix) for c in checks]
        print_table("This machine", ["check", "status", "found", "allows", "to do"], rows)
    return 1 if any(check.status == "broken" for check in checks) else 0


def _dla(root: str) -> Check | None:
    """Whether engines may run on DLA on this board, by the TensorRT that is installed, and why."""
    from edge_trt.placement.regimes import decide
    from edge_trt_jetson import cuda
    from edge_trt_jetson.detect import detect

    found = detect(root)
    if found is None or found.board is None:
        return None
    shipped = found.release.tensorrt if found.release else ""
    version, offered = shipped, None
    with suppress(ImportError, OSError, RuntimeError, AttributeError):
        trt = importlib.import_module("tensorrt")
        version = str(trt.__version__)
        if cuda.driver().devices:
            offered = probe.offered_cores(trt)
    decision = decide(found.board, version, l4t=found.l4t or None, offered=offered)
    allows = "engines on the deep learning accelerators (--dla)"
    if decision.has_dla:
        return Check("dla", "ok", decision.reason, allows)
    return Check("dla", "missing", decision.reason, allows, "engines run on the GPU")
