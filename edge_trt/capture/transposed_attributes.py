# SPDX-License-Identifier: Apache-2.0
"""Lets branches of torch.cond read ``x.T`` and its kin.

Branches are compiled, and what is an attribute of a tensor is then taken for one more input: it
shares memory with the tensor itself, which no two inputs of torch.cond may. Methods are not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any
from unittest.mock import patch


@contextlib.contextmanager
def attributes_as_methods() -> Generator[None]:
    """While an export runs, ``x.T``, ``x.mT``, ``x.H`` and ``x.mH`` of branches are calls."""
    from torch._dynamo.variables.tensor import TensorVariable  # export imports it, torch does not

    with contextlib.ExitStack() as stack:
        for name, handler in _HANDLERS.items():
            stack.enter_context(patch.object(TensorVariable, name, handler, create=True))
        yield


def _reversed(tensor: Any, tx: Any) -> Any:
    dims = range(tensor.ndim - 1, -1, -1) if tensor.ndim else ()
    return _call(tensor, tx, "permute", *dims) if len(dims) else None


def _method(name: str, *arguments: int) -> Callable[[Any, Any], Any]:
    return lambda tensor, tx: _call(tensor, tx, name, *arguments)


def _call(tensor: Any, tx: Any, method: str, *arguments: int) -> Any:
    from torch._dynamo.variables import ConstantVariable

    return tensor.call_method(tx, method, [ConstantVariable.create(n) for n in arguments], {})


_HANDLERS = {
    "method_attr_T": _reversed,
    "method_attr_mT": _method("transpose", -2, -1),
    "method_attr_H": _method("adjoint"),
    "method_attr_mH": _method("adjoint"),
}
"""What the compiler asks of its tensors for an attribute; None leaves it to the compiler."""
