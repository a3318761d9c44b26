# SPDX-License-Identifier: Apache-2.0
"""``report.json``, the compiler's account of a build, as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge_trt.cli.console import print_table
from edge_trt_runtime.errors import BundleError

if TYPE_CHECKING:
    from edge_trt_runtime.bundle import OpenBundle

REPORT = "report.json"

RUNNERS = {"tensorrt": "TensorRT", "onnxruntime": "ONNX Runtime", "torch": "PyTorch"}
"""Names of what runs a block."""


def read_report(bundle: OpenBundle) -> dict[str, Any]:
    """The report of a bundle; empty if it carries none.

    Raises:
        BundleError: The report is damaged.
    """
    if REPORT not in bundle.manifest.files:
        return {}
    try:
        return dict(json.loads(bundle.read(REPORT)))
    except (ValueError, TypeError) as error:
        raise BundleError(
            f"{REPORT} of {bundle.root} is malformed: {error}",
            bundle=bundle.root,
            file=REPORT,
            hint="build the bundle again",
        ) from error


def print_report(report: Mapping[str, Any]) -> None:
    """Print coverage, blocks, what falls back and why, what stays fp32, times, notes.

    A part that the report lacks is left out: reports of other versions can be read too.
    """
    coverage: Mapping[str, Any] = report.get("coverage", {})
    if coverage:
        _print_coverage(coverage, report.get("layers", {}))
    print_kept(report)
    if report.get("quantization"):
        from edge_trt.cli.quantization import print_summary

        print_summary(report["quantization"])
    timings: Mapping[str, float] = report.get("timings", {})
    if timings:
        total = sum(timings.values())
        parts = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in timings.items())
        print(f"Compiled in {total:.2f} s ({parts})")
    for note in report.get("notes", []):
        print(f"Note: {note}")


def print_kept(report: Mapping[str, Any]) -> None:
    """Print the layers that stay at a higher precision, and why."""
    kept = report.get("kept_fp32", [])
    if kept:
        columns = list(kept[0])
        title = "Not in int8" if report.get("precision") == "int8" else "Kept in fp32"
        print_table(title, columns, [[row.get(c, "") for c in columns] for row in kept])


def format_flops(flops: float) -> str:
    """A number of floating-point operations as people write it: ``8.2 GFLOP``."""
    for unit in ("FLOP", "kFLOP", "MFLOP", "GFLOP"):
        if flops < 1000:
            return f"{flops:.3g} {unit}"
        flops /= 1000
    return f"{flops:.3g} TFLOP"


def _print_coverage(coverage: Mapping[str, Any], layers: Mapping[str, int]) -> None:
    calls, flops = coverage.get("calls", 0), coverage.get("flops", 0)
    print(
        f"Coverage: {coverage.get('by_calls', 0):.1%} of {calls} calls, "
        f"{coverage.get('by_flops', 0):.1%} of {format_flops(flops)} run in TensorRT"
    )
    blocks = [
        (
            b["name"],
            RUNNERS.get(b.get("runner", ""), b["kind"]),
            b["calls"],
            format_flops(b["flops"]),
            f"{b['share']:.1%}" if "share" in b else "",
            layers.get(b["name"], ""),
            _copies(b),
        )
        for b in coverage.get("blocks", [])
    ]
    columns = ["block", "runs in", "#calls", "#FLOPs", "#share", "#layers", "copies per run"]
    print_table("Blocks", columns, blocks)
    for b in coverage.get("blocks", []):
        if b.get("why"):
            print(f"{b['name']} runs in {RUNNERS.get(b['runner'], b['runner'])}: {b['why']}")
    refusals = [
        (r["op"], r["module"], r["source"], r["reason"]) for r in coverage.get("refusals", [])
    ]
    if refusals:
        print_table("Falls back", ["operator", "module", "source", "reason"], refusals)


def _copies(block: Mapping[str, Any]) -> str:
    """What a fallback copies between device and host."""
    from edge_trt_runtime.describe import format_size

    words = (("to_host", "to the host"), ("to_device", "to the device"))
    return ", ".join(f"{format_size(block[key])} {text}" for key, text in words if block.get(key))
