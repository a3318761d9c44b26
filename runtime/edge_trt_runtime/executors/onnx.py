# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU: network segments of target ``cpu``, and fallback programs as ONNX.

``InferenceSession.run`` and not IOBinding: it borrows the caller's arrays and hands out its own
buffers, and is faster per call (one layer of 64 values: 3.6 us against 4.8 us; an output of
16 MB: 0.37 ms against 0.95 ms, where copying out of the binding dominates).
"""

from __future__ import annotations

import importlib
import platform
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.executors.external_data import external_files

if TYPE_CHECKING:
    import numpy as np

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.layers import RawTime
    from edge_trt_runtime.plan import Step

MOSTLY_IN_FLOAT = "mostly_in_float"
"""Detail of an engine of which most int8 products are computed in float on x86."""

WITHOUT_INTEGERS = ("session.disable_quant_qdq", "1")
"""Setting by which weights are dequantized once, when the model is loaded, and not in each run."""

FOLDER = "session.model_external_initializers_file_folder_path"
"""Setting that says where the files of weights are."""

_SILENT = 4  # only what kills the process: every other failure arrives as an exception as well


class OnnxExecutor:
    """A segment as an ONNX model whose weights lie in the bundle's ``weights.safetensors``."""

    def __init__(self, bundle: OpenBundle, step: Step, path: str, threads: int | None) -> None:
        """Load the model at ``path`` of ``bundle``.

        Raises:
            BundleError: When the model's weights are not in the bundle.
            EngineError: When ONNX Runtime is missing or refuses the model.
        """
        self._segment = step.segment.name
        self._inputs = step.segment.inputs
        self._wanted = list(step.wanted)
        self._opened = bundle, path, threads
        model = bundle.read(path)
        self._check_weights(bundle, path, model)
        try:
            ort: Any = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise EngineError(
                f"segment {self._segment!r} runs by ONNX Runtime, which can't be imported",
                segment=self._segment,
                hint="pip install 'edge-trt-runtime[cpu]'",
            ) from error
        try:
            session = ort.InferenceSession(
                model, _options(ort, bundle, path, threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no base of their own
            raise self._failure(f"{path!r} could not be loaded", error) from error
        self._check_names(path, session)
        self._run = session.run

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Run the segment; see :class:`edge_trt_runtime.executors.Executor`."""
        try:
            return self._run(self._wanted, dict(zip(self._inputs, inputs)))  # noqa: B905 (hot)
        except Exception as error:
            raise self._failure("ONNX Runtime failed while running it", error) from error

    def layer_times(self, inputs: list[np.ndarray], runs: int) -> list[RawTime]:
        """Run the segment some times in a session of its own, and tell what its layers take."""
        from edge_trt_runtime.executors.onnx_layers import profiled

        bundle, path, threads = self._opened
        ort: Any = importlib.import_module("onnxruntime")

        def open_session(options: Any) -> Any:
            providers = ["CPUExecutionProvider"]
            return ort.InferenceSession(bundle.read(path), options, providers=providers)

        named = dict(zip(self._inputs, inputs, strict=True))
        try:
            return profiled(open_session, _options(ort, bundle, path, threads), named, runs)
        except Exception as error:
            raise self._failure("ONNX Runtime failed while profiling it", error) from error

    def _check_weights(self, bundle: OpenBundle, path: str, model: bytes) -> None:
        """Refuse a model that reads a file which is not a whole file of the bundle."""
        try:
            files = external_files(model)
        except ValueError as error:
            raise self._failure(f"{path!r} is not an ONNX model", error) from error
        for file in files:
            bundle.path(file)

    def _check_names(self, path: str, session: Any) -> None:
        has = [value.name for value in session.get_inputs()]
        gives = {value.name for value in session.get_outputs()}
        if sorted(has) != sorted(self._inputs):
            raise self._failure(f"{path!r} takes {has}, and the manifest says {self._inputs}")
        if missing := [name for name in self._wanted if name not in gives]:
            raise self._failure(f"{path!r} does not give {missing[0]!r}")

    def _failure(self, what: str, error: Exception | None = None) -> EngineError:
        reason = f" ({_first_line(error)})" if error else ""
        return EngineError(f"segment {self._segment!r}: {what}{reason}", segment=self._segment)


def is_x86() -> bool:
    """Whether this machine is one where that setting is of use: ARM computes in integers."""
    return platform.machine().lower() in ("x86_64", "amd64")


def _options(ort: Any, bundle: OpenBundle, path: str, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    if threads is not None:
        options.intra_op_num_threads = threads
    engine = next((e for e in bundle.manifest.engines if e.path == path), None)
    if engine is not None and engine.details.get(MOSTLY_IN_FLOAT) and is_x86():
        options.add_session_config_entry(*WITHOUT_INTEGERS)
    # Spin during a run, not between runs: as fast as spinning always (2.1 ms either way for 16
    # convolutions) with a seventh of its CPU time when frames come at 30 Hz (15 % against 107 %).
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry(FOLDER, bundle.root)
    return options


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
