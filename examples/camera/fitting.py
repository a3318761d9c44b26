# SPDX-License-Identifier: Apache-2.0
"""Makes the input of a bundle from the frame of a camera, as far as the two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sources import Frame, Wanted, need_cv2
from y4m import VideoError

if TYPE_CHECKING:
    from edge_trt_runtime.manifest import Signature, TensorSpec

WEIGHTS = {"R": 0.299, "G": 0.587, "B": 0.114}
"""What each colour adds to grey."""


class Fit:
    """Call it with a frame for the inputs of a run.

    Where the camera delivers what the bundle takes, nothing is copied. In a stream this happens in
    the threads that run the model.
    """

    def __init__(self, signature: Signature) -> None:
        self._spec = image_input(signature)
        assert self._spec.image is not None
        self._image = self._spec.image
        self._channels_first = self._image.layout == "NCHW"
        height, width = self._spec.shape[-2:] if self._channels_first else self._spec.shape[-3:-1]
        both = isinstance(width, int) and isinstance(height, int)
        self.wanted = Wanted(self._image.color, (int(width), int(height)) if both else None)
        self.color = self.wanted.color
        """What frames come as: the source says it when it is open."""

    def __call__(self, frame: Frame) -> dict[str, np.ndarray]:
        pixels = colours(frame.pixels, self.color, self.wanted.color)
        if self.wanted.size not in (None, (pixels.shape[1], pixels.shape[0])):
            pixels = resized(pixels, *self.wanted.size)
        if self._spec.dtype != "uint8":
            mean, std = (np.array(x, np.float32) for x in (self._image.mean, self._image.std))
            scaled = pixels * np.float32(self._image.scale)
            pixels = ((scaled - mean) / std).astype(self._spec.dtype)
        if self._channels_first:
            pixels = pixels.transpose(2, 0, 1)
        return {self._spec.name: pixels[None] if len(self._spec.shape) == 4 else pixels}


def image_input(signature: Signature) -> TensorSpec:
    """The only input, which has to be an image."""
    inputs = signature.inputs
    if len(inputs) != 1 or inputs[0].image is None:
        names = ", ".join(spec.name for spec in inputs)
        raise VideoError(
            f"a camera needs a bundle with one image input, and this one takes {names}: build it "
            "with `edge_trt build --image`"
        )
    return inputs[0]


def resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixels scaled by their area, which leaves no detail that the size can't carry."""
    cv2 = need_cv2(
        f"a frame of {pixels.shape[1]}x{pixels.shape[0]} for a bundle of {width}x{height}",
        f"scale the video: `ffmpeg -i VIDEO -vf scale={width}:{height} OTHER.y4m`",
    )
    return np.atleast_3d(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def colours(pixels: np.ndarray, given: str, wanted: str) -> np.ndarray:
    """Pixels with their channels as wanted; a view where that is enough."""
    if given == wanted:
        return pixels
    if given == "L":
        return pixels.repeat(3, axis=2)
    if wanted == "L":
        weights = np.array([WEIGHTS.get(channel, 0) for channel in given], np.float32)
        return (pixels @ weights + np.float32(0.5)).astype(np.uint8)[..., None]
    return pixels[..., [given.index(channel) for channel in wanted]]
