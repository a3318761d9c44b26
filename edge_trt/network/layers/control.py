# SPDX-License-Identifier: Apache-2.0
"""Loops and conditionals: layers that run networks of their own, their bodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_trt.network.graph import Network
from edge_trt.network.layer import Layer, require
from edge_trt.network.types import (
    UNKNOWN,
    Dim,
    DType,
    Shape,
    ShapeError,
    TensorType,
    merge_dim,
    merge_shapes,
    same_dim,
)


@dataclass(frozen=True, slots=True)
class Loop(Layer):
    """Runs `body` once for each slice along axis 0 of the iterated inputs.

    Inputs: (*initial states, *iterated, *others). The body takes (*states, *slices, *others) and
    gives (*next states, *elements). Results: (*last states, *elements of every step, stacked along
    a new axis 0). With `reverse` the last slice comes first, and each element still lies where the
    slice lay that it was computed from.
    """

    body: Network
    states: int
    iterated: int
    reverse: bool = False

    @property
    def bodies(self) -> dict[str, Network]:
        """The body."""
        return {"body": self.body}

    def narrowed(self, wanted: Sequence[bool]) -> tuple[Layer, list[bool]]:
        """Without the elements that nobody reads; every state may be read in the next step."""
        kept = [place < self.states or read for place, read in enumerate(wanted)]
        return replace(self, body=_narrowed(self.body, kept)), kept

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        first, last = self.states, self.states + self.iterated
        require(self.iterated > 0, "a loop needs something to iterate over")
        require(len(inputs) >= last, f"{len(inputs)} inputs for {last} states and iterated ones")
        require(all(t.rank > 0 for t in inputs[first:last]), "a number can't be iterated over")
        slices = [t.with_shape(t.shape[1:]) for t in inputs[first:last]]
        _check_inputs(self.body, (*inputs[:first], *slices, *inputs[last:]))
        results = [t.type for t in self.body.outputs]
        require(len(results) >= first, f"{self.body.name} gives {len(results)} of {first} states")
        for before, after in zip(inputs, results[:first], strict=False):
            _check_type(before, after, f"a state of {self.body.name}")
        steps = inputs[first].shape[0]
        for other in inputs[first:last]:
            require(same_dim(steps, other.shape[0]), f"{steps} and {other.shape[0]} steps")
            steps = merge_dim(steps, other.shape[0])
        stacked = [t.with_shape((steps, *t.shape)) for t in results[first:]]
        return (*inputs[:first], *stacked)


@dataclass(frozen=True, slots=True)
class IfConditional(Layer):
    """`true_body` or `false_body`, whichever a condition says; only that one is computed.

    Inputs: (condition 0-d bool, *inputs of either body). Both give results of the same types.
    """

    true_body: Network
    false_body: Network

    @property
    def bodies(self) -> dict[str, Network]:
        """Both bodies."""
        return {"true_body": self.true_body, "false_body": self.false_body}

    def narrowed(self, wanted: Sequence[bool]) -> tuple[Layer, list[bool]]:
        """Without the results that nobody reads."""
        bodies = (_narrowed(body, wanted) for body in self.bodies.values())
        return IfConditional(*bodies), list(wanted)

    def infer(self, condition: TensorType, *inputs: TensorType) -> tuple[TensorType, ...]:
        scalar = condition.dtype is DType.BOOL and condition.rank == 0
        require(scalar, f"the condition is {condition}, not one bool")
        for body in self.bodies.values():
            _check_inputs(body, inputs)
        then, otherwise = (body.outputs for body in self.bodies.values())
        require(len(then) == len(otherwise), f"{len(then)} results or {len(otherwise)}")
        pairs = zip(then, otherwise, strict=True)
        return tuple(_either(a.type, b.type) for a, b in pairs)


def _narrowed(body: Network, wanted: Sequence[bool]) -> Network:
    """The body with some of its outputs, and the layers that these need."""
    outputs = [tensor for tensor, read in zip(body.outputs, wanted, strict=True) if read]
    result = replace(body, outputs=outputs)
    result.prune()
    return result


def _check_inputs(body: Network, given: Sequence[TensorType]) -> None:
    wanted = [t.type for t in body.inputs]
    require(len(wanted) == len(given), f"{body.name} takes {len(wanted)} inputs, not {len(given)}")
    for number, (inside, outside) in enumerate(zip(wanted, given, strict=True)):
        _check_type(outside, inside, f"input {number} of {body.name}")


def _check_type(given: TensorType, wanted: TensorType, what: str) -> None:
    require(given.dtype is wanted.dtype, f"{what} is {given}, not {wanted}")
    merge_shapes(given.shape, wanted.shape, what)


def _either(a: TensorType, b: TensorType) -> TensorType:
    """The type of what is either the one or the other."""
    if a.dtype is not b.dtype or a.rank != b.rank:
        raise ShapeError(f"a result is {a} or {b}")
    shape: Shape = tuple(map(_either_dim, a.shape, b.shape))
    return a.with_shape(shape)


def _either_dim(a: Dim, b: Dim) -> Dim:
    require(same_dim(a, b), f"a size is {a} or {b}")
    return a if a == b else UNKNOWN
