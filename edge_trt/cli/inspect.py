# SPDX-License-Identifier: Apache-2.0
"""``edge_trt inspect``: signature, segments, layers, coverage, fallback reasons, engines, sizes."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.manifest import Segment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("bundle", help="directory that `edge_trt build` wrote")
    parser.add_argument(
        "--plot",
        metavar="FOLDER",
        help="with --quantization: draw every tensor's histogram with its range, as PNG",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--network", action="store_true", help="print the networks as text, with devices"
    )
    what.add_argument(
        "--quantization", action="store_true", help="print ranges, noise and exceptions of int8"
    )
    what.add_argument(
        "--placement",
        action="store_true",
        help="print which layers run on DLA, why the others do not, and the estimates",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print manifest and report for programs, with --placement the placement",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what the bundle says of itself; no engine is loaded."""
    from edge_trt_runtime.bundle import open_bundle

    _check(arguments)
    bundle = open_bundle(arguments.bundle)
    if arguments.json and not arguments.placement:
        _print_json(bundle)
    elif arguments.quantization or arguments.plot:
        _print_quantization(bundle, arguments.plot)
    elif arguments.placement:
        _print_placement(bundle, as_json=arguments.json)
    elif arguments.network:
        _print_networks(bundle)
    else:
        _print_tables(bundle)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuses JSON of what is only shown to people."""
    from edge_trt.errors import OptionError

    for name in ("network", "quantization", "plot"):
        if arguments.json and getattr(arguments, name):
            raise OptionError(
                f"--json and --{name} don't go together",
                hint="--json alone has manifest and report, --placement --json the placement",
            )


def _print_placement(bundle: OpenBundle, *, as_json: bool) -> None:
    from edge_trt.cli.console import print_json
    from edge_trt.cli.placement import print_placement, read_placement
    from edge_trt.cli.regions import modules_in

    placement = read_placement(bundle)
    if as_json:
        print_json(placement)
    else:
        print_placement(placement, bundle.manifest.engines, modules_in(bundle))


def _print_json(bundle: OpenBundle) -> None:
    import msgspec

    from edge_trt.cli.console import print_json
    from edge_trt.cli.report import read_report

    print_json({"manifest": msgspec.to_builtins(bundle.manifest), "report": read_report(bundle)})


def _print_networks(bundle: OpenBundle) -> None:
    from pathlib import Path

    from edge_trt.bundle.layout import PLACEMENT
    from edge_trt.cli.placement import read_placement
    from edge_trt.cli.regions import devices_by_column, with_devices
    from edge_trt.network import serialize
    from edge_trt.network.weights import read_weights

    there = PLACEMENT in bundle.manifest.files
    devices = devices_by_column(read_placement(bundle)) if there else {}
    weights = read_weights(Path(bundle.path("weights.safetensors")))
    for segment in bundle.manifest.segments:
        if segment.network is not None:
            network = serialize.load(bundle.read(segment.network).decode(), weights)
            print(with_devices(network, devices) if devices else network)


def _print_quantization(bundle: OpenBundle, folder: str | None) -> None:
    from edge_trt.bundle.layout import RANGES
    from edge_trt.cli.quantization import print_layers, print_summary, print_tensors
    from edge_trt.cli.report import print_kept, read_report
    from edge_trt.errors import EdgeTrtError
    from edge_trt_calibration import Ranges

    report = read_report(bundle)
    if RANGES not in bundle.manifest.files or not report.get("quantization"):
        precision = bundle.manifest.precision
        raise EdgeTrtError(
            f"{bundle.root} is {precision}, so nothing in it is quantized",
            hint="build it with --precision int8 --calibration DATA",
        )
    ranges = Ranges.from_dict(json.loads(bundle.read(RANGES)))
    print_tensors(ranges)
    print_layers(report["quantization"].get("noise", []))
    print_kept(report)
    print_summary(report["quantization"])
    if folder is not None:
        from edge_trt.cli.plot import plot_ranges

        print(f"{plot_ranges(ranges, folder)} histograms in {folder}")


def _print_tables(bundle: OpenBundle) -> None:
    from edge_trt.cli.console import print_table
    from edge_trt.cli.report import print_report, read_report
    from edge_trt_runtime.complaints import format_profile, format_ranges, format_shape
    from edge_trt_runtime.describe import describe_signature, format_size

    manifest, signature = bundle.manifest, bundle.manifest.signature
    total = sum(entry.size for entry in manifest.files.values())
    print(f"{bundle.root}: {manifest.precision}, {format_size(total)}, by {manifest.producer}")
    print(describe_signature(bundle, trusted=False))
    rows = [
        (kind, spec.name, spec.dtype, format_shape(spec), format_ranges(signature, spec))
        for kind, specs in (("input", signature.inputs), ("output", signature.outputs))
        for spec in specs
    ]
    print_table("Signature", ["", "name", "type", "shape", "ranges"], rows)
    for number, profile in enumerate(signature.profiles):
        print(f"profile {number}: {format_profile(profile)}")
    for state in signature.states:
        print(f"state: output {state.output} of a run is input {state.input} of the next")
    segments = [
        (s.name, s.kind, s.device, ", ".join(s.inputs), ", ".join(s.outputs), _layers(bundle, s))
        for s in manifest.segments
    ]
    print_table("Segments", ["name", "kind", "device", "takes", "gives", "layers"], segments)
    engines = [
        (e.segment, e.target, e.flavour, e.path, format_size(manifest.files[e.path].size))
        for e in manifest.engines
    ]
    print_table("Engines", ["segment", "target", "flavour", "file", "#size"], engines)
    missing = sorted(set(manifest.targets) - {engine.target for engine in manifest.engines})
    if missing:
        print(f"No engine yet for {', '.join(missing)}: it is built on the device.")
    print_report(read_report(bundle))


def _layers(bundle: OpenBundle, segment: Segment) -> str:
    """How many layers of each kind a network has, the most frequent first."""
    if segment.network is None:
        return ""
    network: dict[str, Any] = json.loads(bundle.read(segment.network))
    kinds = Counter(str(node["kind"]) for node in network["nodes"])
    parts = [f"{count} {kind}" for kind, count in kinds.most_common()]
    return f"{kinds.total()}: {', '.join(parts)}"
