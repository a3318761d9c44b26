# SPDX-License-Identifier: Apache-2.0
"""What the programs of the examples have in common: their command line and their last table."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Columns = Mapping[str, Mapping[str, str | int | float]]
"""A table: names of columns, and in each what it says by the name of the row."""

console = Console()


@dataclass(frozen=True)
class Arguments:
    """What was typed.

    Attributes:
        quick: whether fewer samples will do.
        output: the folder for bundles and pictures, which is there.
        json: where the last table goes too, if anywhere.
    """

    quick: bool
    output: Path
    json: Path | None

    def finish(self, title: str, columns: Columns) -> None:
        """Prints the last table, and writes it as JSON if that was asked for."""
        show(title, columns)
        if self.json:
            self.json.write_text(json.dumps(columns, indent=2))


def arguments(name: str, text: str | None) -> Arguments:
    """Reads the command line of an example, whose docstring is the text."""
    parser = ArgumentParser(
        prog=f"examples/{name}/main.py", description=(text or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer samples, for a first look")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        default=Path("build", name),
        help="where bundles and pictures go (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the last table there too")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    return Arguments(given.quick, given.output, given.json)


def show(title: str, columns: Columns) -> None:
    """Prints a table with a row per measure and a column per way to run."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for row in dict.fromkeys(row for column in columns.values() for row in column):
        table.add_row(escape(row), *(_text(column.get(row, "")) for column in columns.values()))
    console.print(table)


def _text(value: str | float) -> str:
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))
