# SPDX-License-Identifier: Apache-2.0
"""``edge_trt build``: compile a model into a bundle.

MODEL is one of
  file.py:factory, package.module:factory   a function that returns a model, or a model and examples
  model.pt2                                 a program saved by torch.export
  timm:NAME, torchvision:NAME               a model of that library, with random weights
  timm:NAME@pretrained, torchvision:NAME@DEFAULT    the same with its published weights
  model.edge                                a bundle, which gets engines for more targets: on a
                                            Jetson, without --target, those of this board

Inputs are described by --input unless the factory gives examples. A size may be a range,
min..opt..max, and have a name:
  --input image=1x3x224x224:float32
  --input image=1..4..8x3x224x224
  --input ids=batch:1..4..8xseq:1..128..512:int64

A --profile adds sizes that engines are tuned for, each by itself; without any, there is one for the
whole range. Sizes of a run have to lie within one of them:
  --input image=batch:1..4..8x3x224x224 --profile batch=1 --profile batch=2..8..8

With --image the bundle takes the pixels of a camera, and cast, layout, resize and normalization
happen inside; --input still says the shape that the model takes:
  --image image=nhwc:uint8:imagenet
  --image nhwc:uint8:bgr:mean=0.485,0.456,0.406:std=0.229,0.224,0.225:size=224x224
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_trt.cli.inputs import add_arguments as add_input_arguments
from edge_trt.cli.inputs import is_bundle
from edge_trt.early_checks import check_source
from edge_trt.errors import EdgeTrtError, OptionError
from edge_trt.options import add_arguments as add_option_arguments
from edge_trt.options import from_arguments

if TYPE_CHECKING:
    from edge_trt.options import CompileOptions
    from edge_trt.pipeline import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags: model and inputs here, the rest from CompileOptions."""
    parser.add_argument("model", metavar="MODEL", help="what to compile, see below")
    parser.add_argument(
        "-o", "--output", metavar="BUNDLE", help="directory to write, replaced if it is a bundle"
    )
    add_input_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    parser.add_argument(
        "--untested",
        action="store_true",
        help="write engines of this machine's GPU before they ran the recorded cases",
    )
    parser.add_argument(
        "--on", metavar="USER@BOARD", help="of a bundle: build on that board, over ssh and rsync"
    )
    parser.add_argument(
        "--remote-command",
        metavar="COMMAND",
        help="what this program is called there (default: edge_trt), such as '~/venv/bin/edge_trt'",
    )
    add_option_arguments(parser.add_argument_group("compile options"))


def run(arguments: argparse.Namespace) -> int:
    """Compile, write, and sum up."""
    options = from_arguments(arguments)
    extends = is_bundle(arguments.model)
    if extends:
        arguments.output = arguments.output or arguments.model
    _check(arguments, options, extends=extends)
    start = time.perf_counter()
    work = _extend if extends else _dry_run if options.dryrun else _compile
    if arguments.on is not None:
        from edge_trt.cli.remote import build_remotely

        build_remotely(arguments, options)
        if not arguments.quiet:  # the board has summed it up, under the name that it has there
            print(f"back from {arguments.on}:")
            _print_written(str(arguments.output), time.perf_counter() - start)
        return 0
    if extends:
        from edge_trt.cli.extend import for_its_boards

        options = for_its_boards(arguments, options)
    bundle = work(arguments, options)
    if not arguments.quiet:
        _sum_up(bundle, options, arguments.output, time.perf_counter() - start)
    return 0


def _check(arguments: argparse.Namespace, options: CompileOptions, *, extends: bool) -> None:
    """Refuses what does not go together, before work is spent.

    Raises:
        OptionError: naming the flag.
        BundleError: what is called like a bundle is none.
    """
    if arguments.on == "":
        raise OptionError("--on names no board", hint="--on user@board; is a shell variable unset?")
    if not extends and (os.path.isdir(arguments.model) or arguments.model.endswith(".edge")):
        from edge_trt_runtime.bundle import open_bundle

        open_bundle(arguments.model)  # raises: no model is called so
    if arguments.remote_command and not arguments.on:
        raise OptionError("--remote-command is about --on", hint="add --on user@board")
    if arguments.untested and not extends:
        raise OptionError(
            f"--untested is about a bundle, and {arguments.model} is none", hint="leave it out"
        )
    if arguments.output is None and not options.dryrun and arguments.on is None:
        raise OptionError("no place for the bundle is given", hint="add -o model.edge, or --dryrun")
    if not extends:
        check_source(arguments.model, options)


def _compile(arguments: argparse.Namespace, options: CompileOptions) -> Bundle:
    """Compiles in two processes, so that torch and TensorRT are not in memory together."""
    from edge_trt.cli.front import Request, started

    with started() as front:
        from edge_trt.bundle.writer import BundleWriter
        from edge_trt.cli.console import print_warning, progress_or_silence

        output = BundleWriter(arguments.output)
        output.check_place()
        quiet = arguments.quiet
        with progress_or_silence(quiet=quiet) as progress, output.sibling("portable") as folder:
            portable = os.path.join(folder, "model.edge")
            request = Request(
                arguments.model, arguments.input, arguments.image, options.as_dict(), portable,
                f"{output.target}.ranges.json",
            )  # fmt: skip
            with _calibration_kept(request.keep), ThreadPoolExecutor(1) as beside:
                ready = beside.submit(_prepare_engines, options)
                front.compile(request, progress, print_warning, ready)
                from edge_trt.bundle.reader import read_bundle
                from edge_trt.bundle.replace import sync_tree
                from edge_trt.engines.board import built_here
                from edge_trt.pipeline import add_engines

                bundle = read_bundle(portable, leaving=True)
                synced = beside.submit(sync_tree, portable)  # its files become the bundle's
                board = built_here(options.targets)
                if board and not quiet:
                    from edge_trt.cli.board_summary import print_board

                    print_board(bundle, board, Path(folder))
                add_engines(bundle, options, progress, Path(folder))
                synced.result()  # what the disk refuses is told once, to who asks first
                from edge_trt.cli.tested import save_tested

                save_tested(bundle, output, () if arguments.untested else options.targets, progress)
    return bundle


@contextmanager
def _calibration_kept(path: str) -> Generator[None]:
    """Says where the ranges are when a build fails after measuring them; else takes them away.

    Raises:
        EdgeTrtError: what the block raised, and how to go on.
    """
    before = _changed(path)
    hint = f"the calibration is kept, --ranges {os.path.relpath(path)} goes on from it"
    try:
        yield
    except (EdgeTrtError, KeyboardInterrupt, SystemExit) as stop:
        if _changed(path) == before:
            raise
        if isinstance(stop, EdgeTrtError):
            raise EdgeTrtError(str(stop), hint=hint) from stop
        from edge_trt.cli.console import print_warning

        print_warning(hint)
        raise
    if _changed(path) != before:
        os.unlink(path)


def _changed(path: str) -> int:
    """When a file was written, 0 for none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _prepare_engines(options: CompileOptions) -> None:
    """Imports what builds engines while another process still works with torch.

    TensorRT itself waits until that process is gone: both would be in memory together.
    """
    from edge_trt.engines.plans import check_targets

    check_targets(options.targets)


def _dry_run(arguments: argparse.Namespace, options: CompileOptions) -> Bundle:
    """Compiles as far as the partition."""
    from edge_trt.cli.console import progress_or_silence, show_warning
    from edge_trt.cli.inputs import parse_inputs
    from edge_trt.pipeline import compile_networks
    from edge_trt.stages import Stages

    inputs = parse_inputs(arguments.input, arguments.image)
    warnings.showwarning = show_warning
    with progress_or_silence(quiet=arguments.quiet) as progress:
        return compile_networks(arguments.model, inputs, options, Stages(progress))


def _extend(arguments: argparse.Namespace, options: CompileOptions) -> Bundle:
    """Adds engines to a bundle, without torch."""
    from edge_trt.cli.extend import extend

    return extend(arguments, options)


def _sum_up(bundle: Bundle, options: CompileOptions, output: str | None, seconds: float) -> None:
    from edge_trt.cli.report import print_report

    print_report(bundle.report)
    if options.dryrun:
        _print_foreseen(bundle)
        print("Nothing was built or written (--dryrun).")
        return
    if bundle.placement:
        from edge_trt.cli.placement import print_placement
        from edge_trt.cli.regions import modules_in
        from edge_trt_runtime.bundle import open_bundle

        told = " ".join(bundle.remarks)  # a reason that is a note already is not said again
        there = bundle.placement["targets"]
        built = {t: there[t] for t in options.targets if t in there}
        new = {t: p for t, p in built.items() if p["networks"] or p["reason"] not in told}
        written = open_bundle(str(output))
        see = f"edge_trt inspect {output} --placement"
        told_now = {**bundle.placement, "targets": new}
        print_placement(told_now, written.manifest.engines, modules_in(written), see)
    _print_written(str(output), seconds)


def _print_foreseen(bundle: Bundle) -> None:
    """Print the placement of a dry run, with all its layers: no bundle has them."""
    if bundle.placement:
        from edge_trt.cli.placement import print_placement
        from edge_trt.cli.regions import modules_of

        print_placement(bundle.placement, modules=modules_of(bundle.networks))


def _print_written(output: str, seconds: float) -> None:
    from edge_trt_runtime.bundle import open_bundle
    from edge_trt_runtime.describe import format_size

    manifest = open_bundle(output).manifest
    size = format_size(sum(entry.size for entry in manifest.files.values()))
    built = sorted({engine.target for engine in manifest.engines})
    print(f"{output}: {size}, {manifest.precision}, built in {seconds:.1f} s")
    print(f"engines: {', '.join(built) or 'none'}")
