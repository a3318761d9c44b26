# SPDX-License-Identifier: Apache-2.0
"""Emission of Slice: as Slice, Expand and Pad where these say it, else by computed indices."""

from __future__ import annotations

from dataclasses import dataclass

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.engines.onnx.padding import pad
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Slice
from edge_trt.network.types import DType

BEFORE_FIRST = -(2**63) + 1
"""An end that ONNX reads as "before element 0", where -1 would be the last element."""

Numbers = tuple[int, ...] | Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A slice with its operands sorted out."""

    layer: Slice
    x: Tensor
    start: Numbers
    shape: Numbers
    fill: Tensor | None

    def sizes(self) -> tuple[int, ...] | None:
        """The x's sizes along the sliced axes, when all are known."""
        dims = [self.x.shape[a] for a in self.layer.axes]
        return tuple(d for d in dims if isinstance(d, int)) if self._all_known(dims) else None

    @staticmethod
    def _all_known(dims: list[int | str]) -> bool:
        return all(isinstance(d, int) for d in dims)


@emit_layer.register(Slice)
def _(layer: Slice, graph: Graph, x: Tensor, *extra: Tensor) -> Value:
    operands = iter(extra)
    start = next(operands) if layer.start is None else layer.start
    shape = next(operands) if layer.shape is None else layer.shape
    window = Window(layer, x, _known(start), _known(shape), next(operands, None))
    if layer.mode == "STRICT_BOUNDS":
        return _strided(window, graph)
    if set(layer.stride) != {1}:
        return _indexed(window, graph)
    if layer.mode == "FILL":
        return _filled(window, graph)
    return _extended(window, graph) or _indexed(window, graph)


def _known(numbers: Numbers) -> Numbers:
    if isinstance(numbers, Tensor) and numbers.data is not None:
        return tuple(int(n) for n in numbers.data)
    return numbers


def _numbers(graph: Graph, numbers: Numbers) -> Value:
    if isinstance(numbers, tuple):
        return graph.constant(numbers)
    return numbers if numbers.dtype is DType.INT64 else graph.cast(numbers, DType.INT64)


# -- inside the bounds -----------------------------------------------------------------------


def _strided(window: Window, graph: Graph) -> Value:
    """Slice for the elements that are read, then Expand for strides of 0."""
    value = window.x if _takes_all(window) else _read(window, graph)
    if 0 not in window.layer.stride:
        return value
    return graph.op("Expand", value, _expansion(window, graph))


def _takes_all(window: Window) -> bool:
    """Whether every element is read, so that nothing is left but to expand."""
    layer, sizes = window.layer, window.sizes()
    if sizes is None or not isinstance(window.start, tuple) or any(window.start):
        return False
    if isinstance(window.shape, tuple):
        read = [1 if s == 0 else n for n, s in zip(window.shape, layer.stride, strict=True)]
        return tuple(read) == sizes and set(layer.stride) <= {0, 1}
    return not any(layer.stride) and set(sizes) == {1}


def _read(window: Window, graph: Graph) -> str:
    stride = window.layer.stride
    steps = tuple(s or 1 for s in stride)
    start, count = window.start, window.shape
    axes = graph.constant(window.layer.axes)
    if isinstance(start, tuple) and isinstance(count, tuple):
        read = (1 if s == 0 else n for n, s in zip(count, stride, strict=True))
        ends = [first + n * s for first, n, s in zip(start, read, steps, strict=True)]
        ends = [BEFORE_FIRST if end < 0 else end for end in ends]
        return graph.op(
            "Slice", window.x, graph.constant(start), graph.constant(ends), axes,
            graph.constant(steps),
        )  # fmt: skip
    number: Value = _numbers(graph, count)
    if 0 in stride:
        number = graph.op("Where", graph.constant([s == 0 for s in stride], DType.BOOL),
                          graph.constant(1), number)  # fmt: skip
    reach = number if set(steps) == {1} else graph.op("Mul", number, graph.constant(steps))
    first = _numbers(graph, start)
    end = reach if start == (0,) * len(steps) else graph.op("Add", first, reach)
    if min(steps) < 0:
        below = graph.op("Less", end, graph.constant(0))
        end = graph.op("Where", below, graph.constant(BEFORE_FIRST), end)
    return graph.op("Slice", window.x, first, end, axes, graph.constant(steps))


def _expansion(window: Window, graph: Graph) -> Value:
    """The shape for Expand: ones except along axes with a stride of 0."""
    layer = window.layer
    places = {axis: i for i, axis in enumerate(layer.axes) if layer.stride[i] == 0}
    if isinstance(window.shape, tuple):
        count = window.shape
        return graph.constant(
            [count[places[a]] if a in places else 1 for a in range(window.x.rank)]
        )
    if tuple(places) == tuple(range(window.x.rank)):
        return _numbers(graph, window.shape)
    number = graph.op("Concat", _numbers(graph, window.shape), graph.constant([1]), axis=0)
    order = [places.get(axis, len(layer.axes)) for axis in range(window.x.rank)]
    return graph.op("Gather", number, graph.constant(order))


# -- beyond the bounds -----------------------------------------------------------------------


def _filled(window: Window, graph: Graph) -> Value:
    """The elements inside, then Pad; Pad alone could cut too, but not in every version."""
    sizes = window.sizes()
    if sizes is None or isinstance(window.start, Tensor) or isinstance(window.shape, Tensor):
        return _filled_at_run_time(window, graph)
    triples = list(zip(window.start, window.shape, sizes, strict=True))
    low = [min(max(start, 0), size) for start, _, size in triples]
    high = [
        max(min(start + n, size), lo) for (start, n, size), lo in zip(triples, low, strict=True)
    ]
    before = [min(max(-start, 0), n) for start, n, _ in triples]
    inside = [hi - lo for lo, hi in zip(low, high, strict=True)]
    after = [n - b - i for n, b, i in zip(window.shape, before, inside, strict=True)]
    value: Value = window.x
    axes = graph.constant(window.layer.axes)
    if tuple(inside) != sizes:
        value = graph.op("Slice", value, graph.constant(low), graph.constant(high), axes)
    if any(before) or any(after):
        ends, layer = [*before, *after], window.layer
        value = pad(graph, value, ends, window.fill, layer.axes, window.x.rank)
    return value


def _filled_at_run_time(window: Window, graph: Graph) -> str:
    start, count = _numbers(graph, window.start), _numbers(graph, window.shape)
    sizes, zero = _sizes(window, graph), graph.constant(0)
    end = graph.op("Add", start, count)
    low = graph.op("Min", graph.op("Max", start, zero), sizes)
    high = graph.op("Max", graph.op("Min", end, sizes), low)
    before = graph.op("Min", graph.op("Max", graph.op("Neg", start), zero), count)
    outside = graph.op("Sub", count, graph.op("Sub", high, low))
    after = graph.op("Sub", outside, before)
    axes = graph.constant(window.layer.axes)
    value = graph.op("Slice", window.x, low, high, axes)
    ends = graph.op("Concat", before, after, axis=0)
    return pad(graph, value, ends, window.fill, window.layer.axes, window.x.rank)


def _extended(window: Window, graph: Graph) -> Value | None:
    """Pad for the modes that repeat elements, where it says the same; else None."""
    sizes, mode = window.sizes(), {"CLAMP": "edge", "REFLECT": "reflect"}.get(window.layer.mode)
    if sizes is None or isinstance(window.start, Tensor) or isinstance(window.shape, Tensor):
        return None
    before = [-start for start in window.start]
    triples = zip(window.start, window.shape, sizes, strict=True)
    after = [start + n - size for start, n, size in triples]
    reach = [size - (mode == "reflect") for size in sizes]
    ends = zip(before, after, reach, strict=True)
    if mode is None or not all(0 <= b <= r and 0 <= a <= r for b, a, r in ends):
        return None
    x, ends = window.x, [*before, *after]
    return pad(graph, x, ends, None, window.layer.axes, x.rank, mode)


def _sizes(window: Window, graph: Graph) -> Value:
    known = window.sizes()
    if known is not None:
        return graph.constant(known)
    return graph.op("Gather", graph.op("Shape", window.x), graph.constant(window.layer.axes))


def _indexed(window: Window, graph: Graph) -> Value:
    """A gather per axis at computed places. ONNX Runtime folds what is known beforehand."""
    layer = window.layer
    start, count = _numbers(graph, window.start), _numbers(graph, window.shape)
    sizes = _sizes(window, graph)
    value: Value = window.x
    inside: Value | None = None
    for i, axis in enumerate(layer.axes):
        first, number, size = (
            graph.op("Gather", t, graph.constant(i)) for t in (start, count, sizes)
        )
        steps = graph.op("Range", graph.constant(0), number, graph.constant(1))
        places = graph.op("Add", first, graph.op("Mul", steps, graph.constant(layer.stride[i])))
        if layer.mode == "FILL":
            within = _within(graph, places, size, window.x.rank - 1 - axis)
            inside = within if inside is None else graph.op("And", inside, within)
        value = graph.op("Gather", value, _wrapped(layer, graph, places, size), axis=axis)
    if inside is None:
        return value
    assert window.fill is not None
    return graph.where(inside, value, window.fill, window.x.dtype)


def _within(graph: Graph, places: str, size: str, behind: int) -> str:
    """Which places exist, shaped to broadcast along their axis."""
    low = graph.op("Less", places, graph.constant(0))
    inside = graph.op("And", graph.op("Not", low), graph.op("Less", places, size))
    if behind == 0:
        return inside
    return graph.op("Unsqueeze", inside, graph.constant(range(1, 1 + behind)))


def _wrapped(layer: Slice, graph: Graph, places: str, size: str) -> str:
    """Places brought into the bounds the way the mode says."""
    if layer.mode == "WRAP":
        return graph.op("Mod", places, size)
    last = graph.op("Sub", size, graph.constant(1))
    if layer.mode in ("FILL", "CLAMP"):
        return graph.op("Max", graph.op("Min", places, last), graph.constant(0))
    period = graph.op("Max", graph.op("Mul", last, graph.constant(2)), graph.constant(1))
    phase = graph.op("Mod", places, period)
    return graph.op("Min", phase, graph.op("Sub", period, phase))
