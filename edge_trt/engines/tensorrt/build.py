# SPDX-License-Identifier: Apache-2.0
"""Network in, plan out."""

from __future__ import annotations

import functools
import os
import re
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_trt.engines.plan_file import PlanFile
from edge_trt.engines.tensorrt.dla import Placed, place
from edge_trt.engines.tensorrt.emit import Emitted, emit
from edge_trt.engines.tensorrt.flavours import Flavour, network_flags
from edge_trt.engines.tensorrt.interrupt import interrupts_to
from edge_trt.engines.tensorrt.profiles import add_profiles
from edge_trt.engines.tensorrt.progress import BuildProgress, Progress, progress_monitor
from edge_trt.engines.tensorrt.serialize import serialize
from edge_trt.engines.tensorrt.settings import BuildSettings
from edge_trt.engines.tensorrt.timing_cache import TimingCache
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network, Node
from edge_trt.network.weights import release, releasing
from edge_trt_runtime.tensorrt.messages import Messages, error_recorder, logging_to

LONGEST_REASON = 500
"""Characters of TensorRT's text in an error's message; `BuildError.log` has all of it."""


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A serialized engine, and how it came about.

    Attributes:
        plan: The bytes, in memory that TensorRT owns or mapped from their file; not copied.
        layers: Layers handed to TensorRT, constants included.
        emit_seconds: Time to hand them over and check them.
        build_seconds: Time of TensorRT's build.
        timing_cache: What became of the timing cache; empty when none was asked for.
        warnings: What TensorRT warned of.
        placed: What became of a placement on a DLA; None where there was none.
    """

    plan: memoryview
    layers: int
    emit_seconds: float
    build_seconds: float
    timing_cache: str
    warnings: tuple[str, ...]
    placed: Placed | None = None


def build_plan(
    network: Network,
    *,
    flavour: Flavour,
    settings: BuildSettings | None = None,
    progress: Progress | None = None,
    file: PlanFile | None = None,
) -> PlanResult:
    """Compiles a network with TensorRT.

    Args:
        network: The network; its constants may be memory-mapped and are not copied.
        flavour: Which TensorRT.
        settings: Options and the ranges of symbolic sizes.
        progress: Called with stage, fraction and text while it goes on, from any thread. What it
            raises ends the build and is raised here.
        file: Where the plan is written; without one it stays in memory.

    Raises:
        BuildError: TensorRT refuses the network; the text names layer, module and source line.
        KeyboardInterrupt: Ctrl-C; the build was ended first.
        OSError: The file can't be written.
    """
    settings = settings or BuildSettings()
    warnings = Messages()
    with logging_to(flavour.module, warnings) as log:
        return _build(network, flavour, settings, progress, file, log, warnings)


def _build(
    network: Network,
    flavour: Flavour,
    settings: BuildSettings,
    progress: Progress | None,
    file: PlanFile | None,
    log: Any,
    warnings: Messages,
) -> PlanResult:
    trt, messages = flavour.module, Messages()
    recorder = error_recorder(trt, messages)
    builder = _builder(flavour, log)
    builder.error_recorder = recorder
    config = builder.create_builder_config()
    _configure(config, flavour, settings)
    started = time.perf_counter()
    flags = network_flags(trt, weak=settings.dla is not None and settings.dla.weak)
    emitted = emit(network, trt, builder.create_network(flags), messages)
    add_profiles(network, emitted, builder, config, settings, messages)
    placed = None if settings.dla is None else place(network, emitted, config, trt, settings.dla)
    emit_seconds = time.perf_counter() - started
    if progress is not None:
        progress("emit", 1.0, f"{emitted.definition.num_layers} layers")
    cache = TimingCache(settings, flavour)
    cache.attach(config)
    started = time.perf_counter()
    plan = _serialized(builder, emitted, config, flavour, network, progress, file)
    if plan is None:
        raise _failure(network, emitted.layers, messages.take() or warnings.take())
    seconds = time.perf_counter() - started
    cache.store(config)
    layers = int(emitted.definition.num_layers)
    texts = tuple(warnings.texts)
    return PlanResult(plan, layers, emit_seconds, seconds, cache.state, texts, placed)


def _serialized(
    builder: Any,
    emitted: Emitted,
    config: Any,
    flavour: Flavour,
    network: Network,
    progress: Progress | None,
    file: PlanFile | None,
) -> memoryview | None:
    """Runs TensorRT's build; None where it refuses. What the progress raises is raised here."""
    state = BuildProgress(progress)
    monitor = progress_monitor(flavour.module, state)  # TensorRT's bindings do not hold it
    config.progress_monitor = monitor
    weights = [t.data for t in network.constants() if t.data is not None]
    with interrupts_to(state.cancel), releasing(weights):
        read = functools.partial(release, weights)
        plan = serialize(builder, emitted.definition, config, flavour.module, file, read)
    if state.error is not None:
        raise state.error
    return plan


def _builder(flavour: Flavour, log: Any) -> Any:
    try:
        builder = flavour.module.Builder(log)
    except (TypeError, RuntimeError) as error:  # the bindings' words for a null pointer
        raise BuildError(
            f"{flavour} can't create a builder here: {error}",
            hint="it needs an NVIDIA GPU and its driver: run edge_trt doctor"
            if flavour.needs_gpu
            else "run edge_trt doctor",
        ) from error
    if not flavour.needs_gpu:  # where kernels are measured, nothing else should run
        builder.max_threads = len(os.sched_getaffinity(0))
    return builder


def _configure(config: Any, flavour: Flavour, settings: BuildSettings) -> None:
    trt = flavour.module
    # Layer metadata, our PyTorch names, reaches profiles and the engine inspector only this way.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if settings.optimization_level is not None:
        config.builder_optimization_level = settings.optimization_level
    if settings.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace)
    if settings.weight_streaming:
        _stream_weights(config, settings, trt)
    wanted = settings.compute_capabilities
    if wanted:
        _choose_gpus(config, flavour, wanted)


def _stream_weights(config: Any, settings: BuildSettings, trt: Any) -> None:
    if settings.dla is not None and settings.dla.weak:
        raise BuildError(
            f"TensorRT {trt.__version__} streams weights of strongly typed networks alone, and one "
            "with layers on the DLA is none",
            hint="leave out --weight-streaming, or build with --dla off",
        )
    config.set_flag(trt.BuilderFlag.WEIGHT_STREAMING)


def _choose_gpus(config: Any, flavour: Flavour, wanted: Sequence[str]) -> None:
    if not flavour.has_compute_capabilities:
        raise BuildError(
            f"{flavour} builds for the GPU it runs on, not for compute capability {wanted[0]}",
            hint="leave compute_capabilities out, or build with tensorrt_rtx",
        )
    members: Mapping[str, Any] = flavour.module.ComputeCapability.__members__
    config.num_compute_capabilities = len(wanted)
    for index, capability in enumerate(wanted):
        member = members.get("SM" + capability.replace(".", ""))
        if member is None or not config.set_compute_capability(member, index):
            known = sorted(int(name[2:]) for name in members if re.fullmatch(r"SM\d+", name))
            raise BuildError(
                f"{flavour} does not build for compute capability {capability}",
                hint="it builds for " + ", ".join(f"{n // 10}.{n % 10}" for n in known),
            )


def _failure(network: Network, layers: Mapping[str, Node], texts: Sequence[str]) -> BuildError:
    """TensorRT's reason, with the layer that it names in our words."""
    reason = textwrap.shorten(texts[0], LONGEST_REASON) if texts else "it gives no reason"
    node = next((node for text in texts for node in _named(text, layers)), None)
    if node is None:
        return BuildError(f"TensorRT can't build network {network.name}: {reason}", log=texts)
    return BuildError(
        f"TensorRT can't build layer {node.name} = {node.layer} ({node.origin}): {reason}",
        layer=node.name,
        module=node.origin.module,
        log=texts,
    )


def _named(text: str, layers: Mapping[str, Node]) -> list[Node]:
    """Nodes whose layers a message mentions, in its order.

    `ForeignNode[conv1...fc]` is all that was compiled together, and says nothing of the culprit.
    """
    words = re.findall(r"[\w./]+", re.sub(r"ForeignNode\[[^\]]*\]", "", text))
    return [layers[name] for word in words if (name := word.strip("./")) in layers]
