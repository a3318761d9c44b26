# SPDX-License-Identifier: Apache-2.0
"""Walks a network definition layer by layer.

Every result is held against the shape and type that TensorRT itself inferred for it, so that a
misread attribute is noticed at its layer and not at the network's output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from tests.support.trt_interpreter import (
    control,
    convolution,
    elementwise,
    index,
    matrix,
    normalization,
    quantization,
    reduction,
    shape,
    window,
)
from tests.support.trt_interpreter.call import (
    NARROW_FLOATS,
    Call,
    Function,
    UnsupportedLayerError,
    from_numpy,
    torch_dtype,
    widen,
)
from tests.support.trt_interpreter.control import Item, Part, Region, Values

CLASSES = {
    **control.CLASSES,
    "LRN": "ILRNLayer",
    "SOFTMAX": "ISoftMaxLayer",
    "ELEMENTWISE": "IElementWiseLayer",
    "TOPK": "ITopKLayer",
    "PARAMETRIC_RELU": "IParametricReLULayer",
}
"""Layer types whose class is not spelled as the rule below would."""

FUNCTIONS: dict[str, Function] = {
    **convolution.FUNCTIONS,
    **elementwise.FUNCTIONS,
    **index.FUNCTIONS,
    **matrix.FUNCTIONS,
    **normalization.FUNCTIONS,
    **quantization.FUNCTIONS,
    **reduction.FUNCTIONS,
    **shape.FUNCTIONS,
    **window.FUNCTIONS,
    "ASSERTION": lambda call: (),
}


class Interpreter:
    """Executes one `INetworkDefinition`.

    Args:
        definition: the network; it has to outlive the interpreter.
        trt: the module that it belongs to (`tensorrt_rtx`, `tensorrt`).

    Raises:
        UnsupportedLayerError: the network has a kind of layer that is not known.
    """

    def __init__(self, definition: Any, trt: ModuleType) -> None:
        self.definition = definition
        layers = [_typed(definition.get_layer(i), trt) for i in range(definition.num_layers)]
        for kind, layer in layers:
            if kind not in FUNCTIONS and kind not in control.KINDS:
                raise Call(layer, kind, ()).unsupported("this kind of layer is not known")
        self._kinds = Counter(kind for kind, _ in layers)
        self._parts = control.structure([Item(kind, layer) for kind, layer in layers])
        self._last_use = _last_uses(self._parts)
        self._outputs = [definition.get_output(i).name for i in range(definition.num_outputs)]

    @property
    def kinds(self) -> Counter[str]:
        """How many layers of each kind the network has."""
        return self._kinds

    def run(self, feeds: Mapping[str, np.ndarray | torch.Tensor]) -> Values:
        """Computes every output.

        Args:
            feeds: a value for every network input, of its type; sizes within its dimensions.

        Raises:
            ValueError: an input is missing, unknown, or of another type or shape than declared.
            UnsupportedLayerError: an attribute or value that is not known, naming its layer.
            AssertionError: a result contradicts the shape or type that TensorRT inferred.
        """
        values = self._feeds(feeds)
        with torch.no_grad():
            for position, part in enumerate(self._parts):
                self._execute(part, values)
                for name in self._last_use.get(position, ()):
                    if name not in self._outputs:
                        del values[name]
        return {name: values[name] for name in self._outputs}

    def _feeds(self, feeds: Mapping[str, np.ndarray | torch.Tensor]) -> Values:
        inputs = [self.definition.get_input(i) for i in range(self.definition.num_inputs)]
        names = {tensor.name for tensor in inputs}
        if names != set(feeds):
            raise ValueError(f"the network has inputs {sorted(names)}, not {sorted(feeds)}")
        values: Values = {}
        for tensor in inputs:
            feed = feeds[tensor.name]
            value = from_numpy(feed) if isinstance(feed, np.ndarray) else feed.detach()
            if problem := _mismatch(value, tensor):
                raise ValueError(f"input {tensor.name} {problem}")
            values[tensor.name] = value
        return values

    def _execute(self, part: Part, values: Values) -> None:
        if isinstance(part, Region):
            loops = part.of_kind("TRIP_LIMIT")
            run = control.run_loop if loops else control.run_conditional
            run(part, values, self._execute, _define)
            return
        call = Call(part.layer, part.kind, _inputs(part.layer, values))
        _define(part, FUNCTIONS[part.kind](call), values)


def _define(item: Item, result: torch.Tensor | Sequence[torch.Tensor], values: Values) -> None:
    """Adds a layer's results to the values, once they agree with what TensorRT says of them."""
    kind, layer = item.kind, item.layer
    results = (result,) if isinstance(result, torch.Tensor) else tuple(result)
    if len(results) != layer.num_outputs:
        raise AssertionError(f"{kind} {layer.name!r} gave {len(results)} outputs")
    for i, computed in enumerate(results):
        tensor = layer.get_output(i)
        value = _rounded(computed, torch_dtype(tensor.dtype))
        if problem := _mismatch(value, tensor):
            raise AssertionError(f"{kind} layer {layer.name!r}: output {problem}")
        if tensor.name in values:
            raise ValueError(f"two tensors are called {tensor.name!r}")
        values[tensor.name] = value


def layer_kinds(definition: Any) -> Counter[str]:
    """How many layers of each kind a network definition has."""
    return Counter(definition.get_layer(i).type.name for i in range(definition.num_layers))


def _typed(layer: Any, trt: ModuleType) -> tuple[str, Any]:
    """A layer's kind, and the layer as its own class: the API shows attributes only then.

    The kind has to be read first: activation and pooling layers have a `type` of their own.
    """
    kind = layer.type.name
    spelled = "".join(part.capitalize() for part in kind.split("_"))
    name = CLASSES.get(kind, f"I{spelled}Layer")
    layer.__class__ = getattr(trt, name, type(layer))
    return kind, layer


def _inputs(layer: Any, values: Values) -> tuple[torch.Tensor | None, ...]:
    tensors = (layer.get_input(i) for i in range(layer.num_inputs))
    return tuple(None if t is None else widen(values[t.name]) for t in tensors)


def _last_uses(parts: Sequence[Part]) -> dict[int, list[str]]:
    """Which values nobody reads after the part at a position."""
    last: dict[str, int] = {}
    for position, part in enumerate(parts):
        for name in (*part.reads, *part.gives):
            last[name] = position
    result: dict[int, list[str]] = {}
    for name, position in last.items():
        result.setdefault(position, []).append(name)
    return result


def _rounded(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Brings what was computed in float32 back to the narrow type it has in the network."""
    return value.to(dtype) if dtype in NARROW_FLOATS and value.dtype is torch.float32 else value


def _mismatch(value: torch.Tensor, tensor: Any) -> str:
    """How a value contradicts a network tensor's declaration; empty when it does not."""
    dtype, declared = torch_dtype(tensor.dtype), tuple(tensor.shape)
    if value.dtype is not dtype:
        return f"is {value.dtype}, TensorRT says {dtype}"
    fits = len(declared) == value.ndim and all(
        known in (-1, size) for known, size in zip(declared, value.shape, strict=True)
    )
    return "" if fits else f"has shape {list(value.shape)}, TensorRT says {list(declared)}"


__all__ = ["FUNCTIONS", "Interpreter", "UnsupportedLayerError", "layer_kinds"]
