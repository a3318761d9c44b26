# SPDX-License-Identifier: Apache-2.0
"""What TensorRT says of a plan's layers: their times, and where they come from."""

from __future__ import annotations

import functools
from typing import Any

import msgspec


class _Layer(msgspec.Struct):
    """What is read of the inspector's description of a layer, by its names."""

    Name: str
    Metadata: str = ""


def attach_profiler(trt: Any, context: Any) -> dict[str, float]:
    """Let a context report its layers from now on; return milliseconds by layer, which add up.

    A context keeps every profiler that it was ever given, so it should get one only.
    """
    times: dict[str, float] = {}
    context.profiler = _profiler_class(trt)(times)
    return times


def layer_descriptions(trt: Any, engine: Any) -> dict[str, str]:
    """Return the metadata of an engine's layers by their names, where it was kept.

    It was when the plan was built with detailed profiling verbosity, and not for a lean runtime:
    that has no inspector.
    """
    if not hasattr(trt, "EngineInspector"):
        return {}
    inspector = engine.create_engine_inspector()
    found: dict[str, str] = {}
    for index in range(engine.num_layers):
        text = inspector.get_layer_information(index, trt.LayerInformationFormat.JSON)
        try:
            layer = msgspec.json.decode(text, type=_Layer)
        except msgspec.DecodeError:  # a name alone, of a plan without details
            continue
        found[layer.Name] = layer.Metadata
    return found


@functools.cache
def _profiler_class(trt: Any) -> Any:
    class Profiler(trt.IProfiler):
        """Adds up the times of each layer."""

        def __init__(self, times: dict[str, float]) -> None:
            trt.IProfiler.__init__(self)
            self.times = times

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times[layer_name] = self.times.get(layer_name, 0.0) + ms

    return Profiler
