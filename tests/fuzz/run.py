# SPDX-License-Identifier: Apache-2.0
"""Runs many random programs and prints every kind of failure once, with its smallest program.

python -m tests.fuzz.run --examples 2000 [--seed N] [--only WORD ...] [--fallback auto]
                         [--open-sizes]
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings

import edge_trt
from tests.fuzz.judging import is_well_conditioned, judge
from tests.fuzz.programs import Program, operators, programs
from tests.fuzz.sizes import judge_open


@dataclass
class Tally:
    """What happened so far."""

    fallback: str = "torch"
    open_sizes: bool = False
    programs: int = 0
    undecided: int = 0
    failed: int = 0
    reached: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    failures: dict[str, tuple[Program, BaseException]] = field(default_factory=dict)

    def add(self, program: Program) -> None:
        """Judges one program."""
        self.programs += 1
        if not is_well_conditioned(program):
            self.undecided += 1
            return
        self.reached.update(program.calls)
        try:
            if self.open_sizes:
                judge_open(program, self.programs)
            else:
                judge(program, self.fallback)
        except edge_trt.CaptureError as error:
            self.refused[_kind(error)] += 1
        except Exception as error:  # each is a finding
            self.failed += 1
            kind = _kind(error)
            known = self.failures.get(kind)
            if known is None or len(program.calls) < len(known[0].calls):
                self.failures[kind] = program, error


def _kind(error: Exception) -> str:
    return f"{type(error).__name__}: {re.sub(r'[0-9.]+', '#', str(error))[:100]}"


def run(examples: int, number: int, only: Sequence[str], tally: Tally) -> Tally:
    """Judges `examples` programs, of operators whose names have one of the words `only`."""
    chosen = [t for t in operators() if not only or any(word in str(t) for word in only)]

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(only=chosen))
    def each(program: Program) -> None:
        tally.add(program)

    each()
    return tally


def main() -> None:
    """The command line; ends with 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), metavar="N")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--fallback", choices=("torch", "auto"), default="torch")
    parser.add_argument("--open-sizes", action="store_true", help="compare at other sizes too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    start = time.monotonic()
    tally = Tally(arguments.fallback, arguments.open_sizes)
    run(arguments.examples, arguments.seed, arguments.only, tally)
    for program, error in tally.failures.values():
        print("-" * 100)
        print("".join(traceback.format_exception(error)[-2:]))
        print(program)
    print("-" * 100)
    for kind, count in tally.refused.items():
        print(f"refused {count} times: {kind}")
    print(
        f"seed {arguments.seed}: {tally.programs} programs over {len(tally.reached)} operators in "
        f"{time.monotonic() - start:.0f} s, {tally.undecided} left out because rounding decides "
        f"them; {tally.failed} failed in {len(tally.failures)} ways"
    )
    sys.exit(bool(tally.failed))


if __name__ == "__main__":
    main()
