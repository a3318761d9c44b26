# SPDX-License-Identifier: Apache-2.0
"""Tables and progress on the terminal, by rich; plain text of full width when piped."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    ProgressCallback = Callable[[str, float, str], None]

PIPED_WIDTH = 10_000  # a pipe has no width: rows stay on one line, for grep and awk

STYLES = {
    "ok": "green",
    "passed": "green",
    "missing": "yellow",
    "broken": "bold red",
    "FAILED": "bold red",
}


def console(*, stderr: bool = False) -> Console:
    """A console on the stream as it is now, with numbers left uncoloured."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a title. Columns named ``#...`` are aligned right, without the ``#``."""
    console().print(table(title, columns, rows))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """What `print_table` prints; what is too wide is folded, and never cut."""
    made = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        right = name.startswith("#")
        justify = "right" if right else "left"
        made.add_column(name.removeprefix("#"), justify=justify, overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell), style=STYLES.get(str(cell), "")) for cell in row))
    return made


def print_text(text: str) -> None:
    """Print a sentence, broken between words on a terminal and on one line when piped."""
    console().print(Text(text))


def print_json(data: object) -> None:
    """Print data for programs."""
    print(json.dumps(data, indent=2))


@contextmanager
def progress_bar() -> Generator[ProgressCallback]:
    """Show stages as they come: ``progress(stage, fraction of it done, note)``.

    A terminal gets a moving bar for every stage; a file gets one line at the end of each. Where a
    stage ends without a note, the last one stays, such as how far ranges had settled.
    """
    out = console(stderr=True)
    bar = _bar(out) if out.is_terminal else None
    tasks: dict[str, TaskID] = {}
    notes: dict[str, str] = {}
    done: set[str] = set()

    def report(stage: str, fraction: float, note: str = "") -> None:
        if fraction >= 1.0:
            note = note or notes.get(stage, "")
        notes[stage] = note
        if bar is not None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=1.0, note=note)
            bar.update(tasks[stage], completed=min(max(fraction, 0.0), 1.0), note=note)
        elif fraction >= 1.0 and stage not in done:
            done.add(stage)
            print(f"{stage}: done{f' ({note})' if note else ''}", file=sys.stderr)

    with bar or nullcontext():
        yield report


def _bar(out: Console) -> Progress:
    """A bar for every stage; what draws it is imported for a terminal alone."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=out,
    )


def progress_or_silence(*, quiet: bool) -> AbstractContextManager[ProgressCallback]:
    """The bars of `progress_bar`, or nothing."""
    return nullcontext(_silent) if quiet else progress_bar()


def _silent(stage: str, fraction: float, note: str) -> None:
    """Show nothing."""


def show_warning(message: Warning | str, *_: object) -> None:
    """What `warnings.showwarning` may be, to print a warning as one line without its code."""
    print_warning(str(message))


def print_warning(text: str) -> None:
    """Print a warning on one line."""
    print(f"warning: {text}", file=sys.stderr)
