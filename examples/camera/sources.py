# SPDX-License-Identifier: Apache-2.0
"""Where frames come from: a Y4M file without any library, everything else through OpenCV.

    digits.y4m, -         a Y4M file, or one on standard input
    clip.mp4              any other video file
    0, /dev/video0        a camera of V4L2
    csi:0                 a camera at the ribbon connector of a Jetson
    "v4l2src ! ... ! appsink"    any pipeline of GStreamer

For a camera without OpenCV:
    ffmpeg -f v4l2 -i /dev/video0 -f yuv4mpegpipe -pix_fmt gray - | python main.py BUNDLE --source -
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from y4m import Reader, VideoError

SYSTEM = "`apt install python3-opencv`, and an environment with --system-site-packages"


class Wanted(NamedTuple):
    """What the bundle takes: as much of it as a camera can deliver itself.

    Attributes:
        color: "L", "RGB" or "BGR".
        size: width and height; None where they are ranges.
    """

    color: str
    size: tuple[int, int] | None


class Frame(NamedTuple):
    """Pixels [height, width, channels] as bytes, and when they were there (perf_counter)."""

    pixels: np.ndarray
    at: float


class Reading(Protocol):
    """What reads frames one after the other; `color` is the order of their channels."""

    color: str
    shape: tuple[int, ...]
    rate: float
    live: bool

    def read(self) -> np.ndarray | None:
        """The next frame; None at the end."""
        ...

    def rewind(self) -> bool:
        """Back to the first frame; False where there is no way back."""
        ...

    def close(self) -> None:
        """Gives the camera or file back."""
        ...


class Buffers:
    """Memory for frames that is used again as soon as nobody holds it.

    A fresh array of a few megabytes per frame costs more than the copy into it: the system has to
    hand out its pages, zeroed, every time.
    """

    def __init__(self) -> None:
        self._all: dict[tuple[int, ...], list[np.ndarray]] = {}

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of bytes that nobody else holds, nor a view of it."""
        arrays = self._all.setdefault(shape, [])
        for array in arrays:
            # The list, this loop and the argument hold it; a view would hold it as its base.
            if sys.getrefcount(array) <= 3:
                return array
        arrays.append(np.empty(shape, np.uint8))
        return arrays[-1]

    def __len__(self) -> int:
        return sum(map(len, self._all.values()))


class Source:
    """Iterate over it, once, for frames; in real time where it is a file.

    Attributes:
        color: the order of the channels: "L", "RGB", "BGR" or "BGRA".
        shape: of a frame: height, width, channels.
        rate: frames per second, 0 where it is not known.
        count: frames that were read.
    """

    def __init__(
        self,
        reading: Reading,
        rate: float,
        *,
        pacing: bool = True,
        loop: bool = False,
        limit: int | None = None,
    ) -> None:
        self._reading, self._closed, self._begun = reading, threading.Event(), False
        self._loop, self._limit = loop, limit
        self.color, self.shape = reading.color, reading.shape
        self.rate, self.count = rate, 0
        self._period = 1 / self.rate if self.rate and pacing and not reading.live else 0.0

    def __iter__(self) -> Iterator[Frame]:
        start, self._begun = time.perf_counter(), True
        try:
            while self.count != self._limit:
                due = start + self.count * self._period - time.perf_counter()
                if self._period and due > 0:
                    time.sleep(due)
                pixels = self._reading.read()
                if pixels is None and self._loop and self._reading.rewind():
                    pixels = self._reading.read()
                if pixels is None:
                    return
                self.count += 1
                yield Frame(pixels, time.perf_counter())
                del pixels  # or its memory would be taken while the next one is read
        finally:
            # In the thread that read: OpenCV's cameras can't be released while one reads.
            self._reading.close()
            self._closed.set()

    def wait_closed(self, seconds: float) -> bool:
        """Waits until the camera is given back; False when it hangs."""
        if not self._begun:
            self._reading.close()
            return True
        return self._closed.wait(seconds)


class Y4M:
    """A Y4M file, or standard input."""

    def __init__(self, name: str, color: str) -> None:
        self.live = name == "-"  # what writes into a pipe sets the pace
        self.color = "L" if color == "L" else "RGB"
        self._buffers = Buffers()
        self._reader = Reader(
            sys.stdin.buffer if self.live else opened(name), name, grey=self.color == "L"
        )
        header = self._reader.header
        self.shape = (header.height, header.width, 1 if self.color == "L" else 3)
        self.rate = float(header.rate)

    def read(self) -> np.ndarray | None:
        return self._reader.read(self._buffers.take)

    def close(self) -> None:
        self._reader.close()

    def rewind(self) -> bool:
        return not self.live and self._reader.rewind()


class OpenCV:
    """A camera, file or pipeline that cv2.VideoCapture opens."""

    def __init__(self, target: str | int, name: str, fps: float | None) -> None:
        pipeline = isinstance(target, str) and "!" in target
        self.live = pipeline or isinstance(target, int)
        cv2 = need_cv2(name, "pipe Y4M of ffmpeg into `--source -`", pipeline=pipeline)
        api = cv2.CAP_GSTREAMER if pipeline else cv2.CAP_V4L2 if self.live else cv2.CAP_ANY
        self._capture, self._first_frame = cv2.VideoCapture(target, api), cv2.CAP_PROP_POS_FRAMES
        if self.live and fps and not pipeline:
            self._capture.set(cv2.CAP_PROP_FPS, fps)
        first = self._capture.read()[1] if self._capture.isOpened() else None
        if first is None:
            self._capture.release()
            raise VideoError(f"{name} gives no frame: {hint(target, pipeline=pipeline)}")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if rate > 0 else 0.0  # also where it is no number
        self.color = "L" if first.ndim == 2 else "BGRA" if first.shape[2] == 4 else "BGR"
        self._first: np.ndarray | None = first
        self._buffer_shape, self._buffers = first.shape, Buffers()
        self.shape = np.atleast_3d(first).shape

    def read(self) -> np.ndarray | None:
        if self._first is not None:
            first, self._first = self._first, None
            return np.atleast_3d(first)
        there, pixels = self._capture.read(self._buffers.take(self._buffer_shape))
        return np.atleast_3d(pixels) if there else None

    def rewind(self) -> bool:
        return not self.live and bool(self._capture.set(self._first_frame, 0))

    def close(self) -> None:
        self._capture.release()


def open_source(text: str, wanted: Wanted, fps: float | None = None) -> Reading:
    """Opens what the text names; a camera is asked for that rate."""
    if text == "-" or text.lower().endswith(".y4m"):
        return Y4M(text, wanted.color)
    target: str | int = text
    if found := re.fullmatch(r"(?:/dev/video)?(\d+)", text):
        target = int(found[1])
    elif found := re.fullmatch(r"csi:(\d+)", text):
        target = csi(int(found[1]), wanted, fps or 30)
    elif "!" not in text and not Path(text).is_file():
        raise VideoError(f"there is no {text}: give a video, a number of a camera, or csi:0")
    return OpenCV(target, text, fps)


def opened(name: str) -> BinaryIO:
    """A file to read from."""
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise VideoError(f"{name} can't be opened ({error.strerror}): give a video") from None


def csi(sensor: int, wanted: Wanted, fps: float) -> str:
    """The pipeline of a camera of a Jetson.

    nvvidconv scales and converts in hardware and copies once, out of the camera's memory; grey
    leaves it as OpenCV takes it, while colours need a pass of videoconvert. appsink keeps the
    newest frame alone. (No board has run this yet.)
    """
    sensors = f"width=1280, height=720, framerate={round(fps)}/1"
    size = "" if wanted.size is None else ", width={}, height={}".format(*wanted.size)
    grey = wanted.color == "L"
    last = "" if grey else " ! videoconvert ! video/x-raw, format=BGR"
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM), {sensors} ! nvvidconv ! "
        f"video/x-raw, format={'GRAY8' if grey else 'BGRx'}{size}{last} ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


def need_cv2(name: str, otherwise: str, *, pipeline: bool = False) -> Any:
    """The module cv2, which has GStreamer where it has to; without it there is another way."""
    try:
        import cv2
    except ImportError:
        way = SYSTEM if pipeline else "`pip install opencv-python-headless`"
        raise VideoError(
            f"{name} needs OpenCV, which is not installed: {way}, or {otherwise}"
        ) from None
    if pipeline and not re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()):
        raise VideoError(
            f"{name} needs GStreamer, which the OpenCV of {Path(cv2.__file__).parent} was built "
            f"without, as all of pip are: remove it and use the system's ({SYSTEM})"
        )
    return cv2


def hint(target: str | int, *, pipeline: bool) -> str:
    """What to look at when nothing comes."""
    if pipeline:
        return f"try `gst-launch-1.0 {target}` with fakesink in place of appsink"
    if isinstance(target, int):
        return "`v4l2-ctl --list-devices` says which cameras there are, and `fuser` who uses one"
    return "see whether `ffplay` plays it"
