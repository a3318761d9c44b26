# SPDX-License-Identifier: Apache-2.0
"""Planning a run once, at load: where each value lives, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edge_trt_runtime.manifest import Manifest, Segment


class Step(NamedTuple):
    """Execution of one segment; numbers are slots of the run's list of values.

    ``wanted`` are the segment's outputs that anything reads, in the order of ``outputs``.
    ``dead`` are slots that nothing reads after this step.
    """

    segment: Segment
    wanted: tuple[str, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dead: tuple[int, ...]


class Result(NamedTuple):
    """An output of the session.

    ``copy`` when the slot holds an input of the run or is another output already, because the
    caller owns what he gets.
    """

    name: str
    slot: int
    copy: bool


class Plan(NamedTuple):
    """Everything that a run does. The first slots hold the inputs in the signature's order."""

    slots: int
    steps: tuple[Step, ...]
    results: tuple[Result, ...]


def make_plan(manifest: Manifest) -> Plan:
    """Plan the segments in the manifest's order, which its check has found to be valid.

    A segment that nothing reads from is left out.
    """
    inputs = [spec.name for spec in manifest.signature.inputs]
    last_use: dict[str, int] = {}
    for index, segment in enumerate(manifest.segments):
        last_use.update(dict.fromkeys(segment.inputs, index))
    last_use.update(dict.fromkeys(manifest.results.values(), len(manifest.segments)))

    slots = {name: slot for slot, name in enumerate(inputs)}
    for segment in manifest.segments:
        for value in segment.outputs:
            if value in last_use:
                slots[value] = len(slots)
    steps = tuple(
        _step(segment, index, slots, last_use)
        for index, segment in enumerate(manifest.segments)
        if not last_use.keys().isdisjoint(segment.outputs)
    )
    return Plan(len(slots), steps, _results(manifest, slots))


def _step(segment: Segment, index: int, slots: dict[str, int], last_use: dict[str, int]) -> Step:
    wanted = tuple(value for value in segment.outputs if value in last_use)
    dying = dict.fromkeys(value for value in segment.inputs if last_use[value] == index)
    return Step(
        segment=segment,
        wanted=wanted,
        inputs=tuple(slots[value] for value in segment.inputs),
        outputs=tuple(slots[value] for value in wanted),
        dead=tuple(slots[value] for value in dying),
    )


def _results(manifest: Manifest, slots: dict[str, int]) -> tuple[Result, ...]:
    taken = {spec.name for spec in manifest.signature.inputs}
    results: list[Result] = []
    for spec in manifest.signature.outputs:
        value = manifest.results[spec.name]
        results.append(Result(spec.name, slots[value], copy=value in taken))
        taken.add(value)
    return tuple(results)
