# SPDX-License-Identifier: Apache-2.0
"""PyTorch on the CPU: fallback segments kept as ``torch.export`` programs.

The only module of the runtime that imports torch, and only when a bundle has such a segment.
Loading a ``.pt2`` can run code: load bundles of people you trust.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.executors.torch_operators import load_program, missing_operators

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch.export import ExportedProgram

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.plan import Step


_NUMBERS = (bool, int, float, complex)


class TorchExecutor:
    """A segment as a ``.pt2`` program: tensors and plain numbers in, tensors and numbers out."""

    def __init__(self, bundle: OpenBundle, step: Step, path: str, threads: int | None) -> None:
        """Load the program at ``path`` of ``bundle``.

        Args:
            bundle: Where the file is.
            step: The segment, and which of its outputs are needed.
            path: The program's path in the bundle.
            threads: CPU threads; torch has one setting for the whole process.

        Raises:
            EngineError: When torch is missing or can't load the program.
        """
        segment = step.segment
        self._segment = segment.name
        file = bundle.path(path)
        try:
            import torch
        except ImportError as error:
            raise EngineError(
                f"segment {self._segment!r} is a PyTorch program and torch can't be imported",
                segment=self._segment,
                hint="pip install torch, or build the bundle with --fallback onnxruntime to see "
                "what keeps it from running without",
            ) from error
        self._refuse_unknown(missing_operators(torch, file))
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            program = load_program(torch, file)
            self._module = program.module()
        except Exception as error:
            raise self._failure(f"{path!r} could not be loaded", error) from error
        self._torch: Any = torch
        self._from_numpy: Any = torch.from_numpy  # pyright: ignore[reportUnknownMemberType]
        self._numbers = _number_inputs(program)
        types = {spec.name: NUMPY_DTYPES[spec.dtype] for spec in segment.tensors}
        self._wanted = [
            (index, types[value])
            for index, value in enumerate(segment.outputs)
            if value in step.wanted
        ]
        self._state = _storages(torch, _state(program))
        if len(self._numbers) != len(segment.inputs):
            raise self._failure(
                f"{path!r} takes {len(self._numbers)} inputs, and the manifest says "
                f"{len(segment.inputs)}"
            )

    def _refuse_unknown(self, operators: list[str]) -> None:
        """Refuse a program for the operators that nothing has registered."""
        if operators:
            raise EngineError(
                f"segment {self._segment!r} calls {operators[0]}, which nothing has registered "
                "here",
                segment=self._segment,
                hint=f"install or import the library that brings {operators[0]}, in a build that "
                "fits this torch, before loading the bundle",
            )

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Run the segment; see :class:`edge_trt_runtime.executors.Executor`."""
        try:
            with self._torch.inference_mode():
                arguments = [
                    array.item() if number else self._tensor(array)
                    for array, number in zip(inputs, self._numbers, strict=True)
                ]
                return self._arrays(_listed(self._module(*arguments)), arguments)
        except Exception as error:
            raise self._failure("PyTorch failed while running it", error) from error

    def _tensor(self, array: Any) -> torch.Tensor:
        """Share the array's memory where torch can: writable, with no negative strides."""
        if not array.flags.writeable or min(array.strides, default=0) < 0:
            array = array.copy()
        elif not array.flags.aligned:
            array = np.require(array, requirements=["A"])
        return self._from_numpy(array)

    def _arrays(self, outputs: list[Any], arguments: list[Any]) -> list[np.ndarray]:
        """Return the wanted outputs as arrays that share memory with nothing."""
        taken = self._state | _storages(self._torch, arguments)
        return [self._array(outputs[index], dtype, taken) for index, dtype in self._wanted]

    def _array(self, value: Any, dtype: np.dtype, taken: set[int]) -> np.ndarray:
        if type(value) in _NUMBERS:
            return np.asarray(value, dtype)
        value = value.detach().resolve_conj().resolve_neg().contiguous()
        if value.untyped_storage().data_ptr() in taken:
            value = value.clone()
        taken.add(value.untyped_storage().data_ptr())
        return value.numpy()

    def _failure(self, what: str, error: Exception | None = None) -> EngineError:
        reason = f" ({str(error).strip().partition(chr(10))[0]})" if error else ""
        return EngineError(f"segment {self._segment!r}: {what}{reason}", segment=self._segment)


def _number_inputs(program: ExportedProgram) -> list[bool]:
    """Say for each user input whether the program takes a plain number and not a tensor."""
    from torch.export.graph_signature import InputKind, TensorArgument

    return [
        not isinstance(spec.arg, TensorArgument)
        for spec in program.graph_signature.input_specs
        if spec.kind is InputKind.USER_INPUT
    ]


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if type(outputs) in (tuple, list) else [outputs]


def _state(program: ExportedProgram) -> Iterable[Any]:
    yield from program.state_dict.values()
    yield from program.constants.values()


def _storages(torch: Any, values: Iterable[Any]) -> set[int]:
    """Return the addresses of the memory that tensors among ``values`` use."""
    return {
        value.untyped_storage().data_ptr() for value in values if isinstance(value, torch.Tensor)
    }
