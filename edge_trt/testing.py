# SPDX-License-Identifier: Apache-2.0
"""For tests of your own converters: a model compiled and held against PyTorch.

def test_scale():
    edge_trt.testing.check(lambda x: torch.ops.mylib.scale(x, 2.0), torch.randn(2, 3))
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from edge_trt.capture import capture
from edge_trt.lowering.eager import eager, vary
from edge_trt.network.size_bounds import size_range
from edge_trt.pipeline import compile
from edge_trt_runtime import load
from edge_trt_runtime.manifest import Range, Signature, TensorSpec

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle

__all__ = ["check"]

_RANDOM = 2


def check(
    model: nn.Module | Callable[..., Any],
    inputs: Any,
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    build: bool | None = None,
    **options: Any,
) -> Bundle:
    """Compiles a model without any fallback and compares it with PyTorch.

    It runs on the CPU engine, at the given sizes and at both ends of every range, on the example
    and on random inputs. With TensorRT-RTX installed, its builder has to take the network too.

    Args:
        model: a module, or a function of tensors.
        inputs: as for `edge_trt.compile`.
        rtol: largest difference allowed, as a part of the largest number of the output.
        atol: largest difference allowed besides.
        build: whether to build a TensorRT-RTX plan; None does if it is installed.
        **options: other fields of `CompileOptions`.

    Returns:
        The bundle.

    Raises:
        AssertionError: an output differs; the text says which, where and by how much.
        EdgeTrtError: the model can't be compiled, or something would fall back.
    """
    module = model if isinstance(model, nn.Module) else _Function(model)
    target = ("cpu", "rtx") if (_builder_is_there() if build is None else build) else "cpu"
    options = {"target": target, "fallback": "forbid", **options}
    bundle = compile(module.eval(), inputs, **options)
    captured = capture(module.eval(), inputs, bundle.options)
    reference = eager(captured.program)
    with tempfile.TemporaryDirectory(prefix="edge_trt-") as folder:
        bundle.save(Path(folder, "model.edge"))
        with load(Path(folder, "model.edge")) as session:
            for where, arrays in _cases(bundle.signature, captured.examples):
                wanted = reference([torch.as_tensor(array) for array in arrays.values()])
                for (name, got), expected in zip(session.run(arrays).items(), wanted, strict=True):
                    _compare(f"{name} {where}", got, expected, rtol, atol)
    bundle.path = None  # it went with the folder
    return bundle


def _cases(
    signature: Signature, examples: Sequence[torch.Tensor]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The example, and random inputs, at the sizes of each end of the ranges."""
    names = [spec.name for spec in signature.inputs]
    for seed in range(_RANDOM):
        tensors = vary(examples, seed) if seed else examples
        arrays = dict(zip(names, (tensor.numpy() for tensor in tensors), strict=True))
        yield f"of random inputs {seed}" if seed else "of the example", arrays
        for end in ("min", "max") if signature.dims else ():
            yield (
                f"at the {end} sizes",
                {
                    spec.name: np.resize(arrays[spec.name], _shape(spec, signature.dims, end))
                    for spec in signature.inputs
                },
            )


def _shape(spec: TensorSpec, dims: Mapping[str, Range], end: str) -> list[int]:
    return [getattr(size_range(size, dims, spec.name), end) for size in spec.shape]


def _compare(what: str, got: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> None:
    if got.shape != expected.shape or got.dtype != expected.dtype:
        raise AssertionError(
            f"{what} is {got.dtype}{list(got.shape)}, PyTorch gives "
            f"{expected.dtype}{list(expected.shape)}"
        )
    if np.array_equal(got, expected, equal_nan=got.dtype.kind == "f"):
        return
    one, other = got.astype(np.float64), expected.astype(np.float64)
    difference = np.abs(one - other)
    limit = atol + rtol * float(np.nanmax(np.abs(other), initial=0.0))
    wrong = ~(difference <= limit) & ~((one == other) | (np.isnan(one) & np.isnan(other)))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{what} differs in {int(wrong.sum())} of {wrong.size} elements, first at {place}: "
            f"{got[place]!r}, PyTorch gives {expected[place]!r} (allowed: {limit:.3g})"
        )


class _Function(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        if isinstance(function, FunctionType | MethodType):
            self.forward = function  # with the names of its parameters

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


def _builder_is_there() -> bool:
    from importlib.util import find_spec

    return find_spec("tensorrt_rtx") is not None
