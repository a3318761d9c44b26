# SPDX-License-Identifier: Apache-2.0
"""Runs a network in memory, for tests, calibration and checks of a partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
import onnxruntime
from onnx import GraphProto, ModelProto, TensorProto, helper

from edge_trt.engines.onnx.graph import ExternalData
from edge_trt.engines.onnx.integers import mostly_in_float
from edge_trt.engines.onnx.model import emit
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.weights import place_of
from edge_trt_runtime.executors.onnx import FOLDER, WITHOUT_INTEGERS, is_x86

_ONLY_ERRORS = 3


class CpuRunner:
    """A network in an ONNX Runtime session, which reads the weights where they are.

    Args:
        network: a network that passes `verify`; its constants must not change while this lives.
        outputs: names of tensors to give instead of the network's outputs; any tensor will do.
        threads: threads of one operator, 0 for as many as there are cores.
        spin: whether these wait for work in a loop; without, another thread can have the core.

    Raises:
        KeyError: `outputs` names a tensor that the network does not have.
    """

    def __init__(
        self,
        network: Network,
        *,
        outputs: Sequence[str] | None = None,
        threads: int = 0,
        spin: bool = True,
    ) -> None:
        self._inputs = {t.name: t for t in network.inputs}
        chosen = network.outputs if outputs is None else _find(network, outputs)
        self._given = [t for t in chosen if t.producer is None]
        self._outputs = [t for t in chosen if t.producer is not None]
        self._weights: dict[str, Tensor] = {}
        model = emit(network, _in_memory, outputs=self._outputs)
        _use_float32(model.graph)
        self._session = self._load(model, network, threads, spin) if self._outputs else None

    def _load(self, model: ModelProto, network: Network, threads: int, spin: bool) -> Any:
        options = cast("Any", onnxruntime).SessionOptions()
        options.log_severity_level = _ONLY_ERRORS
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
        if mostly_in_float(network) and is_x86():
            options.add_session_config_entry(*WITHOUT_INTEGERS)
        arrays = _external_arrays(model.graph, network.constants())
        if folder := _read_from_file(model.graph, arrays):
            options.add_session_config_entry(FOLDER, str(folder))
        # ONNX Runtime uses the arrays in place, so the session's owner keeps them alive.
        self._arrays = arrays
        values = [_value(array) for array in arrays.values()]
        options.add_external_initializers(list(arrays), values)
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs once.

        Args:
            feeds: an array per input of the network, by name.

        Raises:
            KeyError: an input is missing.
        """
        results = {t.name: feeds[t.name] if t.data is None else t.data for t in self._given}
        if self._session is not None:
            arrays = {name: _fed(feeds[name]) for name in self._inputs}
            names = [t.name for t in self._outputs]
            found = self._session.run(names, arrays)
            for tensor, array in zip(self._outputs, found, strict=True):
                results[tensor.name] = array.astype(tensor.dtype.numpy, copy=False)
        return results

    def run_into(self, feeds: Mapping[str, np.ndarray], results: Mapping[str, np.ndarray]) -> None:
        """Runs once, and leaves the results in arrays of an earlier run with these input shapes.

        Fresh arrays of many megabytes make a run half as long again.
        """
        if self._session is None:
            return
        binding = self._session.io_binding()
        for name in self._inputs:
            binding.bind_cpu_input(name, _fed(feeds[name]))
        for tensor in self._outputs:
            array = results[tensor.name]
            binding.bind_output(
                tensor.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data
            )
        self._session.run_with_iobinding(binding)


def run_network(
    network: Network, feeds: Mapping[str, np.ndarray], *, outputs: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Runs a network once: `CpuRunner(network, outputs=outputs).run(feeds)`."""
    return CpuRunner(network, outputs=outputs).run(feeds)


def _find(network: Network, names: Sequence[str]) -> list[Tensor]:
    tensors = {t.name: t for t in (*network.inputs, *network.constants())}
    tensors.update((t.name, t) for node in network.nodes for t in node.outputs)
    return [tensors[name] for name in names]


def _in_memory(tensor: Tensor) -> ExternalData:
    """A location by the tensor's identity; nothing is ever read from there."""
    assert tensor.data is not None
    return ExternalData(f"memory:{tensor.name}", 0, tensor.data.nbytes)


def _external_arrays(graph: GraphProto, constants: Iterable[Tensor]) -> dict[str, np.ndarray]:
    by_location = {_in_memory(t).location: t.data for t in constants if t.data is not None}
    arrays: dict[str, np.ndarray] = {}
    for initializer in graph.initializer:
        if initializer.data_location == TensorProto.EXTERNAL:
            array = by_location[initializer.external_data[0].value]
            arrays[initializer.name] = np.ascontiguousarray(array).reshape(tuple(initializer.dims))
    return arrays


def _read_from_file(graph: GraphProto, arrays: dict[str, np.ndarray]) -> Path | None:
    """Has the session read what is mapped from a file by itself, and takes that out of `arrays`.

    What ONNX Runtime arranges anew it then drops from memory, weight by weight: ResNet-50 takes
    176 MB to load so, at its peak, and 352 MB from arrays.

    Returns:
        The folder of the file, None if nothing is mapped from one.
    """
    folder: Path | None = None
    for initializer in graph.initializer:
        place = place_of(arrays[initializer.name]) if initializer.name in arrays else None
        if place is None or folder not in (None, place[0].parent):
            continue
        path, extent = place
        folder = path.parent
        del initializer.external_data[:], arrays[initializer.name]
        for key, value in [("location", path.name), *extent.entries()]:
            initializer.external_data.add(key=key, value=value)
    return folder


def _value(array: np.ndarray) -> Any:
    if array.dtype == ml_dtypes.bfloat16:
        bits = array.view(np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, TensorProto.BFLOAT16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _fed(array: np.ndarray) -> np.ndarray:
    wide = array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array
    return np.ascontiguousarray(wide).reshape(wide.shape)


def _use_float32(graph: GraphProto) -> None:
    """Makes bfloat16 inputs and outputs float32: ONNX Runtime can't hand them to numpy."""
    for info in graph.input:
        if info.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
            _replace(graph, info.name, f"{info.name}/bfloat16", reading=True)
            cast = helper.make_node(
                "Cast", [info.name], [f"{info.name}/bfloat16"], to=TensorProto.BFLOAT16
            )
            graph.node.insert(0, cast)
    for info in graph.output:
        if info.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
            _replace(graph, info.name, f"{info.name}/bfloat16", reading=False)
            graph.node.append(
                helper.make_node(
                    "Cast", [f"{info.name}/bfloat16"], [info.name], to=TensorProto.FLOAT
                )
            )


def _replace(graph: GraphProto, old: str, new: str, *, reading: bool) -> None:
    """Renames a value where it is read, and, unless only `reading`, where it is computed."""
    for node in graph.node:
        for field in (node.input,) if reading else (node.input, node.output):
            for i, name in enumerate(field):
                if name == old:
                    field[i] = new
