# SPDX-License-Identifier: Apache-2.0
"""``edge_trt boards``: the Jetson boards, as data with their certainty.

A value with a question mark is not confirmed; --sources says where each comes from.
Boards marked "no" in the last column have no JetPack with Python 3.10 or newer.
"""

from __future__ import annotations

import argparse
import dataclasses

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
    rows = [
        [*(_text(board, field) for field in COLUMNS.values()), "yes" if board.supported else "no"]
        for board in known
    ]
    print_table("Jetson boards (? = not confirmed)", [*COLUMNS, "target"], rows)
    return 0


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
