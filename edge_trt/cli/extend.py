# SPDX-License-Identifier: Apache-2.0
"""`edge_trt build BUNDLE`: engines for more targets, without PyTorch; on a Jetson, for this board.

What is built on the machine that it is for runs the recorded cases of the bundle before anything is
written, so that a bundle never gets engines that compute something else than its model.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_trt.bundle.kept_folder import kept_folder
from edge_trt.bundle.layout import PLACEMENT
from edge_trt.bundle.reader import read_bundle
from edge_trt.bundle.writer import BundleWriter
from edge_trt.cli.console import print_warning, progress_or_silence
from edge_trt.cli.tested import save_tested
from edge_trt.engines.board import built_here, native_target
from edge_trt.errors import EdgeTrtError, OptionError
from edge_trt.options import CompileOptions, option_of
from edge_trt.pipeline import Bundle, add_engines
from edge_trt_jetson.boards import find
from edge_trt_runtime.bundle import open_bundle
from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from edge_trt.stages import Progress

SHAPING = ("precision", "fp32_layers", "fallback", "fallback_ops", "fallback_modules",
           "min_block_size", "self_test", "plugins",
           "profiles", "states")  # fmt: skip
"""Options that shape the networks, which a finished bundle has."""

FLAGS = {field.name: option_of(field).flag for field in dataclasses.fields(CompileOptions)}


def for_its_boards(arguments: argparse.Namespace, options: CompileOptions) -> CompileOptions:
    """The options of a build of a bundle, with its targets where none are named.

    On a Jetson that is the board itself. Elsewhere flags of a placement are about the boards of the
    bundle, and all else is about this machine.

    Raises:
        OptionError: an option shapes networks, which are made already, or places layers for no
            board.
    """
    check_flags(arguments, options)
    if arguments.target is not None:
        return options
    if board := native_target():
        return dataclasses.replace(options, target=(board,))
    if options.dla is None:
        return options
    if boards := _boards_of(arguments.model):
        return dataclasses.replace(options, target=boards)
    raise OptionError(
        f"--dla is about a board, and {arguments.model} was built for none",
        option="dla",
        hint="add --target with its name (edge_trt boards lists them)",
    )


def _boards_of(bundle: str) -> tuple[str, ...]:
    """The boards that a bundle was built or placed for."""
    opened = open_bundle(bundle)
    placed: dict[str, object] = {}
    if PLACEMENT in opened.manifest.files:
        from edge_trt.cli.placement import read_placement

        placed = read_placement(opened).get("targets", {})
    return tuple(name for name in dict.fromkeys((*opened.manifest.targets, *placed)) if find(name))


def extend(arguments: argparse.Namespace, options: CompileOptions) -> Bundle:
    """Adds engines to a bundle, without torch.

    Raises:
        EngineError: engines of this machine fail the recorded cases; the bundle stays as it was.
        EdgeTrtError: as `add_engines` and `Bundle.save`.
    """
    board = built_here(options.targets)
    if board:
        from edge_trt_jetson.board_checks import check_clocks, check_power_mode

        for check in (check_power_mode(Path("/")), check_clocks(Path("/"))):
            if check.status == "ok" and check.fix:  # kernels are measured at these clocks
                print_warning(f"{check.name}: {check.found}; {check.fix}")
    writer = BundleWriter(arguments.output)
    writer.check_place()
    with (
        ThreadPoolExecutor(1) as beside,
        progress_or_silence(quiet=arguments.quiet) as shown,
        kept_folder(arguments.output) as folder,
        _told_what_is_kept(folder),
    ):
        bundle = read_bundle(arguments.model, beside=beside)
        progress = _checking(shown, bundle)
        try:
            if board and not arguments.quiet:
                from edge_trt.cli.board_summary import print_board

                print_board(bundle, board, folder)
            add_engines(bundle, options, progress, folder)
        except EdgeTrtError:
            bundle.check()  # damaged weights are the better reason
            raise
        try:
            save_tested(bundle, writer, () if arguments.untested else options.targets, progress)
        except EngineError:
            for record in folder.glob("*.json"):  # not to be taken again
                record.unlink()
            raise
    return bundle


def _checking(shown: Progress, bundle: Bundle) -> Progress:
    """The progress of a build that ends as soon as a file of its bundle is found damaged."""
    checked = bundle.source.checked if bundle.source is not None else None

    def progress(stage: str, fraction: float, note: str) -> None:
        if checked is not None and checked.done():
            checked.result()
        shown(stage, fraction, note)

    return progress


def check_flags(arguments: argparse.Namespace, options: CompileOptions) -> None:
    """Refuses flags that a finished bundle can't follow.

    Raises:
        OptionError: naming all of them.
    """
    shaping = {"--input": arguments.input, "--image": arguments.image, "--dryrun": options.dryrun}
    given = [name for name, value in shaping.items() if value]
    given += [FLAGS[name] for name in SHAPING if getattr(arguments, name, None)]
    if given:
        raise OptionError(
            f"{arguments.model} is a bundle already, so {', '.join(given)} can't change it",
            hint="give the model, or only --target and builder settings",
        )


@contextmanager
def _told_what_is_kept(folder: Path) -> Generator[None]:
    """Says how to go on when a build ends before its end."""
    try:
        yield
    except (EdgeTrtError, KeyboardInterrupt, SystemExit):
        if kept := len([*folder.glob("*.json")]):
            print_warning(
                f"{kept} {'engines are' if kept > 1 else 'engine is'} kept in "
                f"{os.path.relpath(folder)}; the same command goes on from there"
            )
        raise
