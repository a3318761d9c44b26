# SPDX-License-Identifier: Apache-2.0
"""What is said when a converter or its condition fails: whose code, which line, what to do.

A converter is often a user's. What it raises reaches people who compile a model, who want to know
which call of the model it was, and people who wrote the converter, who want its line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import fx

from edge_trt.conversion.origin import operator_of, origin_of
from edge_trt.errors import ConversionError
from edge_trt.user_code import is_user_code, reason, user_line


def at_node(node: fx.Node, message: str, hint: str = "") -> ConversionError:
    """An error that says where in the model it is."""
    origin = origin_of(node)
    where = {"node": node.name, "module": origin.module, "source": origin.source}
    return ConversionError(f"{message} ({origin})", **where, hint=hint)


def converter_failed(
    node: fx.Node, function: Callable[..., Any], error: Exception
) -> ConversionError:
    """What to raise for an exception of a converter, or of the comparison of its results."""
    if isinstance(error, ConversionError):  # of a call in a branch: it says more
        return error
    if not is_of_user(function):
        hint = (
            "this is a mistake of edge_trt, please report it; fallback_ops="
            f"{operator_of(node)!r} keeps the operator out of TensorRT"
        )
        return at_node(node, f"{operator_of(node)}: {reason(error)}", hint)
    line = user_line(error)[0] or f" in {_place(function)}"
    return at_node(
        node,
        f"the converter of {operator_of(node)} is wrong: {reason(error)}{line}",
        "mend it there, or give it a condition (when=), so that such calls fall back",
    )


def asked(node: fx.Node, predicate: Callable[..., Any], *args: Any, **named: Any) -> str | None:
    """The answer of a converter's condition.

    Raises:
        ConversionError: it fails, or answers neither None nor a sentence.
    """
    try:
        answer = predicate(*args, **named)
        if answer is None or (isinstance(answer, str) and answer.strip()):
            return answer
        raise TypeError(f"it answers {answer!r}, and has to answer None or a sentence with why not")
    except Exception as error:
        line = user_line(error)[0] or f" in {_place(predicate)}"
        what = f"the condition (when=) of the converter of {operator_of(node)} is wrong"
        hint = "mend it there; tensors reach a condition as torch.fx.Node, with node.meta['val']"
        raise at_node(node, f"{what}: {reason(error)}{line}", hint) from error


def is_of_user(function: Callable[..., Any]) -> bool:
    """Whether a function is not edge_trt's own."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is None or is_user_code(code.co_filename)


def _place(function: Callable[..., Any]) -> str:
    """Where a function is written."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:  # a partial, or an object that can be called
        return f"a {type(function).__name__} of {type(function).__module__}"
    return f"{code.co_name}, {code.co_filename}:{code.co_firstlineno}"
