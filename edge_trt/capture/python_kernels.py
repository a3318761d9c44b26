# SPDX-License-Identifier: Apache-2.0
"""Functions of ours in the place of an operator's own decomposition, while an export runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

from torch._C import DispatchKey

KEYS = (DispatchKey.CompositeImplicitAutograd, DispatchKey.Autograd)


@contextlib.contextmanager
def python_kernel(operator: Any, kernel: Callable[..., Any]) -> Generator[None]:
    """Lets torch.export find an operator's result by `kernel`; calls of it stay whole.

    Args:
        operator: an overload that PyTorch takes apart by itself, such as
            `torch.ops.aten.batch_norm.default`.
        kernel: takes the call's arguments.
    """
    kernels = operator.py_kernels
    added = [key for key in KEYS if key not in kernels]
    try:
        for key in added:
            kernels[key] = kernel
        operator._dispatch_cache.clear()
        yield
    finally:
        for key in added:
            del kernels[key]
        operator._dispatch_cache.clear()


def own(operator: Any, *arguments: Any, **keywords: Any) -> Any:
    """What the operator gives by its own decomposition."""
    return operator._op_dk(DispatchKey.CompositeImplicitAutograd, *arguments, **keywords)
