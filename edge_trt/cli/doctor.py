# SPDX-License-Identifier: Apache-2.0
"""``edge_trt doctor``: what is installed here, what that allows, and how to add the rest.

The exit status is 1 if something is installed but does not work.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from pathlib import Path

from edge_trt_jetson import probe
from edge_trt_jetson.checks import Check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--json", action="store_true", help="print the findings for programs")
    parser.add_argument(
        "--root", default="/", metavar="DIR", help="examine a copy of another machine's files"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run every check and print the findings.

    Raises:
        NotADirectoryError: `--root` is none.
    """
    from edge_trt.cli.console import print_json, print_table

    if not Path(arguments.root).is_dir():
        raise NotADirectoryError(20, "is no folder", arguments.root)
    checks = probe.run(arguments.root)
    if (dla := _dla(arguments.root)) is not None:
        place = next(i for i, check in enumerate(checks) if check.name == "tensorrt")
        checks.insert(place + 1, dla)
    if arguments.json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        rows = [(c.name, c.status, c.found, c.allows, c.fix) for c in checks]
        title = "This machine"
        if not _is_here(arguments.root):
            title = f"Board and its state by the files below {arguments.root}, the rest is here"
        print_table(title, ["check", "status", "found", "allows", "to do"], rows)
    return 1 if any(check.status == "broken" for check in checks) else 0


def _is_here(root: str) -> bool:
    return Path(root) == Path("/")


def _dla(root: str) -> Check | None:
    """Whether engines may run on DLA on this board, and why.

    What TensorRT offers decides, and nothing else is "ok": what JetPack ships is no promise.
    """
    from edge_trt.placement.regimes import decide
    from edge_trt_jetson.detect import detect

    found = detect(root)
    if found is None or found.board is None:
        return None
    shipped = found.release.tensorrt if found.release else ""
    version, offered, unasked = _offer() if _is_here(root) else ("", None, "")
    decision = decide(found.board, version or shipped, l4t=found.l4t or None, offered=offered)
    allows = "engines on the deep learning accelerators (--dla)"
    if not decision.has_dla:
        return Check("dla", "missing", decision.reason, allows, "engines run on the GPU")
    if offered is not None:
        return Check("dla", "ok", decision.reason, allows)
    if not _is_here(root):
        unasked = "can't be told from a copy of the board's files"
    ships = f" that JetPack {found.release.jetpack} ships" if not version and found.release else ""
    text = f"{unasked}; by the version{ships}, {decision.reason}"
    fix = "see tensorrt and cuda driver" if _is_here(root) else "run edge_trt doctor on the board"
    return Check("dla", "missing", text, allows, fix)


def _offer() -> tuple[str, int | None, str]:
    """TensorRT's version here, how many DLA cores it offers, and why that can't be told."""
    from edge_trt_jetson import cuda

    try:
        trt = importlib.import_module("tensorrt")
        version = str(trt.__version__)
    except (ImportError, OSError, RuntimeError, AttributeError):
        return "", None, "can't be told without TensorRT"
    if not cuda.driver().devices:
        return version, None, "can't be told without a CUDA driver"
    try:
        return version, probe.offered_cores(trt), ""
    except (RuntimeError, AttributeError) as error:
        return version, None, f"TensorRT doesn't tell it ({error})"
