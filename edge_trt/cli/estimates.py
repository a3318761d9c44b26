# SPDX-License-Identifier: Apache-2.0
"""The alternatives of a placement with their figures, in every power mode, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_trt.cli.console import print_table, print_text

COLUMNS = ("mode", "alternative", "#ms", "#per s", "#mJ own", "#mJ all", "#loadables",
           "#transitions", "note")  # fmt: skip
LEGEND = (
    "ms: latency of a run that is alone. per s: inferences without a pause. mJ own: energy of an "
    "inference above the idle board. mJ all: with its share of the idle board, without a pause."
)
SHORT = {"two cores as a pipeline": "pipeline"}


def print_estimates(network: Mapping[str, Any], target: Mapping[str, Any]) -> None:
    """Print the alternatives of one network; what is to know of them stands once, below."""
    notes = Notes()
    rows = [row for mode in network["modes"] for row in _rows(mode, target, notes)]
    print_table(f"Estimates for {network['network']}", COLUMNS, rows)
    notes.print()


def asked_for_all(target: Mapping[str, Any]) -> bool:
    """Whether a target was placed with `--dla only`."""
    return target.get("policy") == "only"


class Notes:
    """Sentences below a table, each once, and the marks that stand for them in it."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, sentence: str) -> str:
        """What stands for a sentence: `[1]`."""
        return self._marks.setdefault(sentence, f"[{len(self._marks) + 1}]")

    def print(self) -> None:
        """Print all of them, a line each."""
        for sentence, mark in self._marks.items():
            print_text(f"{mark} {sentence}")


def _rows(
    mode: Mapping[str, Any], target: Mapping[str, Any], notes: Notes
) -> list[tuple[object, ...]]:
    name = f"{mode['mode']} (planned)" if mode["mode"] == target["mode"] else mode["mode"]
    # `--dla only` takes what was asked for, which need not be the best.
    mark = "as asked" if asked_for_all(target) else "best"
    alternatives: list[Mapping[str, Any]] = mode["alternatives"]
    return [_row(name, a, mark if a["name"] == mode["best"] else "", notes) for a in alternatives]


def _row(mode: str, alternative: Mapping[str, Any], mark: str, notes: Notes) -> tuple[object, ...]:
    name = SHORT.get(alternative["name"], alternative["name"])
    if "latency_ms" not in alternative:
        note = notes.mark(f"not possible: {alternative['why']}")
        return mode, name, "", "", "", "", "", "", note
    marks = [mark] if mark else []
    if alternative["why"]:
        marks.append(notes.mark(alternative["why"]))
    if len(alternative["streams"]) > 1:
        shares = " + ".join(
            f"{s['runs_per_second']:g}/s with {s['layers_on_dla']} layers on DLA"
            for s in alternative["streams"]
        )
        marks.append(notes.mark(f"side by side: {shares}"))
    return (
        mode, name, f"{alternative['latency_ms']:g}", f"{alternative['per_second']:g}",
        f"{1e3 * alternative['joules_own']:.3g}", f"{1e3 * alternative['joules_saturated']:.3g}",
        alternative["loadables"], alternative["transitions"], " ".join(marks),
    )  # fmt: skip
