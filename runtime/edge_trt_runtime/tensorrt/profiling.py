# SPDX-License-Identifier: Apache-2.0
"""What TensorRT says of a plan's layers: their times, and where they come from."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

import msgspec


class EngineLayer(msgspec.Struct, frozen=True):
    """What the inspector says of a layer, by its own names.

    Attributes:
        Name: Of the layer, or of all that were fused into it.
        LayerType: What kind it is; ``DLA`` of what runs there (by NVIDIA's samples, unsure).
        Metadata: What the network's layers were given.
    """

    Name: str
    LayerType: str = ""
    Metadata: str = ""

    @property
    def on_dla(self) -> bool:
        """Whether a DLA runs it."""
        return "dla" in self.LayerType.lower()


def attach_profiler(trt: Any, context: Any) -> dict[str, float]:
    """Let a context report its layers from now on; return milliseconds by layer, which add up.

    A context keeps every profiler that it was ever given, so it should get one only.
    """
    times: dict[str, float] = {}
    context.profiler = _profiler_class(trt)(times)
    return times


def engine_layers(trt: Any, engine: Any) -> list[EngineLayer]:
    """Return the layers of an engine, as far as they are described.

    They are when the plan was built with detailed profiling verbosity, and not for a lean runtime:
    that has no inspector.
    """
    if not hasattr(trt, "EngineInspector"):
        return []
    inspector = engine.create_engine_inspector()
    found: list[EngineLayer] = []
    for index in range(engine.num_layers):
        text = inspector.get_layer_information(index, trt.LayerInformationFormat.JSON)
        with suppress(msgspec.DecodeError):  # a name alone, of a plan without details
            found.append(msgspec.json.decode(text, type=EngineLayer))
    return found


def layer_descriptions(trt: Any, engine: Any) -> dict[str, str]:
    """Return the metadata of an engine's layers by their names, where it was kept."""
    return {layer.Name: layer.Metadata for layer in engine_layers(trt, engine)}


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
