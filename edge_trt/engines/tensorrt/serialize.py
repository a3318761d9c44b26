# SPDX-License-Identifier: Apache-2.0
"""TensorRT's build itself: the plan in memory, or in a file as it is serialized."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from edge_trt.engines.plan_file import PlanFile


def serialize(
    builder: Any,
    definition: Any,
    config: Any,
    trt: Any,
    file: PlanFile | None,
    on_read: Callable[[], None],
) -> memoryview | None:
    """Builds a network, and returns the plan; None where TensorRT refuses.

    Args:
        builder: TensorRT's.
        definition: TensorRT's network.
        config: TensorRT's builder configuration.
        trt: The module that all three belong to.
        file: Where the plan goes; without one it stays in memory that TensorRT owns.
        on_read: Called before each piece of the plan: TensorRT has read all weights by then.

    Raises:
        OSError: The file can't be written.
    """
    if file is None:
        plan = builder.build_serialized_network(definition, config)
        return None if plan is None else memoryview(plan)
    if hasattr(builder, "build_serialized_network_to_stream"):  # from 10.13 on
        writer = _writer_class(trt)(file, on_read)
        done = builder.build_serialized_network_to_stream(definition, config, writer)
    else:
        plan = builder.build_serialized_network(definition, config)
        done = plan is not None and file.write(memoryview(plan)) > 0
    return file.finish() if done or file.error else None


@functools.cache
def _writer_class(trt: Any) -> Any:
    class Writer(trt.IStreamWriter):
        """The method's name is TensorRT's."""

        def __init__(self, file: PlanFile, on_read: Callable[[], None]) -> None:
            trt.IStreamWriter.__init__(self)
            self.file = file
            self.on_read = on_read

        def write(self, data: bytes) -> int:
            self.on_read()
            return self.file.write(data)

    return Writer
