# SPDX-License-Identifier: Apache-2.0
"""Which of a segment's plans a device can run, and why it is none."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.tensorrt.budget import PlanOptions
from edge_trt_runtime.tensorrt.engine import LoadedPlan
from edge_trt_runtime.tensorrt.header import read_header
from edge_trt_runtime.tensorrt.library import Library, open_library, release
from edge_trt_runtime.tensorrt.shared import PLANS, Key, Lease

if TYPE_CHECKING:
    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.manifest import Engine, Segment

_FAMILY = {"tensorrt_lean": "tensorrt", "tensorrt_dispatch": "tensorrt"}
"""Whose plans a flavour runs, where not its own."""


MODEL = "/proc/device-tree/model"


def board_model() -> str:
    """Return what this board calls itself; empty where there is no device tree, as on a PC."""
    try:
        with open(MODEL, "rb") as file:
            return file.read().rstrip(b"\0").decode(errors="replace").strip()
    except OSError:
        return ""


def find_plan(
    bundle: OpenBundle, segment: Segment, device: Device, stream: int = 1
) -> tuple[Engine, Library] | str:
    """Choose a plan of a segment for a device.

    The files are only looked at: nothing of them is given to TensorRT.

    Args:
        bundle: Where plans are.
        segment: For which.
        device: The GPU.
        stream: Which of its placements; where none of its plans can be used, that of stream 1.

    Returns:
        The plan and the library that runs it, or why there is none, as a sentence.
    """
    engines = [e for e in bundle.manifest.engines if e.segment == segment.name]
    plans = [e for e in engines if e.flavour != "onnx" and e.stream in (1, stream)]
    # Boards of one family share GPU and TensorRT, so other boards' plans would run here too. A
    # stream's own comes before stream 1, but not that of another board: they are planned together.
    here, targets = board_model(), [engine.target for engine in plans]
    plans.sort(
        key=lambda engine: (
            engine.details.get("built_on", here) != here,
            targets.index(engine.target),
            -engine.stream,
        )
    )
    if not plans:
        return f"the bundle has no plan for {device.describe()}"
    reasons: list[str] = []
    for engine in plans:
        try:
            library = open_library(engine.flavour)
            _check(bundle, engine, library, device)
        except EngineError as error:
            reasons.append(f"its plan for {engine.target} can't be used: {error}")
        else:
            return engine, library
    return "; ".join(reasons)


def lane_of(engine: Engine, segment: Segment, options: PlanOptions) -> str:
    """Return where a plan runs: one that was built with a DLA core says so, on any board."""
    core = engine.details.get("dla_core")
    lane = segment.device if core is None else f"dla:{core}"
    if options.dla_core is not None and lane.startswith("dla"):
        return f"dla:{options.dla_core}"
    return lane


def load_plan(
    bundle: OpenBundle,
    segment: Segment,
    engine: Engine,
    library: Library,
    device: Device,
    options: PlanOptions,
) -> Lease:
    """Deserialize a plan from its file, or share it; the device must be current.

    Raises:
        UnfitOptionError: When the plan or this TensorRT lacks what an option asks for.
        EngineError: When TensorRT refuses it, or there is no room for it.
    """
    lane = lane_of(engine, segment, options)
    kind, _, core = lane.partition(":")
    entry = bundle.manifest.files[engine.path]

    def load() -> LoadedPlan:
        # TensorRT takes what it needs while it deserializes, so nothing is copied before.
        with (
            open(bundle.path(engine.path), "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as data,
        ):
            number = int(core) if kind == "dla" else None
            return LoadedPlan(library, data, segment.name, number, options.weight_streaming)

    key = Key(device.ordinal, lane, entry.sha256, options.weight_streaming)
    lease = PLANS.acquire(key, device, segment.name, entry.size, load)
    if options.persistent_cache is not None:
        try:
            lease.plan.context(options.persistent_cache)  # refused now, and not by the first run
        except BaseException:
            lease.release()
            raise
    return lease


def _check(bundle: OpenBundle, engine: Engine, library: Library, device: Device) -> None:
    """Refuse a plan of another GPU, TensorRT or length."""
    wanted = str(engine.details.get("compute_capability", ""))
    here = ".".join(map(str, device.capability))
    if wanted and wanted != here:
        raise EngineError(
            f"it was built for compute capability {wanted}, and this is {device.describe()}",
            hint=_rebuild(bundle),
        )
    with open(bundle.path(engine.path), "rb") as file:
        header = read_header(file.read(64))
    if header is None:
        raise EngineError(f"{engine.path!r} is no plan of TensorRT", hint=_rebuild(bundle))
    family = _FAMILY.get(library.flavour, library.flavour)
    if header.flavour != family:
        raise EngineError(
            f"{engine.path!r} was written by {header.flavour}, not by {family}",
            hint=_rebuild(bundle),
        )
    size = bundle.manifest.files[engine.path].size
    if header.size and header.size != size:
        raise EngineError(
            f"{engine.path!r} says that it has {header.size} bytes, and has {size}",
            hint="copy the whole bundle again, or build it again",
        )
    _check_version(bundle, engine, library, header.release)


def _check_version(
    bundle: OpenBundle, engine: Engine, library: Library, built: tuple[int, ...]
) -> None:
    """Refuse a plan of another version, unless it was built for that."""
    said = release(str(engine.details.get("version", "")))
    if said and said != built:
        raise EngineError(
            f"{engine.path!r} is from version {_text(built)}, and its manifest says {_text(said)}",
            hint="copy the whole bundle again, or build it again",
        )
    if engine.details.get("version_compatible"):
        if built <= library.release:
            return
        hint = f"update {library.flavour} to {_text(built)}, or build it again here"
    elif built == library.release:
        return
    else:
        hint = _rebuild(bundle)
    raise EngineError(
        f"it was built by version {_text(built)}, and this machine has {library}", hint=hint
    )


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _rebuild(bundle: OpenBundle) -> str:
    return f"build it again on this machine: `edge_trt build {bundle.root}`"
