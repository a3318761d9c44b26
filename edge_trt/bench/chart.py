# SPDX-License-Identifier: Apache-2.0
"""A record as one picture: latency of the blocks, power by rail, temperature and clock over time.

Panels are lists of strokes and texts; they become a PNG by Pillow, or SVG in a page of HTML that
needs nothing else.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edge_trt.bench.record import Block, Record
from edge_trt.bench.result_file import check_place, write_whole
from edge_trt_runtime.errors import EdgeTrtError

WIDTH, PANEL, LEFT, RIGHT, TOP = 900, 190, 70, 190, 34
COLOURS = ("#1f5fa8", "#c8503c", "#3c8c4b", "#8a5aa8", "#b8860b", "#5a6a78", "#c0508c", "#2a9d9d")
INK, GRID = "#202428", "#d5d9dd"

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line with its name; places without a value are left out."""

    name: str
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over one axis of seconds."""

    title: str
    curves: list[Curve]


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through points, in pixels."""

    points: list[Point]
    colour: str
    width: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A text whose middle of the left edge (or of the right one) is at a point."""

    at: Point
    text: str
    right: bool = False
    colour: str = INK


def panels(record: Record) -> list[Panel]:
    """What a record has to show."""
    found = [
        Panel(f"Median latency of blocks of runs, {name} [ms]", [Curve("", _latency(load.blocks))])
        for name, load in (("one caller", record.single), ("saturated", record.saturated))
    ]
    if record.lanes is not None:
        for name in ("alone", "together"):
            loads = [(lane.name, getattr(lane, name)) for lane in record.lanes.each]
            curves = [Curve(lane, _rate(load.blocks)) for lane, load in loads]
            found.append(Panel(f"Runs per second of each lane, {name}", curves))
    readings = record.readings
    rails = sorted({name for reading in readings for name in reading.rails})
    power = [Curve("board", [(r.seconds, r.watts) for r in readings if r.watts is not None])]
    power += [
        Curve(name, [(r.seconds, r.rails[name]) for r in readings if name in r.rails])
        for name in rails
    ]
    heat = [(r.seconds, r.temperature) for r in readings if r.temperature is not None]
    clock = [(r.seconds, r.gpu_hz / 1e6) for r in readings if r.gpu_hz is not None]
    load = [(r.seconds, r.cpu_load * 100) for r in readings if r.cpu_load is not None]
    found.append(Panel("Power [W]", power))
    found.append(Panel("Hottest zone [C]", [Curve("", heat)]))
    found.append(Panel("GPU clock [MHz]", [Curve("", clock)]))
    found.append(Panel("Load of the processor [%]", [Curve("", load)]))
    return [panel for panel in found if any(len(curve.points) > 1 for curve in panel.curves)]


def save(record: Record, path: str) -> None:
    """Writes the picture, as the ending of the path says: `.png`, `.html` or `.svg`.

    Raises:
        EdgeTrtError: another ending, or the file can't be written.
    """
    write_whole(path, _writer(path)(record))


def check(path: str) -> None:
    """Refuses what `save` will not be able to write, before anything is measured.

    Raises:
        EdgeTrtError: an unknown ending, Pillow is missing, or nothing can be written there.
    """
    if _writer(path) is _png:
        _pillow()
    check_place(path)


def _writer(path: str) -> Callable[[Record], bytes]:
    writers = {".png": _png, ".html": _page, ".svg": _svg}
    writer = writers.get(Path(path).suffix.lower())
    if writer is None:
        raise EdgeTrtError(
            f"{path!r} has an unknown ending", hint=f"known are {', '.join(writers)}"
        )
    return writer


def _latency(blocks: Sequence[Block]) -> list[Point]:
    return _over_time(blocks, lambda block: block.median)


def _rate(blocks: Sequence[Block]) -> list[Point]:
    return _over_time(blocks, lambda block: block.runs / block.seconds)


def _over_time(blocks: Sequence[Block], figure: Callable[[Block], float]) -> list[Point]:
    points: list[Point] = []
    now = 0.0
    for block in blocks:
        points.append((now + block.seconds / 2, figure(block)))
        now += block.seconds
    return points


def _title(record: Record) -> str:
    name = Path(record.bundle["path"]).name
    board = record.machine.get("board", record.machine.get("cpu", ""))
    return f"{name}, {record.bundle['precision']}, on {board}, {record.date[:10]}"


def _marks(record: Record) -> Iterator[Stroke | Text]:
    yield Text((LEFT, 16), _title(record))
    for index, panel in enumerate(panels(record)):
        yield from _panel(panel, TOP + index * PANEL)


def _height(record: Record) -> int:
    return TOP + len(panels(record)) * PANEL


def _panel(panel: Panel, top: float) -> Iterator[Stroke | Text]:
    """Axes, curves and their names."""
    curves = [curve for curve in panel.curves if len(curve.points) > 1]
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    low, high = min(0.0, *ys), (max(ys) * 1.1 or 1.0)
    span = max(xs) - min(xs) or 1.0
    bottom, height, width = top + PANEL - 34, PANEL - 62, WIDTH - LEFT - RIGHT

    def place(x: float, y: float) -> Point:
        right = LEFT + (x - min(xs)) / span * width
        return right, bottom - (y - low) / (high - low) * height

    yield Text((LEFT, top + 14), panel.title)
    for part in range(5):
        value = low + (high - low) * part / 4
        y = place(min(xs), value)[1]
        yield Stroke([(LEFT, y), (LEFT + width, y)], GRID, 1)
        yield Text((LEFT - 8, y), f"{value:.3g}", right=True)
        second = min(xs) + span * part / 4
        yield Text((place(second, low)[0], bottom + 14), f"{second:.3g} s")
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        yield Stroke([place(x, y) for x, y in curve.points], colour)
        if curve.name:
            label = (LEFT + width + 12, top + 34 + 15 * number)
            yield Text(label, curve.name, colour=colour)


def _svg(record: Record) -> bytes:
    size = f'width="{WIDTH}" height="{_height(record)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for mark in _marks(record):
        if isinstance(mark, Stroke):
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points)
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{mark.colour}" '
                f'stroke-width="{mark.width}"/>'
            )
        else:
            anchor = ' text-anchor="end"' if mark.right else ""
            x, y = mark.at
            parts.append(
                f'<text x="{x:.1f}" y="{y + 4:.1f}" fill="{mark.colour}"{anchor}>'
                f"{html.escape(mark.text)}</text>"
            )
    return "\n".join([*parts, "</svg>"]).encode()


def _page(record: Record) -> bytes:
    """The picture in a page, with what the figures depend on below it."""
    rows = {**record.machine, **record.conditions}
    table = "".join(
        f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in rows.items()
    )
    doubts = "".join(f"<li>{html.escape(doubt)}</li>" for doubt in record.doubts)
    title = html.escape(_title(record))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<body style="font-family: sans-serif">{_svg(record).decode()}'
        f"<ul>{doubts}</ul><table>{table}</table></body></html>"
    ).encode()


def _png(record: Record) -> bytes:
    import io

    _pillow()
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, _height(record)), "white")
    draw = ImageDraw.Draw(image)
    for mark in _marks(record):
        if isinstance(mark, Stroke):
            draw.line(mark.points, fill=mark.colour, width=mark.width)
        else:
            anchor = "rm" if mark.right else "lm"
            draw.text(mark.at, mark.text, fill=mark.colour, anchor=anchor)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _pillow() -> None:
    """Refuses a PNG without Pillow.

    Raises:
        EdgeTrtError: it is not installed.
    """
    if find_spec("PIL") is None:
        raise EdgeTrtError(
            "Pillow is not installed", hint="pip install pillow, or write .html or .svg"
        )
