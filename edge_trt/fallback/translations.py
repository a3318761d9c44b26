# SPDX-License-Identifier: Apache-2.0
"""Which ONNX operators a fallback's ATen and custom operators become.

`torch.onnx` knows most of ATen. Here is what it lacks or reads otherwise than PyTorch does, and
what users add for their own operators:

    from onnxscript import opset20 as op

    @edge_trt.onnx_converter(torch.ops.mylib.scale.default)
    def scale(x, factor):
        return op.Mul(x, factor)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

Translation = Callable[..., Any]
"""A function of onnxscript values, by the names of the operator's schema, to onnxscript values."""

TRANSLATIONS: dict[Any, Translation] = {}


def onnx_converter(*overloads: Any) -> Callable[[Translation], Translation]:
    """Registers the decorated function as the ONNX form of operators, for the fallback.

    Its parameters carry the names of the operator's schema, in the schema's order. Tensors come as
    onnxscript values, everything else as Python values.

    Raises:
        TypeError: a parameter is not in the schema, or an operator has a form already.
    """

    def register(function: Translation) -> Translation:
        parameters = list(inspect.signature(function).parameters)
        for overload in overloads:
            if not isinstance(overload, torch._ops.OpOverload):
                raise TypeError(f"{overload} is no overload: write torch.ops.mylib.scale.default")
            if overload in TRANSLATIONS:
                raise TypeError(f"{overload} has an ONNX form already: {TRANSLATIONS[overload]}")
            names = [a.name for a in overload._schema.arguments]
            unknown = [p for p in parameters if p not in names]
            if unknown:
                raise TypeError(f"{function.__name__}: {unknown} not in {overload._schema}")
            TRANSLATIONS[overload] = function
        return function

    return register
