# SPDX-License-Identifier: Apache-2.0
"""``edge_trt doctor``: what is installed here, what that allows, and how to add the rest.

The exit status is 1 if something is installed but does not work.
"""

from __future__ import annotations

import argparse
import dataclasses

from edge_trt_jetson import probe


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
    if arguments.json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        rows = [(c.name, c.status, c.found, c.allows, c.fix) for c in checks]
        print_table("This machine", ["check", "status", "found", "allows", "to do"], rows)
    return 1 if any(check.status == "broken" for check in checks) else 0
