# SPDX-License-Identifier: Apache-2.0
"""``edge_trt boards``: the Jetson boards, as data with their certainty.

A value with a question mark is not confirmed; --sources says where each comes from.
Boards marked "no" in the last column have no JetPack with Python 3.10 or newer. In a narrow
terminal columns are left out, and named below the table.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

from edge_trt_jetson import boards
from edge_trt_jetson.boards import Board

COLUMNS = {
    "board": "name",
    "modules": "modules",
    "chip": "soc",
    "#SM": "sm",
    "#SMs": "sms",
    "#cores": "cuda_cores",
    "#DLA": "dla_cores",
    "#RAM GB": "ram_gb",
    "#GB/s": "bandwidth_gbs",
    "JetPack": "jetpack",
}

# What a narrow terminal does without, the first first.
DISPENSABLE = ("#GB/s", "#cores", "modules", "chip", "#SM", "#SMs", "JetPack", "#RAM GB", "#DLA")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--sources", action="store_true", help="say where the values come from")
    parser.add_argument("--json", action="store_true", help="print everything for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    from edge_trt.cli.console import print_json, print_table

    known = boards.all_boards()
    if arguments.json:
        print_json({"sources": boards.sources(), "boards": [_as_dict(board) for board in known]})
        return 0
    if arguments.sources:
        rows = [(b.name, n, _text(b, n), f.source) for b in known for n, f in b.facts.items()]
        print_table("Values", ["board", "value", "is", "source"], rows)
        print_table("Sources", ["source", "what it is"], boards.sources().items())
        return 0
    _print_what_fits(known)
    return 0


def _print_what_fits(known: Sequence[Board]) -> None:
    """The table with as many columns as the terminal has room for: names are what is typed."""
    from edge_trt.cli.console import PIPED_WIDTH, console, table

    out, left_out = console(), list[str]()
    wide = out.options.update(width=PIPED_WIDTH)
    while True:
        columns = [name for name in COLUMNS if name not in left_out]
        rows = [
            [*(_text(b, COLUMNS[name]) for name in columns), "yes" if b.supported else "no"]
            for b in known
        ]
        made = table("Jetson boards (? = not confirmed)", [*columns, "target"], rows)
        fits = out.measure(made, options=wide).maximum <= out.width
        if fits or len(left_out) == len(DISPENSABLE):
            break
        left_out.append(DISPENSABLE[len(left_out)])
    out.print(made)
    if left_out:
        names = ", ".join(name.removeprefix("#") for name in left_out)
        print(f"Left out in {out.width} columns: {names} (--json has everything).")


def _text(board: Board, field: str) -> str:
    value = board.fact(field).value if field != "name" else board.name
    text = ", ".join(value) if isinstance(value, tuple) else f"{value}"
    if field == "dla_cores" and value:
        text = f"{value} x v{board.dla_version}"
    return text + ("?" if field in board.unsure() else "")


def _as_dict(board: Board) -> dict[str, object]:
    facts = {name: dataclasses.asdict(fact) for name, fact in board.facts.items()}
    head = {"name": board.name, "title": board.title, "supported": board.supported}
    return {**head, **facts}
