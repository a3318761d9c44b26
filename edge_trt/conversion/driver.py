# SPDX-License-Identifier: Apache-2.0
"""Converts one TensorRT block of the lowered graph into a network.

The driver walks the graph once. For each call it binds arguments by schema, hands them to the
converter, and compares every result with the type that torch inferred: a converter that gets a
shape or type wrong fails here, at compile time, naming the line of the model.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from edge_trt.conversion.blame import at_node, converter_failed
from edge_trt.conversion.context import Context
from edge_trt.conversion.origin import origin_of
from edge_trt.conversion.registry import Converter, bind, lookup, support
from edge_trt.conversion.size_functions import SizeFunction, tabulated
from edge_trt.conversion.size_ranges import bounds
from edge_trt.conversion.size_samples import differing
from edge_trt.network.graph import Network, NetworkError, Tensor, check_type
from edge_trt.network.types import UNKNOWN, Dim, DType, TensorType

__all__ = ["convert", "convert_branch", "to_numpy"]


def convert(
    block: fx.GraphModule,
    name: str,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dim_names: Mapping[str, str] | None = None,
) -> Network:
    """Converts a lowered graph, all of whose calls have converters.

    Args:
        block: placeholders are tensors or sizes (0-d int64 inputs then); one flat output tuple.
        name: name of the network.
        input_names: names of the network's inputs; default: names of the placeholders.
        output_names: names of the network's outputs; default: output_0, output_1, ...
        dim_names: torch's names of symbolic sizes -> the signature's.

    Raises:
        ConversionError: a call can't be converted, or its result differs from torch's.
    """
    (results,) = block.graph.output_node().args
    results = results if isinstance(results, (tuple, list)) else (results,)
    outputs = dict(zip(output_names or _numbered(results), results, strict=True))
    driver = _Driver(block, Context(Network(name), dim_names))
    driver.run(input_names, outputs)
    driver.finish(outputs)
    return driver.network


def convert_branch(
    context: Context, branch: fx.GraphModule, operands: Sequence[Any]
) -> list[Tensor]:
    """Converts a branch of a conditional into layers of the network of a context.

    Args:
        context: where the layers go; one that is not used for anything else.
        branch: a lowered graph with a placeholder per operand.
        operands: tensors of that network, and numbers.

    Raises:
        ConversionError: as `convert`.
    """
    driver = _Driver(branch, context)
    placeholders = branch.graph.find_nodes(op="placeholder")
    for node, operand in zip(placeholders, operands, strict=True):
        driver.values[node] = driver.sized(node.meta["val"], operand)
    driver.walk()
    results: Any = branch.graph.output_node().args[0]
    return [driver.result(result) for result in results]


def _numbered(results: Sequence[Any]) -> list[str]:
    return [f"output_{i}" for i in range(len(results))]


class _Driver:
    def __init__(self, block: fx.GraphModule, context: Context) -> None:
        self.block = block
        self.network = context.network
        self.context = context
        self.values: dict[fx.Node, Any] = {}

    def run(self, input_names: Sequence[str] | None, reserved: Iterable[str]) -> None:
        placeholders = self.block.graph.find_nodes(op="placeholder")
        names = input_names or [n.name for n in placeholders]
        for node, name in zip(placeholders, names, strict=True):
            self.values[node] = self._input(node, name)
        self.network.reserve(reserved)  # a parameter may have the name of an output
        self.walk()

    def walk(self) -> None:
        for node in self.block.graph.nodes:
            if node.op == "get_attr":
                self.values[node] = self._attribute(node)
            elif node.op == "call_function":
                self.values[node] = self._call(node)

    def finish(self, outputs: Mapping[str, Any]) -> None:
        for name, result in outputs.items():
            tensor = self.result(result)
            if tensor.producer is None or tensor in self.network.outputs:
                tensor = self.context.identity(tensor)
            self.network.mark_output(tensor, name)
        self.network.prune()
        self.context.name_constants()

    def result(self, argument: Any) -> Tensor:
        return self.context.as_tensor(self._value(argument))

    def _input(self, node: fx.Node, name: str) -> Tensor:
        value = node.meta["val"]
        if isinstance(value, torch.Tensor):
            return self.network.input(name, self.context.type_of(value))
        if not isinstance(value, torch.SymInt):
            raise at_node(node, f"a network has no input for {value}, a number that is not whole")
        size = self.network.input(name, TensorType(DType.INT64, ()))  # of another segment
        self.sized(value, size)
        return size

    def _attribute(self, node: fx.Node) -> Tensor | fx.GraphModule:
        value: Any = self.block
        for part in str(node.target).split("."):
            value = getattr(value, part)
        if isinstance(value, fx.GraphModule):  # a branch
            return value
        return self.network.constant(to_numpy(value), node.meta.get("fqn", str(node.target)))

    def _call(self, node: fx.Node) -> Any:
        reason, entry = support(node), lookup(node.target)
        if entry is None or reason is not None:
            raise at_node(node, reason or f"{node.target} has no converter")
        self.network.origin = origin_of(node)
        try:
            value = node.meta.get("val")
            self.context.results = tuple(map(self.context.type_of, _tensors(value)))
            result = entry.function(self.context, **self._arguments(node, entry))
            return self._size(value, result) if entry.evaluates else self._checked(node, result)
        except Exception as error:
            # Whatever a converter does wrong, the person who wrote the model wants to know where.
            raise converter_failed(node, entry.function, error) from error

    def _arguments(self, node: fx.Node, entry: Converter) -> dict[str, Any]:
        bound = bind(node)
        if entry.evaluates:
            return {p: self._value(v) for p, v in zip(entry.parameters, bound.values())}  # noqa: B905
        return {name: self._tabulated(self._value(bound[name])) for name in entry.parameters}

    def _value(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return self.values[argument]
        if isinstance(argument, (list, tuple)):
            return [self._value(a) for a in argument]
        return argument

    def _tabulated(self, argument: Any) -> Any:
        """An argument of a converter, which does not know functions of sizes."""
        if isinstance(argument, list):
            return [self._tabulated(a) for a in argument]
        return tabulated(self.context, argument) if isinstance(argument, SizeFunction) else argument

    def _size(self, value: Any, result: Any) -> Any:
        """`sized`, of an evaluator's result that may be one."""
        whole = isinstance(value, (int, torch.SymInt))
        if whole and not isinstance(result, (int, float, Tensor, SizeFunction)):
            raise NetworkError(f"it returns {_told(result)}: return the size, a number or a Tensor")
        return self.sized(value, result)

    def sized(self, value: Any, result: Any) -> Any:
        """An evaluator's result, as a number or under its name if torch knows either."""
        if not isinstance(value, (int, torch.SymInt)):
            return result
        known = self.context.dim_of(value)
        if isinstance(known, int):
            return known
        if isinstance(result, SizeFunction):
            result = tabulated(self.context, result)
        if isinstance(result, Tensor):
            self.context.name_size(result, known)
            self.context.ranges[result] = bounds(value)
            if isinstance(value, torch.SymInt) and value.node.expr.is_nonnegative:
                self.context.counts.add(result)
        return result

    def _checked(self, node: fx.Node, result: Any) -> Any:
        """Compares with torch, and takes over torch's names of symbolic sizes."""
        results = result if isinstance(result, (tuple, list)) else (result,)
        expected = self.context.results
        if len(results) != len(expected):
            raise NetworkError(
                f"it returns {len(results)} results, and torch gives {len(expected)}"
            )
        for tensor, type in zip(results, expected, strict=True):
            if not isinstance(tensor, Tensor):
                raise NetworkError(f"it returns {_told(tensor)}: return the Tensor that ctx makes")
            merged = check_type(type, tensor.type, "result")
            for axis, sizes in enumerate(zip(tensor.shape, type.shape, strict=True)):
                self._compare_sizes(axis, *sizes)
            tensor.type = merged
        return result

    def _compare_sizes(self, axis: int, here: Dim, wanted: Dim) -> None:
        """Compares sizes that are written differently, at some values of what is open."""
        if here == wanted or UNKNOWN in (here, wanted):
            return
        at = differing(self.environment, here, wanted, self.context.dim_names)
        # A number where the other says that the size varies: torch has specialised what is fixed.
        mixed = isinstance(here, int) is not isinstance(wanted, int)
        if at or (at is None and mixed):
            found = f"size {axis} of the result is {here}, torch gives {wanted}"
            raise NetworkError(f"{found}: {at}" if at else found)

    @functools.cached_property
    def environment(self) -> ShapeEnv | None:
        """What torch knows of the symbols in open sizes, if there are any."""
        for node in self.block.graph.nodes:
            for value in (node.meta.get("val"), *getattr(node.meta.get("val"), "shape", ())):
                if isinstance(value, torch.SymInt):
                    return value.node.shape_env
        return None


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A CPU tensor's elements without a copy; bfloat16 through `ml_dtypes`."""
    tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(DType.BFLOAT16.numpy)
    return tensor.numpy()


def _told(value: Any) -> str:
    """A wrong result, short enough for a sentence."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    return f"a {type(value).__module__}.{type(value).__qualname__}"


def _tensors(value: Any) -> list[torch.Tensor]:
    values = value if isinstance(value, (tuple, list)) else [value]
    return [v for v in values if isinstance(v, torch.Tensor)]
