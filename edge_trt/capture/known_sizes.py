# SPDX-License-Identifier: Apache-2.0
"""What torch knew of a program's sizes before a step that asks questions about them.

A question is answered for the sizes of the example. The answer becomes a guard; where it says that
a size is a number or equal to another, or narrows its range, all that is asked later is too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_trt.capture.conditions import drop_guards

if TYPE_CHECKING:
    from collections.abc import Collection

    from edge_trt_runtime.manifest import Range


@dataclass(frozen=True)
class KnownSizes:
    """A snapshot of torch's environment of sizes.

    Attributes:
        environment: Torch's environment, which goes on.
        guards: The identities of its guards so far.
        replacements: What stands for a symbol.
        ranges: The range of each symbol.
        symbols: Those of the program's inputs.
        sizes: Which sizes each of them may have, by name.
        names: Where people find each of them: ``x.shape[0]``.
    """

    environment: Any
    guards: frozenset[int]
    replacements: dict[Any, Any]
    ranges: dict[Any, Any]
    symbols: tuple[Any, ...]
    sizes: dict[str, Range]
    names: dict[str, str]

    def new(self) -> dict[Any, Any]:
        """Return the guards that came later, by their conditions on the symbols of before."""
        guards = [g for g in self.environment.guards if id(g) not in self.guards]
        return {self._before(guard.expr): guard for guard in guards}

    def ties(self) -> bool:
        """Whether a size of an input that was free is a number now, or that of another."""
        return any(self.environment.replace(symbol) != symbol for symbol in self.symbols)

    def take_back(self, guards: Collection[Any]) -> None:
        """Forget guards, and the ranges that followed from them."""
        if guards:
            self.environment.var_to_range.update(self.ranges)
            drop_guards(self.environment, list(guards))

    def _before(self, expression: Any) -> Any:
        for _ in range(len(self.replacements) + 1):
            found = expression.xreplace(self.replacements)
            if found == expression:
                break
            expression = found
        return expression
