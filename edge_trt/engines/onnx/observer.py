# SPDX-License-Identifier: Apache-2.0
"""Runs a network and shows what its tensors hold, a bounded part of them at a time.

    observer = Observer(network, names)
    for group in observer.run(feeds):
        for name, array in group.items(): ...
    outputs = observer.outputs

It runs into buffers that are used again, for fresh ones of many megabytes make a run half as long
again: small ones in one piece with two sets of buffers, larger ones cut into pieces with one set
each, so that all shown tensors are in memory once and not twice. Where that is too much, the
buffers are fresh. Nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edge_trt.engines.onnx.runner import CpuRunner
from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.types import ShapeError, TensorType

LIMIT = 64 << 20
"""Bytes of shown tensors that one piece may have; a single tensor may be larger."""

WORTH_CUTTING = 8 << 20
"""Bytes of shown tensors of which two sets are no harm: every piece costs a little time."""

Group = dict[str, np.ndarray]


class Observer:
    """A network of which any tensor can be seen.

    Arrays of a group are overwritten when the group after the next one is asked for.

    Args:
        network: a network that passes `verify`.
        names: the tensors to show.
        shapes: shapes of the inputs that are usual, by name, to judge sizes by.
        limit: bytes of a piece.
        threads: threads of one operator, 0 for as many as there are cores.
    """

    def __init__(
        self,
        network: Network,
        names: Sequence[str],
        shapes: Mapping[str, tuple[int, ...]],
        *,
        limit: int = LIMIT,
        threads: int = 0,
    ) -> None:
        self._network = network
        self._names = set(names)
        sizes = _sizes(network, shapes)
        self.shown_bytes = sum(size for t, size in sizes.items() if t.name in self._names)
        whole = self.shown_bytes <= limit
        if whole and self.shown_bytes > WORTH_CUTTING:
            limit = self.shown_bytes // 2
        parts = _cut(network.nodes, self._names, sizes, limit)
        # A piece's results are looked at while the next one runs: one alone needs them twice.
        sets = (2 if len(parts) == 1 else 1) if whole else 0
        self._pieces = [_Piece(network, p, self._names, sets=sets, threads=threads) for p in parts]
        self.outputs: Group = {}

    def run(self, feeds: Mapping[str, np.ndarray]) -> Iterator[Group]:
        """Runs once; `outputs` has the network's outputs when the last group was taken."""
        shown = {t.name: feeds[t.name] for t in self._network.inputs if t.name in self._names}
        values: Group = dict(feeds)
        for i, piece in enumerate(self._pieces):
            values |= piece.run(values)
            shown |= {name: values[name] for name in piece.shown}
            yield shown
            shown = {}
            later = {n for p in self._pieces[i + 1 :] for n in p.reads}
            later |= {t.name for t in self._network.outputs}
            values = {name: array for name, array in values.items() if name in later}
        self.outputs = {t.name: values[t.name] for t in self._network.outputs}


class _Piece:
    """Consecutive nodes of a network in a session of their own."""

    def __init__(
        self, network: Network, nodes: Sequence[Node], names: set[str], *, sets: int, threads: int
    ) -> None:
        computed = [t for node in nodes for t in node.outputs]
        own = set(computed)
        reads = dict.fromkeys(
            t for node in nodes for t in node.inputs if not t.is_constant and t not in own
        )
        inside = set(nodes)
        later = {t for node in network.nodes if node not in inside for t in node.inputs}
        given = [t for t in computed if t.name in names or t in later or t in network.outputs]
        part = Network(network.name, [*reads], given, [*nodes])
        self.reads = [t.name for t in reads]
        self.shown = [t.name for t in computed if t.name in names]
        # Who looks counts the piece before at the same time, in a thread of its own.
        spin = not names
        self._runner = CpuRunner(part, outputs=[t.name for t in given], threads=threads, spin=spin)
        self._sets = sets
        self._shapes: list[tuple[int, ...]] = []
        self._spare: list[Group] = []

    def run(self, values: Mapping[str, np.ndarray]) -> Group:
        """The results that are shown or read later, in one of `sets` sets of arrays if any."""
        feeds = {name: values[name] for name in self.reads}
        shapes = [array.shape for array in feeds.values()]
        if shapes != self._shapes:  # other sizes: the results tell what they need
            self._spare, self._shapes = [], shapes
        if len(self._spare) < self._sets or not self._sets:
            results = self._runner.run(feeds)
            if self._sets:
                self._spare.append(results)
            return results
        self._spare.reverse()
        self._runner.run_into(feeds, self._spare[-1])
        return self._spare[-1]


def _cut(
    nodes: Sequence[Node], names: set[str], sizes: Mapping[Tensor, int], limit: int
) -> list[list[Node]]:
    """Consecutive nodes whose shown results stay within the limit."""
    pieces: list[list[Node]] = [[]]
    filled = 0
    for node in nodes:
        size = sum(sizes[t] for t in node.outputs if t.name in names)
        if filled and filled + size > limit:
            pieces.append([])
            filled = 0
        pieces[-1].append(node)
        filled += size
    return pieces


def _sizes(network: Network, shapes: Mapping[str, tuple[int, ...]]) -> dict[Tensor, int]:
    """Bytes of every tensor; sizes that depend on values count as 1."""
    return {tensor: _bytes(found) for tensor, found in usual_types(network, shapes).items()}


def usual_types(
    network: Network, shapes: Mapping[str, tuple[int, ...]]
) -> dict[Tensor, TensorType]:
    """Types of all tensors for inputs of these shapes; what values decide stays symbolic."""
    types = {t: t.type.with_shape(shapes.get(t.name, t.shape)) for t in network.inputs}
    for node in network.nodes:
        inputs = [types.get(t, t.type) for t in node.inputs]
        try:
            inferred = node.layer.infer(*inputs)
        except ShapeError:  # a size that a value decides
            inferred = tuple(t.type for t in node.outputs)
        found = (inferred,) if isinstance(inferred, TensorType) else inferred
        types.update(zip(node.outputs, found, strict=True))
    return types


def _bytes(type_: TensorType) -> int:
    count = 1
    for size in type_.shape:
        count *= size if isinstance(size, int) else 1
    return count * type_.dtype.numpy.itemsize
