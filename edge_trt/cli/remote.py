# SPDX-License-Identifier: Apache-2.0
"""`edge_trt build BUNDLE --on user@board`: the build on a board, from the host, over ssh.

The system's own `ssh` and `rsync` do the work, with the keys, names and jump hosts that are set up
for them; one connection serves all steps, so that a password is asked for once. The bundle goes to
a folder in the board's cache, is built there as it would be by hand, and comes back with its new
engines. Weights travel once: what both sides have is not sent.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_trt._version import __version__
from edge_trt.bundle.bundle import Bundle
from edge_trt.bundle.writer import BundleWriter
from edge_trt.cli.console import print_warning
from edge_trt.cli.extend import check_flags
from edge_trt.cli.inputs import is_bundle
from edge_trt.errors import EdgeTrtError, OptionError
from edge_trt.options import CompileOptions, option_of

UNREACHABLE = 255
"""Exit status of ssh for its own failures; others are those of the command there."""

UNKNOWN = 127
"""Exit status of a shell that does not find a command."""

WATCHED = (
    "exec 3<&0; {command} </dev/null 3<&- & build=$!; "
    "(cat <&3; kill $build) >/dev/null 2>&1 & watch=$!; "
    "exec 3<&-; wait $build; status=$?; kill $watch 2>/dev/null; exit $status"
)
"""Ends a command when its input ends: without a terminal, that is how it hears that we are gone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """A board behind ssh.

    Attributes:
        host: as ssh takes it: `user@board`, or a name of its configuration.
        program: the command there, such as `~/venv/bin/edge_trt`.
        options: of ssh, to share one connection.
    """

    host: str
    program: str
    options: tuple[str, ...]

    def run(self, command: str, *, bound: bool = False) -> int:
        """Runs a shell command there, its output here; returns its exit status.

        Args:
            command: for its shell.
            bound: whether it ends when we are interrupted or lose the connection.

        Raises:
            EdgeTrtError: ssh can't reach the board.
        """
        ssh = ["ssh", *self.options]
        if not bound:
            status = subprocess.call([*ssh, self.host, command])
        elif sys.stdin.isatty():  # with a terminal there, Ctrl-C here is Ctrl-C there
            status = subprocess.call([*ssh, "-tt", self.host, command])
        else:
            watched = shlex.quote(WATCHED.format(command=command))
            status = _held([*ssh, self.host, f"sh -c {watched}"])  # the user's may be another shell
        if status == UNREACHABLE:
            raise EdgeTrtError(
                f"ssh can't reach {self.host}, or lost it; its own words are above",
                hint=f"try it with: ssh {self.host} true",
            )
        return status

    def copy(self, source: str, target: str, *options: str) -> None:
        """Copies the content of a folder with rsync; either side may be `host:path`.

        Raises:
            EdgeTrtError: rsync fails.
        """
        shell = shlex.join(["ssh", *self.options])
        status = subprocess.call(["rsync", "-a", "-e", shell, *options, f"{source}/", f"{target}/"])
        if status:
            raise EdgeTrtError(
                f"rsync could not copy {source} to {target} (status {status}); its own words are "
                "above",
                hint=f"check the connection, and that rsync is installed on {self.host} and its "
                "disk has room",
            )


def _held(command: Sequence[str]) -> int:
    """Runs a command whose input stays open as long as we wait for it; returns its exit status."""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise


def build_remotely(arguments: argparse.Namespace, options: CompileOptions) -> Bundle:
    """Builds engines for a bundle on the board that `arguments.on` names.

    Raises:
        OptionError: what is to be built is no bundle, or asks for what the board can't do.
        EdgeTrtError: ssh, rsync or the build there fail. The bundle here is as it was.
    """
    if not is_bundle(arguments.model):
        raise OptionError(
            f"--on builds a bundle on a board, and {arguments.model} is none",
            hint="compile it here first: edge_trt build MODEL --target BOARD -o model.edge",
        )
    check_flags(arguments, options)
    if arguments.on.startswith("-"):
        raise OptionError(f"{arguments.on!r} is no host", hint="--on user@board")
    for tool in ("ssh", "rsync"):
        if shutil.which(tool) is None:
            raise EdgeTrtError(f"--on needs {tool}", hint=f"sudo apt-get install {tool}")
    source = os.path.realpath(arguments.model)
    writer = BundleWriter(arguments.output)
    writer.check_place()
    # Of this machine and user too: others may have a bundle at the same path.
    origin = f"{platform.node()}:{os.getuid()}:{source}"
    name = f"{Path(source).name}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}"
    with _connection(arguments) as board, writer.sibling("remote") as folder:
        _check_version(board)
        place = f".cache/edge_trt/remote/{name}"
        _checked(board.run(f"mkdir -p {shlex.quote(place)}"), board, "make a folder")
        there = f"{board.host}:{place}/model.edge"
        board.copy(source, there, "--delete", "--partial")
        words = " ".join(shlex.quote(word) for word in _forwarded(arguments))
        command = f"{board.program} build {shlex.quote(f'{place}/model.edge')} {words}"
        _checked(board.run(command.rstrip(), bound=True), board, "build it")
        finished = os.path.join(folder, "model.edge")
        os.mkdir(finished)
        board.copy(there, finished, f"--link-dest={source}")
        bundle = Bundle.load(finished)  # every file is compared with its digest
        writer.move_in(finished)
        bundle.path = Path(writer.target)
        _clean(board, place)
    return bundle


def _clean(board: Board, place: str) -> None:
    """Removes what was sent; the bundle is complete here, so a failure is a warning alone."""
    try:
        left = board.run(f"rm -rf {shlex.quote(place)}") != 0
    except EdgeTrtError:
        left = True
    if left:
        print_warning(f"the bundle is complete here; {board.host} keeps ~/{place}, remove it there")


@contextmanager
def _connection(arguments: argparse.Namespace) -> Generator[Board]:
    """One connection to the board for all that follows."""
    with tempfile.TemporaryDirectory(prefix="edge_trt-ssh-") as folder:
        options = (
            "-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/%C",
            "-o", "ControlPersist=60",
        )  # fmt: skip
        board = Board(arguments.on, arguments.remote_command or "edge_trt", options)
        try:
            yield board
        finally:
            subprocess.run(
                ["ssh", *options, "-O", "exit", board.host], capture_output=True, check=False
            )


def _check_version(board: Board) -> None:
    """Refuses a board that has another edge_trt: it may not know what is in the bundle."""
    wanted = f"edge_trt {__version__}"
    status = board.run(f'test "$({board.program} --version)" = {shlex.quote(wanted)}')
    if status == 0:
        return
    if board.run(f"command -v {board.program} > /dev/null"):
        raise EdgeTrtError(
            f"{board.program} is not found on {board.host}",
            hint="install edge-trt there, or say where it is: --remote-command "
            "'~/venv/bin/edge_trt'",
        )
    raise EdgeTrtError(
        f"{board.host} does not have {wanted}", hint="install the same version on both sides"
    )


def _checked(status: int, board: Board, what: str) -> None:
    if status == 0:
        return
    raise EdgeTrtError(
        f"{board.host} could not {what} (status {status}); its own words are above",
        hint="the bundle here is as it was, and the same command goes on from the engines that are "
        "kept there, if any were complete",
    )


def _forwarded(arguments: argparse.Namespace) -> list[str]:
    """The flags that a build of a bundle reads, as they were given."""
    words = [flag for flag in ("--quiet", "--untested") if getattr(arguments, flag[2:])]
    for field in dataclasses.fields(CompileOptions):
        given, flag = getattr(arguments, field.name, None), option_of(field).flag
        if given is not None:
            values: Sequence[str] = given if option_of(field).repeated else [given]
            words += [word for value in values for word in (flag, value)]
    return words
