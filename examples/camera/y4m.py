# SPDX-License-Identifier: Apache-2.0
"""Uncompressed video: Y4M files, of which ffmpeg, GStreamer and mpv make and play any other.

A line of text says sizes, rate and layout; each frame is the word FRAME, a line feed, and planes of
bytes: luma, then the two of chroma. So a grey frame is read as it lies in the file.
(The manual page yuv4mpeg(5) of mjpegtools is the format; XCOLORRANGE is ffmpeg's.)
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import numpy as np

MAGIC, FRAME = b"YUV4MPEG2", b"FRAME"
LONGEST_LINE, LARGEST_SIDE = 1024, 1 << 15
CHROMA = {"mono": (0, 0), "420": (2, 2), "422": (2, 1), "444": (1, 1)}
"""Of each layout, how many columns and rows of pixels share a pair of chroma; 0 where none is."""
NAMES_OF_420 = ("420jpeg", "420mpeg2", "420paldv")  # they differ by where in the four it lies
TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)  # BT.601
FROM_RGB = np.linalg.inv(TO_RGB.astype(np.float64)).astype(np.float32)

Take = Callable[[tuple[int, ...]], np.ndarray]
"""Gives an array of bytes of that shape to write to."""


class VideoError(Exception):
    """What is wrong with a video, and the way out, as one sentence."""


class Header(NamedTuple):
    """What the first line says.

    Attributes:
        rate: frames per second; 0 where it is not known.
        layout: a key of CHROMA.
        full: whether luma goes from 0 to 255, and not from 16 to 235.
    """

    width: int
    height: int
    rate: Fraction = Fraction(30)
    layout: str = "mono"
    full: bool = True

    def planes(self) -> list[tuple[int, int]]:
        """Rows and columns of each plane of a frame."""
        x, y = CHROMA[self.layout]
        chroma = [(-(-self.height // y), -(-self.width // x))] * 2 if x else []
        return [(self.height, self.width), *chroma]

    def text(self) -> bytes:
        """The first line."""
        rate = f"F{self.rate.numerator}:{self.rate.denominator if self.rate else 0}"
        colours = f"C{self.layout} XCOLORRANGE={'FULL' if self.full else 'LIMITED'}"
        return MAGIC + f" W{self.width} H{self.height} {rate} Ip A1:1 {colours}\n".encode()


class Reader:
    """Frames of a Y4M file, one after the other, as grey or as RGB pixels."""

    def __init__(self, file: BinaryIO, name: str, *, grey: bool) -> None:
        self._file, self._grey = file, grey
        first = file.readline(LONGEST_LINE)
        self.header, self._start = parse(first, name), len(first)
        self._luma = None if self.header.full else stretch()
        sizes = [rows * columns for rows, columns in self.header.planes()]
        self._chroma = bytearray(sum(sizes[1:]))

    def read(self, take: Take = lambda shape: np.empty(shape, np.uint8)) -> np.ndarray | None:
        """The next frame [height, width, 1 or 3]; None at the end, also within a frame."""
        rows, columns = self.header.height, self.header.width
        if not self._file.readline(LONGEST_LINE).startswith(FRAME):
            return None
        luma = take((rows, columns, 1))
        read = self._file.readinto  # type: ignore[attr-defined]  # every binary file has it
        if read(memoryview(luma).cast("B")) < luma.size or read(self._chroma) < len(self._chroma):
            return None
        if not self._grey:
            return self._coloured(luma, take((rows, columns, 3)))
        if self._luma is not None:
            self._luma.take(luma, out=luma)
        return luma

    def rewind(self) -> bool:
        """Back to the first frame."""
        self._file.seek(self._start)
        return True

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _coloured(self, luma: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        planes = np.zeros((*luma.shape[:2], 3), np.float32)
        planes[..., 0] = luma[..., 0] if self.header.full else (luma[..., 0] - 16.0) * (255 / 219)
        x, y = CHROMA[self.header.layout]
        start = 0
        for i, (rows, columns) in enumerate(self.header.planes()[1:], 1):
            plane = np.frombuffer(self._chroma, np.uint8, rows * columns, start)
            plane = plane.reshape(rows, columns).repeat(y, 0).repeat(x, 1)
            start += rows * columns
            planes[..., i] = plane[: luma.shape[0], : luma.shape[1]] - np.float32(128)
        if not self.header.full:
            planes[..., 1:] *= 255 / 224
        pixels[:] = (planes @ TO_RGB.T + 0.5).clip(0, 255)
        return pixels


class Writer:
    """Writes frames [height, width, 1 or 3], grey or RGB, as layout mono or 444."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._file, self._rate = path.open("wb"), rate
        self._header: Header | None = None
        self._last, self._whole = b"", 0

    def write(self, pixels: np.ndarray) -> None:
        """Adds a frame; the first one says how large all are."""
        rows, columns, channels = pixels.shape
        header = Header(columns, rows, self._rate, "mono" if channels == 1 else "444")
        if self._header is None:
            self._header = header
            self._file.write(header.text())
        if header != self._header:
            raise VideoError(
                f"a frame of {columns}x{rows}x{channels} after some of "
                f"{self._header.width}x{self._header.height}: start another file for it"
            )
        planes = pixels if channels == 1 else from_rgb(pixels)
        self._last = FRAME + b"\n" + planes.tobytes()
        self.repeat(1)

    def repeat(self, times: int) -> None:
        """Adds the last frame again."""
        for _ in range(times):
            self._file.write(self._last)
            self._whole = self._file.tell()

    def close(self) -> None:
        """Closes the file, less a frame that Ctrl-C cut."""
        if self._header is not None and not self._file.closed:
            self._file.truncate(max(self._whole, len(self._header.text())))
        self._file.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def parse(line: bytes, name: str) -> Header:
    """Reads the first line of the file of that name."""
    magic, *fields = line.split()
    if magic != MAGIC or not line.endswith(b"\n"):
        raise VideoError(f"{name} is no Y4M video: make one with `ffmpeg -i VIDEO {name}`")
    # An X field is a comment whose first word names it; of the others the letter does.
    values = {chr(f[0]): f[1:].decode("ascii", "replace") for f in fields if f[:1] != b"X"}
    layout = values.get("C", "420")
    layout = "420" if layout in NAMES_OF_420 else layout
    if layout not in CHROMA:
        raise VideoError(
            f"{name} has the layout {layout}, which is not read here: convert it with "
            f"`ffmpeg -i {name} -pix_fmt yuv420p OTHER.y4m`"
        )
    try:
        width, height = int(values["W"]), int(values["H"])
        above, below = map(int, values.get("F", "0:0").split(":"))
    except (KeyError, ValueError):
        width = height = above = below = 0
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE) or min(above, below) < 0:
        raise VideoError(
            f"{name} says {line[:100].decode('ascii', 'replace').strip()!r}, which gives no size "
            f"and rate: write the file again with `ffmpeg -i {name} OTHER.y4m`"
        )
    rate = Fraction(above, below) if below else Fraction(0)
    given = [f for f in fields if f.startswith(b"XCOLORRANGE=")]
    # ffmpeg takes grey for 0 to 255 and colours for 16 to 235 where a file does not say.
    full = given[-1].endswith(b"=FULL") if given else layout == "mono"
    return Header(width, height, rate, layout, full)


def stretch() -> np.ndarray:
    """Of each byte of luma from 16 to 235 the one from 0 to 255."""
    return ((np.arange(256) - 16) * (255 / 219) + 0.5).clip(0, 255).astype(np.uint8)


def from_rgb(pixels: np.ndarray) -> np.ndarray:
    """The three planes of RGB pixels, one after the other, from 0 to 255 each."""
    planes = (pixels.astype(np.float32) @ FROM_RGB.T + np.float32([0.5, 128.5, 128.5])).clip(0, 255)
    return planes.transpose(2, 0, 1).astype(np.uint8)
