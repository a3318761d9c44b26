# SPDX-License-Identifier: Apache-2.0
"""``edge_trt tune``: int8 for as many layers as a metric of yours allows.

  edge_trt tune MODEL --calibration DATA --metric evaluate.py:accuracy --drop 0.5 -o best.edge

MODEL is as for `edge_trt build`, or a bundle in fp32. The metric is a function that gets a function
`run` and returns a number, the larger the better:

  def accuracy(run):
      images, labels = held_out()
      return 100 * float((run(images).argmax(1) == labels).mean())

The best bundle found so far is always in the output. What was measured is kept beside it, in
best.edge.tune.json: the same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING

from edge_trt.cli.inputs import add_arguments as add_input_arguments
from edge_trt.errors import OptionError
from edge_trt.options import add_arguments as add_option_arguments

if TYPE_CHECKING:
    from edge_trt.precision.tuned import Tuned

UNREAD = ("precision", "dryrun")
"""Options without a meaning here: the precision is int8, and something is always written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("model", metavar="MODEL", help="what to tune, see below")
    parser.add_argument("-o", "--output", metavar="BUNDLE", required=True, help="where to write")
    parser.add_argument("--drop", metavar="D", required=True,
                        help="how much smaller than in fp32 the metric may be")  # fmt: skip
    add_input_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_option_arguments(parser.add_argument_group("compile options"), without=UNREAD)


def run(arguments: argparse.Namespace) -> int:
    """Search, and show what was tried; status 1 if nothing holds."""
    from edge_trt.bundle.writer import BundleWriter
    from edge_trt.cli.console import progress_or_silence, show_warning
    from edge_trt.cli.inputs import model_or_bundle, parse_inputs
    from edge_trt.options import from_arguments
    from edge_trt.pipeline import tune

    arguments.precision = "int8"
    options = from_arguments(arguments)
    BundleWriter(arguments.output).check_place()
    warnings.showwarning = show_warning
    model = model_or_bundle(arguments.model)
    inputs = parse_inputs(arguments.input, arguments.image)
    with progress_or_silence(quiet=arguments.quiet) as progress:
        drop = _number(arguments.drop)
        found = tune(model, inputs, arguments.output, drop=drop, options=options, progress=progress)
    if not arguments.quiet:
        _print(found, arguments.output)
    return 0 if found.holds else 1


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"{text!r} is no number", option="drop", hint="say --drop 0.5") from None


def _print(found: Tuned, output: str) -> None:
    from edge_trt.cli.console import print_table

    rows = [
        (
            f"{trial.layers}",
            f"{trial.metric:.6g}",
            f"{found.baseline - trial.metric:+.4g}",
            f"{trial.work:.2f}",
            "saved" if trial == found.best else "",
        )
        for trial in found.trials
    ]
    columns = ["#layers in int8", "#metric", "#drop", "#estimated time (fp16 = 1)", ""]
    print_table(f"Choices tried; the metric of fp32 is {found.baseline:.6g}", columns, rows)
    what = "holds" if found.holds else "is the closest, and none holds"
    print(f"{output}: {found.best.layers} layers in int8 {what}")
    if found.best.excluded:
        print(f"Left out: {', '.join(found.best.excluded)}")
