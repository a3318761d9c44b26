# SPDX-License-Identifier: Apache-2.0
"""``edge_trt calibrate``: measure int8 ranges on sample data, merge them, convert them.

  edge_trt calibrate MODEL --calibration DATA -o ranges.json
  edge_trt calibrate merge a.json b.json -o ranges.json
  edge_trt calibrate export ranges.json -o calib.cache --tensorrt 10.3.0
  edge_trt calibrate export ranges.json -o scales.json

MODEL is as for `edge_trt build`, or a bundle in fp32. Parts of the data may be calibrated apart, on
several machines: their merged ranges are those of one pass to the bit. `edge_trt build --ranges`
takes the result, and a calibration cache of TensorRT as well.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edge_trt.cli.inputs import add_arguments as add_input_arguments
from edge_trt.errors import OptionError
from edge_trt.options import add_arguments as add_option_arguments

if TYPE_CHECKING:
    from edge_trt_calibration import Ranges

WORDS = ("merge", "export")

UNREAD = ("precision", "ranges", "metric", "workspace", "optimization_level", "timing_cache",
          "weight_streaming", "self_test", "dryrun")  # fmt: skip
"""Options of engines and of what is compared, which are for `edge_trt build`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("what", metavar="MODEL|merge|export", help="see below")
    parser.add_argument("files", metavar="FILE", nargs="*", help="ranges to merge or to export")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="file to write")
    add_input_arguments(parser)
    parser.add_argument("--dask", metavar="ADDRESS",
                        help="scheduler of a Dask cluster, as tcp://HOST:8786")  # fmt: skip
    parser.add_argument("--tensorrt", metavar="VERSION",
                        help="export a cache for this TensorRT, as 10.3.0")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_option_arguments(parser.add_argument_group("compile options"), without=UNREAD)


def run(arguments: argparse.Namespace) -> int:
    """Calibrate, merge or export."""
    if arguments.what == "merge":
        return _merge(arguments)
    if arguments.what == "export":
        return _export(arguments)
    if arguments.files:
        raise OptionError(
            f"{arguments.files[0]!r} is one argument too many",
            hint=f"give one MODEL, or one of the words {', '.join(WORDS)} before it",
        )
    _check_output(arguments.output)
    ranges = _calibrate(arguments)
    if not arguments.quiet:
        from edge_trt.cli.quantization import print_tensors

        print_tensors(ranges)
        _say(arguments.output, ranges)
    return 0


def _calibrate(arguments: argparse.Namespace) -> Ranges:
    """The ranges, which are in the output then; those of a part too if the pass ends early."""
    from edge_trt.cli.console import progress_or_silence, show_warning
    from edge_trt.cli.inputs import model_or_bundle, parse_inputs
    from edge_trt.options import from_arguments
    from edge_trt.pipeline import calibrate

    arguments.precision = "int8"
    options = from_arguments(arguments)
    warnings.showwarning = show_warning
    model = model_or_bundle(arguments.what)
    inputs = parse_inputs(arguments.input, arguments.image)
    dask, output = arguments.dask, arguments.output
    with progress_or_silence(quiet=arguments.quiet) as progress:
        return calibrate(model, inputs, dask=dask, keep=output, options=options, progress=progress)


def _merge(arguments: argparse.Namespace) -> int:
    from edge_trt_calibration import merge

    if len(arguments.files) < 2:
        raise OptionError("merging takes two files at least", hint="name the files of all parts")
    _check_output(arguments.output)
    parts = [_part(path) for path in arguments.files]
    if arguments.calibration_method is not None:
        parts = [part.with_method(arguments.calibration_method) for part in parts]
    ranges = merge(parts, arguments.files)
    ranges.save(arguments.output)
    if not arguments.quiet:
        _say(arguments.output, ranges)
    return 0


def _part(path: str) -> Ranges:
    from edge_trt.precision.given import read_ranges
    from edge_trt_calibration import CalibrationError

    ranges = read_ranges(path)
    if ranges.histograms and not ranges.coarse:
        return ranges
    what = "holds scales alone, as a table or a calibration cache does"
    if ranges.coarse:
        what = "holds the coarse histograms of a bundle"
    raise CalibrationError(
        f"{path} {what}, and merging adds up whole histograms",
        hint="merge the files that edge_trt calibrate wrote with -o",
    )


def _check_output(path: str) -> None:
    """Refuses a place where no file can be written, before work is spent on it."""
    place = Path(path)
    folder = place.parent
    if place.is_dir():
        raise OptionError(f"{path} is a folder", option="output", hint="name a file in it")
    if not folder.is_dir():
        raise OptionError(f"there is no folder {folder}", option="output", hint="make it first")
    if not os.access(folder, os.W_OK):
        raise OptionError(f"the folder {folder} can't be written to", option="output")


def _export(arguments: argparse.Namespace) -> int:
    from edge_trt.precision.given import read_ranges
    from edge_trt_calibration.ranges import write_whole
    from edge_trt_calibration.tensorrt_cache import to_cache, to_table

    if len(arguments.files) != 1:
        raise OptionError("export takes one file", hint="merge several first")
    ranges = read_ranges(arguments.files[0])
    version = arguments.tensorrt
    text = to_table(ranges) if version is None else str(to_cache(ranges, version))
    write_whole(Path(arguments.output), text)
    if not arguments.quiet:
        _say(arguments.output, ranges)
    return 0


def _say(path: str, ranges: Ranges) -> None:
    print(
        f"{path}: ranges of {len(ranges.tensors)} tensors by {ranges.method}, from "
        f"{ranges.source.samples} samples"
    )
