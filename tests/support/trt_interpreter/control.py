# SPDX-License-Identifier: Apache-2.0
"""Loops and conditionals.

A definition is flat: what belongs to a loop or branch follows from what the layers at its boundary
read (developer guide, "Working with Loops", "Working with Conditionals"). Here that structure is
found again: a region holds its boundary layers and all that depends on its entries before its
exits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.support.trt_interpreter.call import Call

ENTRIES = ("RECURRENCE", "ITERATOR", "CONDITIONAL_INPUT")
EXITS = ("LOOP_OUTPUT", "CONDITIONAL_OUTPUT")
LOOP = ("TRIP_LIMIT", "RECURRENCE", "ITERATOR", "LOOP_OUTPUT")
CONDITIONAL = ("CONDITION", "CONDITIONAL_INPUT", "CONDITIONAL_OUTPUT")
KINDS = (*LOOP, *CONDITIONAL)
"""Layers at a boundary."""

CLASSES = {
    "CONDITION": "IConditionLayer",
    "CONDITIONAL_INPUT": "IIfConditionalInputLayer",
    "CONDITIONAL_OUTPUT": "IIfConditionalOutputLayer",
}
"""Boundary layers whose class is not spelled like their type."""

Values = dict[str, torch.Tensor]


@dataclass(eq=False)
class Item:
    """One layer."""

    kind: str
    layer: Any

    @property
    def reads(self) -> list[str]:
        tensors = (self.layer.get_input(i) for i in range(self.layer.num_inputs))
        return [tensor.name for tensor in tensors if tensor is not None]

    @property
    def gives(self) -> list[str]:
        return [self.layer.get_output(i).name for i in range(self.layer.num_outputs)]

    @property
    def layers(self) -> list[Item]:
        return [self]


@dataclass(eq=False)
class Region:
    """A loop or a conditional, run as one."""

    name: str
    boundary: list[Item]
    inside: list[Item | Region] = field(default_factory=list)
    """What lies between entries and exits, in order of execution."""

    @property
    def layers(self) -> list[Item]:
        return [*self.boundary, *(item for part in self.inside for item in part.layers)]

    @property
    def gives(self) -> list[str]:
        return [name for item in self.boundary if item.kind in EXITS for name in item.gives]

    @property
    def reads(self) -> list[str]:
        own = {name for item in self.layers for name in item.gives}
        return [name for item in self.layers for name in item.reads if name not in own]

    def of_kind(self, kind: str) -> list[Item]:
        return [item for item in self.boundary if item.kind == kind]


Part = Item | Region
Execute = Callable[[Part, Values], None]
Define = Callable[[Item, torch.Tensor, Values], None]
"""Adds what a layer gives to the values, once it agrees with what TensorRT says of it."""


def structure(items: Sequence[Item]) -> list[Part]:
    """The layers of a definition with its loops and conditionals as regions, in order."""
    scopes = {region: _scope(region, items) for region in _regions(items)}
    innermost: dict[Item, Region] = {}
    for region in sorted(scopes, key=lambda region: len(scopes[region]), reverse=True):
        innermost |= dict.fromkeys(scopes[region], region)
    top: list[Part] = [item for item in items if item not in innermost]
    for item in items:
        if item in innermost and item.kind not in KINDS:
            innermost[item].inside.append(item)
    for region, scope in scopes.items():
        around = [r for r in scopes if r is not region and scopes[r] & set(region.boundary)]
        around = [r for r in around if len(scopes[r]) > len(scope)]
        parent = min(around, key=lambda r: len(scopes[r]), default=None)
        (top if parent is None else parent.inside).append(region)
    fixed = _fixed(items)
    for region in scopes:
        region.inside = in_order(region.inside)
        _check(region, fixed)
    return in_order(top)


def _regions(items: Sequence[Item]) -> list[Region]:
    found: dict[tuple[bool, str], Region] = {}
    for item in items:
        if item.kind in KINDS:
            loops = item.kind in LOOP
            name = item.layer.loop.name if loops else item.layer.conditional.name
            found.setdefault((loops, name), Region(name, [])).boundary.append(item)
    return list(found.values())


def _scope(region: Region, items: Sequence[Item]) -> set[Item]:
    """The boundary, and all that depends on the entries without passing an exit."""
    readers: dict[str, list[Item]] = {}
    for item in items:
        for name in item.reads:
            readers.setdefault(name, []).append(item)
    scope = set(region.boundary)
    reached = [item for item in region.boundary if item.kind in ENTRIES]
    while reached:
        for name in reached.pop().gives:
            new = [item for item in readers.get(name, []) if item not in scope]
            scope.update(new)
            reached += new
    return scope


def _fixed(items: Sequence[Item]) -> set[str]:
    """Tensors that depend on constants alone; branches may read them without an input layer."""
    fixed: set[str] = set()
    while True:
        found = {
            n for i in items if i.kind not in KINDS and fixed.issuperset(i.reads) for n in i.gives
        }
        if found == fixed:
            return fixed
        fixed = found


def _check(region: Region, fixed: set[str]) -> None:
    """What TensorRT demands of a region beyond the types of its layers."""
    first = region.boundary[0]
    call = Call(first.layer, first.kind, ())
    if first.kind in LOOP:
        limits = region.of_kind("TRIP_LIMIT")
        if [item.layer.kind.name for item in limits] != ["COUNT"]:
            raise call.unsupported("a loop has one trip limit, a count")
        return
    if len(region.of_kind("CONDITION")) != 1:
        raise call.unsupported("a conditional has one condition")
    own = {name for item in region.layers for name in item.gives}
    for part in (*region.inside, *region.of_kind("CONDITIONAL_OUTPUT")):
        outside = set(part.reads) - own - fixed
        if outside:
            raise call.unsupported(f"a branch reads {sorted(outside)} without an input layer")


def run_loop(region: Region, values: Values, execute: Execute, define: Define) -> None:
    """Runs a loop and adds what it gives to the values."""
    count = int(values[region.of_kind("TRIP_LIMIT")[0].reads[0]])
    recurrences, outputs = region.of_kind("RECURRENCE"), region.of_kind("LOOP_OUTPUT")
    states = {item.gives[0]: values[item.reads[0]] for item in recurrences}
    steps: dict[Item, list[torch.Tensor]] = {item: [] for item in outputs}
    for step in range(count):
        local = dict(values)
        for item in recurrences:
            define(item, states[item.gives[0]], local)
        for item in region.of_kind("ITERATOR"):
            place = count - 1 - step if item.layer.reverse else step
            define(item, values[item.reads[0]].select(item.layer.axis, place), local)
        for part in region.inside:
            execute(part, local)
        for item in outputs:
            steps[item].append(local[item.reads[0]])
        states = {item.gives[0]: local[item.reads[1]] for item in recurrences}
    for item in outputs:
        define(item, _output(item, states, steps[item], values), values)


def _output(item: Item, states: Values, steps: list[torch.Tensor], values: Values) -> torch.Tensor:
    """What a loop's output layer makes of the values that its tensor had."""
    call, kind = Call(item.layer, item.kind, ()), item.layer.kind.name
    if kind == "LAST_VALUE":
        if item.reads[0] not in states:
            raise call.unsupported("the last value of what is no recurrence")
        return states[item.reads[0]]
    if len(item.reads) < 2 or int(values[item.reads[1]]) != len(steps):
        raise call.unsupported(f"the length is not that of {len(steps)} steps")
    return torch.stack(steps[::-1] if kind == "REVERSE" else steps, item.layer.axis)


def run_conditional(region: Region, values: Values, execute: Execute, define: Define) -> None:
    """Runs one branch and adds what the conditional gives to the values."""
    (condition,) = region.of_kind("CONDITION")
    outputs = region.of_kind("CONDITIONAL_OUTPUT")
    place = 0 if bool(values[condition.reads[0]]) else 1
    wanted = {item.reads[place] for item in outputs}
    local = dict(values)
    for item in region.of_kind("CONDITIONAL_INPUT"):
        define(item, values[item.reads[0]], local)
    chosen: list[Part] = []
    for part in reversed(region.inside):
        if wanted & set(part.gives):
            chosen.append(part)
            wanted.update(part.reads)
    for part in reversed(chosen):
        execute(part, local)
    for item in outputs:
        define(item, local[item.reads[place]], values)


def in_order(parts: Sequence[Part]) -> list[Part]:
    """Parts after those they read: `set_input` may name a layer that was added later."""
    producer = {name: part for part in parts for name in part.gives}
    ordered: dict[Part, None] = {}
    for start in parts:
        stack = [start]
        while stack:
            places = (producer.get(name) for name in stack[-1].reads)
            waiting = [part for part in places if part is not None and part not in ordered]
            if not waiting:
                ordered.setdefault(stack.pop())
            elif waiting[0] in stack:
                item = waiting[0].layers[0]
                raise ValueError(f"{item.kind} layer {item.layer.name!r} depends on its own output")
            else:
                stack.append(waiting[0])
    return list(ordered)
