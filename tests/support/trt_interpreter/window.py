# SPDX-License-Identifier: Apache-2.0
"""Pooling, padding, grid sampling; resizing is in `resize.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.support.trt_interpreter.call import Call, Function
from tests.support.trt_interpreter.convolution import window_padding
from tests.support.trt_interpreter.resize import resize

MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
INTERPOLATION = {"NEAREST": "nearest", "LINEAR": "bilinear", "CUBIC": "bicubic"}
SAMPLE_PADDING = {"FILL": "zeros", "CLAMP": "border", "REFLECT": "reflection"}


def pooling(call: Call) -> torch.Tensor:
    kind, blend = call.enum("type"), call.layer.blend_factor
    if kind == "MAX":
        return _max_pooling(call)
    if kind == "AVERAGE":
        return _average_pooling(call)
    if kind == "MAX_AVERAGE_BLEND":
        return (1 - blend) * _max_pooling(call) + blend * _average_pooling(call)
    raise call.unsupported(f"pooling {kind}")


def _geometry(call: Call) -> tuple[list[int], list[int], list[int]]:
    """Windows, steps, and the padding with which windows cover the input exactly."""
    window, stride = list(call.layer.window_size_nd), list(call.layer.stride_nd)
    if len(window) not in MAX_POOL or call.input.ndim != len(window) + 2:
        raise call.unsupported(f"window {window} over {call.input.ndim} dimensions")
    return window, stride, window_padding(call, window, stride, [1] * len(window))


def _max_pooling(call: Call) -> torch.Tensor:
    if not call.input.is_floating_point():
        raise call.unsupported(f"maximum of {call.input.dtype}")
    window, stride, padding = _geometry(call)
    padded = F.pad(call.input, padding, value=float("-inf"))
    return MAX_POOL[len(window)](padded, window, stride)


def _average_pooling(call: Call) -> torch.Tensor:
    """The sum over the part of a window that counts, by its size.

    What counts is the input alone, or the input with its declared padding; never what lies beyond,
    into which a last, rounded-up window reaches.
    """
    window, stride, padding = _geometry(call)
    pool = AVERAGE_POOL[len(window)]
    counted = torch.ones_like(call.input[:1, :1])
    if not call.layer.average_count_excludes_padding:
        declared = _declared_padding(call, padding)
        counted = F.pad(counted, declared, value=1.0)
        rest = [p - d for p, d in zip(padding, declared, strict=True)]
    else:
        rest = padding
    total = pool(F.pad(call.input, padding), window, stride, divisor_override=1)
    return total / pool(F.pad(counted, rest), window, stride, divisor_override=1)


def _declared_padding(call: Call, padding: list[int]) -> list[int]:
    if not call.enum("padding_mode").startswith("EXPLICIT"):
        return padding
    before, after = list(call.layer.pre_padding), list(call.layer.post_padding)
    pairs = zip(reversed(before), reversed(after), strict=True)
    return [n for pair in pairs for n in pair]


def padding_(call: Call) -> torch.Tensor:
    """Zeros around the last two dimensions; negative amounts trim."""
    before, after = list(call.layer.pre_padding_nd), list(call.layer.post_padding_nd)
    return F.pad(call.input, [before[1], after[1], before[0], after[0]])


def grid_sample(call: Call) -> torch.Tensor:
    mode, outside = call.enum("interpolation_mode"), call.enum("sample_mode")
    if outside not in SAMPLE_PADDING or (mode == "CUBIC" and call.input.ndim != 4):
        raise call.unsupported(f"{mode} sampling with {outside} of {call.input.ndim} dimensions")
    return F.grid_sample(
        call.input,
        call.tensor(1),
        mode=INTERPOLATION[mode],
        padding_mode=SAMPLE_PADDING[outside],
        align_corners=call.layer.align_corners,
    )


FUNCTIONS: dict[str, Function] = {
    "GRID_SAMPLE": grid_sample,
    "PADDING": padding_,
    "POOLING": pooling,
    "RESIZE": resize,
}
