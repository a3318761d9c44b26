# SPDX-License-Identifier: Apache-2.0
"""What the layers of a run take, by the modules of the PyTorch model that they come from.

A library times its own layers, which are the network's after fusion. Which module one belongs to is
told by its metadata, where TensorRT keeps what the compiler put there, and else by the names of
the network's layers in its own name: ``conv2d + relu``, ``PWN(sigmoid, mul)``.
"""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.manifest import Segment

_WORD = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_MODULE = re.compile(r"\bmodule ([\w.]+)")


class RawTime(NamedTuple):
    """A layer as a library names and times it.

    Attributes:
        name: The library's.
        seconds: Of one run.
        metadata: What the compiler put there, where the library keeps it.
    """

    name: str
    seconds: float
    metadata: str = ""


def medians(runs: Sequence[Mapping[str, float]], scale: float = 1.0) -> list[tuple[str, float]]:
    """Return names with the median over runs of what each took, times a factor.

    A median, as one run that the system interrupts would outweigh all others in a mean.
    """
    names = dict.fromkeys(name for run in runs for name in run)
    return [(name, scale * median([run.get(name, 0.0) for run in runs])) for name in names]


def check_runs(runs: int) -> None:
    """Refuse a number of runs that gives no median.

    Raises:
        EngineError: When it is less than 1.
    """
    if runs < 1:
        raise EngineError(f"runs is {runs}", hint="give 1 or more")


class LayerTime(NamedTuple):
    """A layer of a run.

    Attributes:
        segment: Its segment.
        layer: As the library calls it; empty for a segment whose library does not tell.
        module: Path of the module as in ``named_modules()``; empty for the model itself, None
            where the layer's name does not tell.
        seconds: At the median of the runs.
    """

    segment: str
    layer: str
    module: str | None
    seconds: float


class Modules:
    """The modules that the layers of a segment's network come from."""

    def __init__(self, bundle: OpenBundle, segment: Segment) -> None:
        """Read the segment's network; a fallback has none, and its modules stay unknown.

        Raises:
            BundleError: When its file is damaged.
        """
        self._by_name: dict[str, str] = {}
        if segment.network is not None:
            self._collect(msgspec.json.decode(bundle.read(segment.network)))

    def of(self, raw: RawTime) -> str | None:
        """Return the module that holds everything in a layer, or None."""
        found = _MODULE.findall(raw.metadata) or [
            module for word in _WORD.findall(raw.name) if (module := self._of(word)) is not None
        ]
        return _common(found) if found else None

    def _of(self, word: str) -> str | None:
        """Return the module of a name, or of the one that a library has made it from."""
        if word in self._by_name:
            return self._by_name[word]
        stem, cut, rest = word.rpartition("_")
        while cut:
            # `relu_nchwc` is relu, laid out otherwise; `relu_7` is another layer, or none of ours.
            if stem in self._by_name and not rest.isdecimal():
                return self._by_name[stem]
            stem, cut, more = stem.rpartition("_")
            rest = f"{more}_{rest}"
        return None

    def _collect(self, tree: Any) -> None:
        """Take names from a network and from the bodies of its loops and branches."""
        if isinstance(tree, list):
            for part in cast("list[Any]", tree):
                self._collect(part)
        if not isinstance(tree, dict):
            return
        entry = cast("dict[str, Any]", tree)
        if "origin" in entry:
            self._by_name[str(entry["name"])] = str(entry["origin"]["module"])
            return
        for part in entry.values():
            self._collect(part)


def layer_times(
    bundle: OpenBundle, segments: Iterable[Segment], times: Mapping[str, Sequence[RawTime]]
) -> list[LayerTime]:
    """Return the layers of a run with their modules, in order.

    Args:
        bundle: Where networks are.
        segments: In the order of the run.
        times: By segment.

    Raises:
        BundleError: When a network's file is damaged.
    """
    found: list[LayerTime] = []
    for segment in segments:
        if segment.name not in times:
            continue
        modules = Modules(bundle, segment)
        found += [
            LayerTime(segment.name, raw.name, modules.of(raw), raw.seconds)
            for raw in times[segment.name]
        ]
    return found


def format_layers(layers: Sequence[LayerTime]) -> str:
    """Return a table for people: what each module takes, the slowest first, and its layers."""
    groups: dict[tuple[str, str], list[LayerTime]] = {}
    for layer in layers:
        groups.setdefault((layer.segment, _label(layer)), []).append(layer)
    total = sum(layer.seconds for layer in layers) or 1.0
    width = max([len("module"), *(len(label) for _, label in groups)])
    lines = [f"{'module':<{width}}  {'ms':>9}  {'share':>6}  segment: layers"]
    for (segment, label), group in sorted(groups.items(), key=lambda item: -_seconds(item[1])):
        seconds = _seconds(group)
        names = ", ".join(dict.fromkeys(layer.layer for layer in group if layer.layer))
        names = names if len(names) <= 60 else f"{names[:57]}..."
        row = f"{label:<{width}}  {seconds * 1e3:9.3f}  {seconds / total:6.1%}  {segment}: {names}"
        lines.append(row.rstrip(": "))
    lines.append(f"{'all':<{width}}  {total * 1e3:9.3f}  {1:6.1%}")
    return "\n".join(lines)


def _seconds(layers: Iterable[LayerTime]) -> float:
    return sum(layer.seconds for layer in layers)


def _label(layer: LayerTime) -> str:
    if not layer.layer:
        return "(whole segment)"
    if layer.module is None:
        return "(not named)"
    return layer.module or "(the model)"


def _common(modules: Sequence[str]) -> str:
    """Return the path that holds all of several."""
    common = modules[0].split(".")
    for module in modules[1:]:
        parts = module.split(".")
        same = (a == b for a, b in zip(common, parts, strict=False))
        common = common[: next((i for i, equal in enumerate(same) if not equal), len(parts))]
    return ".".join(common)
