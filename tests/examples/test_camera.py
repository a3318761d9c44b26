# SPDX-License-Identifier: Apache-2.0
"""The sources of examples/camera, what it makes of frames, and how it ends."""

from __future__ import annotations

import io
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_runtime.manifest import ImageSpec, Signature
from tests.examples.test_examples import EXAMPLES
from tests.support.bundles import spec

sys.path.append(str(Path(__file__).parents[2] / "examples" / "camera"))

import marking
import sources
import y4m
from fitting import Fit, colours
from sources import Buffers, Frame, Source, Wanted, open_source
from y4m import Header, Reader, VideoError, Writer

CAMERA = EXAMPLES / "camera"
GREY = Wanted("L", (8, 6))


def pictures(count: int, height: int, width: int, channels: int) -> list[np.ndarray]:
    rng = np.random.default_rng(count + 10 * height + 100 * width)
    shape = (count, height, width, channels)
    return [*rng.integers(0, 256, shape, dtype=np.uint8)]


def written(path: Path, frames: list[np.ndarray], rate: Fraction = Fraction(30)) -> Path:
    with Writer(path, rate) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def read_all(data: bytes, *, grey: bool) -> list[np.ndarray]:
    reader = Reader(io.BytesIO(data), "a.y4m", grey=grey)
    frames: list[np.ndarray] = []
    while (frame := reader.read()) is not None:
        frames.append(frame)
    return frames


@given(
    count=st.integers(1, 4), height=st.integers(1, 9), width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]), rate=st.fractions(1, 1000, max_denominator=1001),
    cut=st.floats(0, 1),
)  # fmt: skip
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    count: int, height: int, width: int, channels: int, rate: Fraction, cut: float,
) -> None:  # fmt: skip
    frames = pictures(count, height, width, channels)
    path = written(tmp_path_factory.getbasetemp() / "some.y4m", frames, rate)
    data, grey = path.read_bytes(), channels == 1
    header = y4m.parse(data[: data.index(b"\n") + 1], "some.y4m")
    assert header == Header(width, height, rate, "mono" if grey else "444", True)
    read = read_all(data, grey=grey)
    np.testing.assert_allclose(np.array(read, int), frames, atol=0 if grey else 1)
    # A file that was cut has the whole frames before.
    start = len(header.text())
    left = start + int(cut * (len(data) - start))
    whole = (left - start) // ((len(data) - start) // count)
    np.testing.assert_array_equal(read_all(data[:left], grey=grey), read[:whole])


@pytest.mark.parametrize(
    ("fields", "planes", "grey", "colour"),
    [  # a row and a column more than pairs of chroma
        (b"C420jpeg", [16, 128, 128], 0, (0, 0, 0)),
        (b"C420mpeg2 XYSCSS=420MPEG2", [235, 128, 128], 255, (255, 255, 255)),
        (b"", [126, 128, 128], 128, (128, 128, 128)),
        (b"C422 XCOLORRANGE=LIMITED", [81, 90, 240], 76, (254, 0, 0)),
        (b"C444 XCOLORRANGE=FULL", [76, 85, 255], 76, (254, 0, 0)),
        (b"Cmono", [7], 7, None),
        (b"Cmono XCOLORRANGE=LIMITED", [16], 0, None),
    ],
)
def test_layouts(
    fields: bytes, planes: list[int], grey: int, colour: tuple[int, int, int] | None
) -> None:
    line = b"YUV4MPEG2 W5 H3 F25:1 Ip " + fields + b"\n"
    sizes = [r * c for r, c in y4m.parse(line, "a.y4m").planes()]
    frame = b"".join(bytes([v]) * n for v, n in zip(planes, sizes, strict=True))
    data = line + 2 * (b"FRAME Ip\n" + frame)
    np.testing.assert_array_equal(read_all(data, grey=True), np.full((2, 3, 5, 1), grey))
    pixels = np.array(read_all(data, grey=False), int)
    np.testing.assert_allclose(pixels, np.broadcast_to(colour or (grey,) * 3, (2, 3, 5, 3)), atol=1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"RIFF....", "a.y4m is no Y4M video: make one with `ffmpeg -i VIDEO a.y4m`"),
        (b"YUV4MPEG2 W5 H3", "no Y4M"),  # without an end
        (b"YUV4MPEG2 W5 F30:1\n", "which gives no size and rate: write the file again"),
        (b"YUV4MPEG2 W0 H3\n", "no size"),
        (b"YUV4MPEG2 W99999999 H99999999\n", "no size"),
        (b"YUV4MPEG2 W5 H3 F30\n", "no size and rate"),
        (b"YUV4MPEG2 W5 H3 F-30:1\n", "no size and rate"),
        (b"YUV4MPEG2 W5 H3 C420p10\n", "layout 420p10, .* `ffmpeg -i a.y4m -pix_fmt yuv420p"),
    ],
)
def test_a_bad_first_line(line: bytes, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        read_all(line, grey=True)


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    with Writer(tmp_path / "a.y4m", Fraction(30)) as writer:
        writer.write(np.zeros((2, 4, 1), np.uint8))
        with pytest.raises(VideoError, match="3x2x1 after some of 4x2: start another file"):
            writer.write(np.zeros((2, 3, 1), np.uint8))
    assert len(read_all((tmp_path / "a.y4m").read_bytes(), grey=True)) == 1


def test_a_file_is_played_in_real_time_and_again(tmp_path: Path) -> None:
    frames = pictures(4, 6, 8, 1)
    path = written(tmp_path / "a.y4m", frames, Fraction(100))
    reading = open_source(str(path), GREY)
    assert (reading.color, reading.shape, reading.rate) == ("L", (6, 8, 1), 100)
    start = time.perf_counter()
    source = Source(reading, reading.rate, loop=True, limit=10)
    played = [frame.pixels.copy() for frame in source]
    assert time.perf_counter() - start >= 0.09
    np.testing.assert_array_equal(played, (3 * frames)[:10])
    assert source.count == 10
    assert source.wait_closed(0)
    assert len(list(Source(open_source(str(path), GREY), 0.1, pacing=False))) == 4
    assert Source(open_source(str(path), GREY), 100).wait_closed(0)  # it was never begun


def test_memory_of_frames_is_used_again_when_nobody_holds_it(tmp_path: Path) -> None:
    buffers = Buffers()
    first, second = buffers.take((2, 3, 1)), buffers.take((2, 3, 1))
    assert first is not second
    view, place = first[..., 0], first.ctypes.data
    del first
    assert buffers.take((2, 3, 1)).ctypes.data != place  # the view lives
    del view, second
    assert [buffers.take((2, 3, 1)).ctypes.data for _ in range(3)] == [place] * 3
    assert len(buffers) == 3
    path = written(tmp_path / "a.y4m", pictures(9, 6, 8, 3))
    reading = sources.Y4M(str(path), "RGB")
    while reading.read() is not None:
        pass
    assert len(reading._buffers) == 2  # luma and pixels
    reading.close()


class Capture:
    """Stands in for cv2.VideoCapture."""

    opened: tuple[Any, ...] = ()
    settings: tuple[Any, ...] = ()
    given: list[Any]

    def __init__(self, target: Any, api: str) -> None:
        Capture.opened, Capture.given = (target, api), []
        self.left = 3 if target != 9 else 0

    def isOpened(self) -> bool:
        return self.left > 0

    def read(self, image: np.ndarray | None = None) -> tuple[bool, np.ndarray | None]:
        Capture.given.append(image)
        self.left -= 1
        if self.left < 0:
            return False, None
        image = np.empty((6, 8, 3), np.uint8) if image is None else image
        image[:] = self.left
        return True, image

    def get(self, what: str) -> float:
        return float("nan")

    def set(self, what: str, value: float) -> bool:
        Capture.settings = (what, value)
        return True

    def release(self) -> None:
        Capture.given.append("released")


def fake_cv2(gstreamer: str = "YES (1.20.3)") -> Any:
    return SimpleNamespace(
        VideoCapture=Capture, CAP_GSTREAMER="gst", CAP_V4L2="v4l2", CAP_ANY="any",
        CAP_PROP_FPS="fps", CAP_PROP_POS_FRAMES="frame", __file__="/opt/cv2/__init__.py",
        getBuildInformation=lambda: f"Video I/O:\n    GStreamer:      {gstreamer}\n",
    )  # fmt: skip


CSI_GREY = (
    "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=1280, height=720, "
    "framerate=60/1 ! nvvidconv ! video/x-raw, format=GRAY8, width=8, height=6 ! "
    "appsink drop=true max-buffers=1 sync=false"
)
CSI_COLOUR = CSI_GREY.replace(
    "GRAY8, width=8, height=6", "BGRx ! videoconvert ! video/x-raw, format=BGR"
)


@pytest.mark.parametrize(
    ("text", "wanted", "opened"),
    [
        ("0", GREY, (0, "v4l2")),
        ("/dev/video2", GREY, (2, "v4l2")),
        ("csi:1", GREY, (CSI_GREY, "gst")),
        ("csi:1", Wanted("RGB", None), (CSI_COLOUR, "gst")),
        ("videotestsrc ! appsink", GREY, ("videotestsrc ! appsink", "gst")),
        (__file__, GREY, (__file__, "any")),
    ],
)
def test_what_opencv_is_asked_to_open(
    monkeypatch: pytest.MonkeyPatch, text: str, wanted: Wanted, opened: tuple[Any, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", fake_cv2())
    reading = open_source(text, wanted, 60)
    assert Capture.opened == opened
    assert (reading.color, reading.shape, reading.rate) == ("BGR", (6, 8, 3), 0)
    assert reading.live == (text != __file__)
    if opened[1] == "v4l2":
        assert Capture.settings == ("fps", 60)
    source = Source(reading, reading.rate)
    assert [int(frame.pixels[0, 0, 0]) for frame in source] == [2, 1, 0]
    first, *buffers, end = Capture.given
    assert (first, end) == (None, "released")
    assert {buffer.shape for buffer in buffers} == {(6, 8, 3)}


@pytest.mark.parametrize(
    ("text", "cv2", "message"),
    [
        ("0", None, "0 needs OpenCV, which is not installed: `pip install opencv-python-headless`"),
        ("csi:0", None, "csi:0 needs OpenCV, .*: `apt install python3-opencv`"),
        ("csi:0", fake_cv2("NO"), "the OpenCV of /opt/cv2 was built without"),
        ("9", fake_cv2(), "9 gives no frame: `v4l2-ctl --list-devices`"),
        ("none.mp4", fake_cv2(), "there is no none.mp4: give a video"),
        ("none.y4m", None, r"none.y4m can't be opened \(No such file or directory\)"),
    ],
)
def test_a_source_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, text: str, cv2: Any, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    with pytest.raises(VideoError, match=message) as caught:
        open_source(text, GREY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        ("L", "L", [10]), ("L", "RGB", [10, 10, 10]), ("RGB", "BGR", [30, 20, 10]),
        ("BGR", "RGB", [30, 20, 10]), ("BGRA", "BGR", [10, 20, 30]), ("RGB", "L", [18]),
        ("BGR", "L", [22]), ("BGRA", "L", [22]),
    ],
)  # fmt: skip
def test_colours(given: str, wanted: str, expected: list[int]) -> None:
    pixels = np.array([10, 20, 30, 255][: len(given)], np.uint8) + np.zeros((2, 3, 1), np.uint8)
    found = colours(pixels, given, wanted)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.broadcast_to(expected, (2, 3, len(expected))))
    assert (found is pixels) == (given == wanted)


def image(shape: list[int | str], dtype: str = "uint8", **more: Any) -> Signature:
    described = ImageSpec(mean=[0.5], std=[0.25], **{"layout": "NHWC", "color": "L", **more})
    return Signature(inputs=[spec("x", shape, dtype, image=described)], outputs=[])


def test_a_frame_becomes_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    pixels = np.full((6, 8, 1), 51, np.uint8)
    frame = Frame(pixels, 0.0)
    fit = Fit(image([1, 6, 8, 1]))
    assert fit.wanted == GREY
    assert np.shares_memory(fit(frame)["x"], pixels)
    assert fit(frame)["x"].shape == (1, 6, 8, 1)
    fit = Fit(image(["batch", 1, "h", 8], "float32", layout="NCHW"))
    assert fit.wanted == ("L", None)
    x = fit(frame)["x"]
    assert (x.shape, x.dtype) == ((1, 1, 6, 8), np.float32)
    np.testing.assert_allclose(x, (0.2 - 0.5) / 0.25, rtol=1e-6)
    assert Fit(image([6, 8, 1]))(frame)["x"] is pixels
    with pytest.raises(
        VideoError, match=r"a frame of 8x6 for a bundle of 16x12 needs .*scale=16:12"
    ):
        Fit(image([1, 12, 16, 1]))(frame)
    with pytest.raises(VideoError, match="one image input, and this one takes a, b"):
        Fit(Signature(inputs=[spec("a", [1]), spec("b", [1])], outputs=[]))


def test_boxes_are_drawn() -> None:
    boxes = np.array([[1, 1, 5, 4], [0, 0, 99, 99], [0, 0, 1, 1]], np.float32)
    outputs = {"boxes": boxes, "scores": np.array([0.9, 0.8, 0.1]), "digits": np.array([7, 10, 0])}
    found = marking.found_in(outputs)
    assert found is not None
    assert found.classes.tolist() == [7, 10]
    picture = marking.mark(np.zeros((128, 128, 3), np.uint8), found)
    assert picture.shape == (256, 256, 3)
    assert picture[2, 2:11].tolist() == [list(marking.LIME)] * 9
    assert picture[5, 5].tolist() == list(marking.YELLOW)
    assert marking.found_in({"logits": np.zeros((1, 10))}) is None
    assert marking.found_in(outputs | {"scores": np.zeros(2)}) is None
