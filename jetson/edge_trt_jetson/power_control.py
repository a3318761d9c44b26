# SPDX-License-Identifier: Apache-2.0
"""Changing the power mode and locking clocks, and putting both back.

nvpmodel and jetson_clocks do the work. nvpmodel knows for certain whether a change needs a reboot:
it asks on its standard input, and the answer is no unless the caller said that the machine may
restart. What its file tells beforehand is `reboot_reason`, so that people are asked early.

::

    with held("MAXN", lock=True):
        measure()  # afterwards, also after Ctrl-C, the mode and the clocks are as before
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from edge_trt_jetson import power_modes
from edge_trt_jetson.errors import BoardError
from edge_trt_jetson.power_modes import PowerMode, PowerModes

Run = Callable[[Sequence[str], str], "Answer"]
"""Runs a command with a text as its input; for tests, another may be given."""

TIMEOUT = 60.0
"""Seconds after which a tool that says nothing is given up."""

_WANTS_REBOOT = re.compile(r"reboot required|do you want to reboot", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool said: exit status, standard output and errors together."""

    status: int
    text: str


class RebootNeededError(BoardError):
    """The mode can only be reached by a restart, and nobody allowed one. Nothing was changed."""


def run_tool(command: Sequence[str], said: str = "") -> Answer:
    """Run a tool, out of reach of a terminal's Ctrl-C.

    Raises:
        BoardError: It is not installed, or it hangs.
    """
    try:
        done = subprocess.run(
            command,
            input=said,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise BoardError(
            f"{command[0]} is not installed",
            hint="it is part of Jetson Linux; in a container, run this on the board itself",
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BoardError(f"{' '.join(command)} failed: {error}") from error
    return Answer(done.returncode, done.stdout)


def require_root(command: str) -> None:
    """Refuse without root.

    Args:
        command: What to run with sudo; named in the error.

    Raises:
        BoardError: This process is not root.
    """
    if os.geteuid() != 0:
        raise BoardError("power modes and clocks are changed by root alone", hint=f"sudo {command}")


def reboot_reason(modes: PowerModes, target: PowerMode) -> str:
    """Why a change to `target` needs a restart, as far as the file tells; empty if it seems not to.

    Parts of the GPU (TPCs) are switched on and off at boot alone. Cores are switched while running
    on some boards and at boot on others: nvpmodel decides that.
    """
    current = modes.current
    if current is None:
        return "the active mode is unknown"
    if current.gating != target.gating:
        return f"{current.name} and {target.name} give power to different parts of the GPU"
    return ""


def current_mode(modes: PowerModes, run: Run = run_tool) -> PowerMode:
    """The active mode, by its status file or else by `nvpmodel -q`.

    Raises:
        BoardError: Neither tells it.
    """
    if modes.current is not None:
        return modes.current
    answer = run([_tool("nvpmodel"), "-q"], "")
    number = power_modes.parse_query(answer.text)
    mode = next((mode for mode in modes.modes if mode.id == number), None)
    if mode is None:
        raise BoardError(f"the active power mode is unknown: {modes.problem}")
    return mode


def set_mode(target: PowerMode, *, reboot: bool = False, run: Run = run_tool) -> None:
    """Change the power mode.

    Args:
        target: The mode.
        reboot: Whether the machine may restart, if it has to.
        run: Runs nvpmodel.

    Raises:
        RebootNeededError: It has to, and must not.
        BoardError: nvpmodel failed; its words are in the error.
    """
    with _uninterrupted():  # half a change of modes is worse than a late Ctrl-C
        answer = run([_tool("nvpmodel"), "-m", str(target.id)], "yes\n" if reboot else "no\n")
    if _WANTS_REBOOT.search(answer.text):
        if reboot:
            return
        raise RebootNeededError(
            f"{target.name} needs a restart of the machine", hint="allow it, or choose another mode"
        )
    if answer.status != 0 or "NVPM ERROR" in answer.text:
        words = " ".join(answer.text.split()) or f"exit status {answer.status}"
        raise BoardError(f"nvpmodel did not change to {target}: {words}")


def lock_clocks(run: Run = run_tool) -> None:
    """Lock all clocks at their highest in this power mode.

    Raises:
        BoardError: jetson_clocks failed.
    """
    _check(run([_tool("jetson_clocks")], ""), "lock the clocks")


def show_clocks(run: Run = run_tool) -> str:
    """What `jetson_clocks --show` prints; it answers root alone.

    Raises:
        BoardError: It is not installed, or failed.
    """
    answer = run([_tool("jetson_clocks"), "--show"], "")
    _check(answer, "show the clocks")
    return answer.text


@contextmanager
def held(
    mode: PowerMode | str | None = None,
    *,
    lock: bool = False,
    root: str | Path = "/",
    run: Run = run_tool,
) -> Generator[PowerMode | None]:
    """Hold a power mode and the clocks while the block runs; then put both back.

    Put back also after errors, Ctrl-C and SIGTERM, and while it is put back these two wait.

    Args:
        mode: The mode, or a name for `PowerModes.find`; the active one stays by default.
        lock: Whether to lock all clocks.
        root: Where nvpmodel.conf is.
        run: Runs nvpmodel and jetson_clocks.

    Yields:
        The mode that is held; None where nothing was asked.

    Raises:
        RebootNeededError: The mode needs a restart: nothing was changed.
        BoardError: A tool is missing or failed. What was changed is put back.
    """
    if mode is None and not lock:
        yield None
        return
    modes = power_modes.read(root)
    before = current_mode(modes, run)
    target = before if mode is None else modes.find(mode) if isinstance(mode, str) else mode
    undo: list[Callable[[], None]] = []
    with tempfile.TemporaryDirectory(prefix="edge_trt-") as folder, terminable():
        try:
            with _uninterrupted():
                _hold(before, target, lock, str(Path(folder, "clocks")), undo, run)
            yield target
        finally:
            _put_back(undo)


def _hold(
    before: PowerMode,
    target: PowerMode,
    lock: bool,
    stored: str,
    undo: list[Callable[[], None]],
    run: Run,
) -> None:
    """Change mode and clocks; `undo` gets what takes each step back."""
    clocks = _tool("jetson_clocks")
    # The clocks of the old mode are stored before it changes, and put back after it is.
    _check(run([clocks, "--store", stored], ""), "store the clocks")
    undo.append(lambda: _check(run([clocks, "--restore", stored], ""), "put the clocks back"))
    if target.id != before.id:
        undo.append(lambda: set_mode(before, run=run))
        try:
            set_mode(target, run=run)
        except RebootNeededError:
            undo.clear()  # nothing was changed
            raise
    if lock:
        lock_clocks(run)


def _put_back(undo: list[Callable[[], None]]) -> None:
    """Undo the last change first; go on after one that failed, then report the first failure."""
    failures: list[BoardError] = []
    with _uninterrupted():
        for step in reversed(undo):
            try:
                step()
            except BoardError as error:
                failures.append(error)
    if failures:
        raise failures[0]


def _check(answer: Answer, what: str) -> None:
    if answer.status != 0:
        words = " ".join(answer.text.split()) or f"exit status {answer.status}"
        raise BoardError(f"jetson_clocks did not {what}: {words}")


def _tool(name: str) -> str:
    """A tool's path; sudo and services may lack /usr/sbin."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin") or name


@contextmanager
def terminable() -> Generator[None]:
    """Let SIGTERM raise SystemExit, as Ctrl-C raises KeyboardInterrupt, so that blocks end well."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _uninterrupted() -> Generator[None]:
    """Let SIGINT and SIGTERM wait until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    arrived: list[int] = []
    before = {n: signal.signal(n, lambda number, _: arrived.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        with suppress(IndexError):
            os.kill(os.getpid(), arrived[-1])
