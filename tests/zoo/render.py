# SPDX-License-Identifier: Apache-2.0
"""docs/zoo.md, made from the records of a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.support.zoo import ZOO
from tests.zoo.record import AGREES, Record

DOCUMENT = Path(__file__).parents[2] / "docs" / "zoo.md"

HEAD = """\
# The zoo

What edge_trt makes of whole models, written by `python -m tests.zoo.run` from the record of a run,
`tests/zoo/results.jsonl`. Every model has random weights that leave no layer without effect,
and is compiled with `edge_trt.compile` as it comes from its library, one process each.

*Compiles*: captured, converted, saved and run. *Agrees*: the largest relative error of any output,
max |bundle - eager| / max |eager|, on two random inputs is at most {agrees:g}, or at most twice
eager's own error, float32 against float64 (then given behind it); integers are equal.
Detections are compared as a set, as neighbours whose scores differ by rounding may change places;
masks with those that eager pastes at the boxes that were found, which are compared as boxes, as a
box edge is cut to a whole pixel there; a keypoint may stand where eager's map is as high as at its
highest, within {agrees:g} of it.
*One block*: TensorRT runs all of it. *Built*: TensorRT-RTX's builder makes a plan of every network,
ahead of time and without a GPU. Seconds are wall time beside other work on two cores.
"""

GROUP_COLUMNS = (
    "| model | inputs | parameters | operators | FLOPs | blocks | layers | error | built "
    "| compile | build |\n|---|---|---|---|---|---|---|---|---|---|---|"
)

HEAD_OF_REASONS = """\
## Why operators fall back

| reason | operators (calls) | models |
|---|---|---|"""

FIGURES = r"save some .*", "save less time than the copies to and from the device take"
"""What each call would gain and cost in a fallback by cost, and what all have in common."""


def render(records: Sequence[Record]) -> str:
    """The document; the order of models is that of the records."""
    groups = list(dict.fromkeys(record.group for record in records))
    parts = [HEAD.format(agrees=AGREES), _summary(groups, records), _measured(records)]
    parts += [_failures(records), _reasons(records)]
    for group in groups:
        rows = "\n".join(_row(record) for record in records if record.group == group)
        parts.append(f"## {group}\n\n{GROUP_COLUMNS}\n{rows}\n")
    return "\n".join(part for part in parts if part)


def _summary(groups: Iterable[str], records: Sequence[Record]) -> str:
    counts: dict[str, Callable[[Record], bool]] = {
        "models": lambda record: True,
        "compile": lambda record: record.error is not None,
        "agree": lambda record: record.agrees,
        "one block": lambda record: record.single,
        "built": lambda record: record.built,
    }
    head = "".join(f" {name} |" for name in counts)
    lines = [f"| |{head}", "|---|" + "---|" * len(counts)]
    for title in (*groups, "all"):
        chosen = [r for r in records if title in ("all", r.group)]
        cells = (sum(map(test, chosen)) for test in counts.values())
        lines.append(f"| {title} | " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _measured(records: Sequence[Record]) -> str:
    """When, and with which versions: a run can be resumed with others."""
    runs = Counter((record.date, record.versions) for record in records if record.versions)
    lines = [f"- {date}: {count} models, {what}" for (date, what), count in sorted(runs.items())]
    names = {record.name for record in records}
    if missing := [name for name in ZOO if name not in names]:
        lines.append(f"- not yet, {len(missing)} models: {', '.join(missing)}")
    return "Measured:\n\n" + "\n".join(lines) + "\n"


def _failures(records: Sequence[Record]) -> str:
    failed = [record for record in records if record.failure]
    wrong = [r for r in records if not r.failure and r.error is not None and not r.agrees]
    if not failed and not wrong:
        return ""
    lines = [f"- {record.name}: {_text(record.failure)}" for record in failed]
    lines += [f"- {r.name}: relative error {r.error:.1e}" for r in wrong]
    return "## What does not succeed\n\n" + "\n".join(lines) + "\n"


def _reasons(records: Sequence[Record]) -> str:
    """Every reason for a fallback with its operators, the most frequent among models first."""
    models: dict[str, list[str]] = {}
    operators: dict[str, Counter[str]] = {}
    for record in records:
        for text, count in record.reasons.items():
            operator, reason = _split(text)
            models.setdefault(reason, []).append(record.name)
            operators.setdefault(reason, Counter())[operator] += count
    if not models:
        return ""
    lines = [HEAD_OF_REASONS]
    for reason in sorted(models, key=lambda reason: (-len(set(models[reason])), reason)):
        calls = ", ".join(f"{name} ({n})" for name, n in operators[reason].most_common())
        names = ", ".join(dict.fromkeys(models[reason]))
        lines.append(f"| {_text(reason)} | {calls} | {names} |")
    return "\n".join(lines) + "\n"


def _split(text: str) -> tuple[str, str]:
    """The operator of `operator: reason`, and the reason without its name."""
    operator, _, reason = text.partition(": ")
    name = operator.removesuffix(".default")
    for prefix in (f"{operator}: ", f"{operator} ", f"{name}: "):
        reason = reason.removeprefix(prefix)
    return operator, re.sub(*FIGURES, reason)


def _row(record: Record) -> str:
    compiled = bool(record.blocks or record.fallbacks)
    cells = [
        record.name.partition(":")[2] or record.name,
        record.inputs,
        f"{record.parameters / 1e6:.1f} M" if record.parameters else "",
        _share(record.calls) if compiled else "",
        _share(record.flops) if compiled else "",
        _blocks(record) if compiled else "",
        str(record.layers or ""),
        _error(record),
        "yes" if record.built else "no",
        f"{record.seconds:.1f} s" if record.seconds else "",
        f"{record.build_seconds:.1f} s" if record.build_seconds else "",
    ]
    return "| " + " | ".join(cells) + " |"


def _blocks(record: Record) -> str:
    return f"{record.blocks} + {record.fallbacks} back" if record.fallbacks else str(record.blocks)


def _error(record: Record) -> str:
    if record.error is None:
        return ""
    own = f" (eager {record.rounding:.0e})" if record.rounding is not None else ""
    return f"{record.error:.0e}{own}"


def _share(share: float) -> str:
    """Per cent, and 100 % only where it is all."""
    return "100 %" if share == 1 else f"{min(share, 0.999) * 100:.1f} %"


def _text(text: str) -> str:
    """Text that may stand in a table's cell."""
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")
