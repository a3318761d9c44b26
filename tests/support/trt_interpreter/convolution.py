# SPDX-License-Identifier: Apache-2.0
"""Convolution, deconvolution, and how TensorRT's padding modes turn into padding."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.support.trt_interpreter.call import Call, Function

CONVOLVE = {2: F.conv2d, 3: F.conv3d}
DECONVOLVE = {2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolution(call: Call) -> torch.Tensor:
    """Cross-correlation; the kernel is [maps, channels / groups, *window]."""
    x, layer = call.input, call.layer
    window, stride, dilation = _geometry(call)
    rank = len(window)
    kernel = _kernel(call, (layer.num_output_maps, x.shape[1] // layer.num_groups, *window))
    padded = F.pad(x, window_padding(call, window, stride, dilation))
    y = CONVOLVE[rank](padded, kernel, None, stride, 0, dilation, layer.num_groups)
    return _biased(call, y)


def deconvolution(call: Call) -> torch.Tensor:
    """Transposed convolution, from whose full result the padding is cut."""
    x, layer = call.input, call.layer
    window, stride, dilation = _geometry(call)
    rank = len(window)
    kernel = _kernel(call, (x.shape[1], layer.num_output_maps // layer.num_groups, *window))
    y = DECONVOLVE[rank](x, kernel, None, stride, 0, 0, layer.num_groups, dilation)
    before, after = _deconvolution_cut(call, window, stride, dilation)
    # F.pad with negative amounts crops; a negative cut (output padding) adds what no window reaches
    return _biased(call, F.pad(y, _pairs([-b for b in before], [-a for a in after])))


def window_padding(
    call: Call, window: list[int], stride: list[int], dilation: list[int]
) -> list[int]:
    """Padding, as `F.pad` wants it, after which whole windows cover the input exactly."""
    before, outputs = window_outputs(call, window, stride, dilation)
    after: list[int] = []
    for i, size in enumerate(call.input.shape[2:]):
        reach = 1 + dilation[i] * (window[i] - 1)
        after.append((outputs[i] - 1) * stride[i] + reach - before[i] - size)
    return _pairs(before, after)


def window_outputs(
    call: Call, window: list[int], stride: list[int], dilation: list[int]
) -> tuple[list[int], list[int]]:
    """Padding before the input and the number of windows, per spatial dimension."""
    mode = call.enum("padding_mode")
    explicit_before = list(call.layer.pre_padding)
    explicit_after = list(call.layer.post_padding)
    before: list[int] = []
    outputs: list[int] = []
    for i, size in enumerate(call.input.shape[2:]):
        reach, step = 1 + dilation[i] * (window[i] - 1), stride[i]
        if mode in ("EXPLICIT_ROUND_DOWN", "EXPLICIT_ROUND_UP"):
            before.append(explicit_before[i])
            free = size + explicit_before[i] + explicit_after[i] - reach
            outputs.append(
                free // step + 1 if mode == "EXPLICIT_ROUND_DOWN" else -(-free // step) + 1
            )
        elif mode in ("SAME_UPPER", "SAME_LOWER"):
            total = (size - 1) // step * step + reach - size
            before.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
            outputs.append(-(-size // step))
        else:
            raise call.unsupported(f"padding mode {mode}")
    return before, outputs


def _deconvolution_cut(
    call: Call, window: list[int], stride: list[int], dilation: list[int]
) -> tuple[list[int], list[int]]:
    mode = call.enum("padding_mode")
    if mode in ("EXPLICIT_ROUND_DOWN", "EXPLICIT_ROUND_UP"):
        return list(call.layer.pre_padding), list(call.layer.post_padding)
    # SAME modes: the output has input * stride elements
    totals = [1 + d * (w - 1) - s for w, s, d in zip(window, stride, dilation, strict=True)]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    if mode == "SAME_UPPER":
        return small, large
    if mode == "SAME_LOWER":
        return large, small
    raise call.unsupported(f"padding mode {mode}")


def _geometry(call: Call) -> tuple[list[int], list[int], list[int]]:
    layer = call.layer
    window, stride = list(layer.kernel_size_nd), list(layer.stride_nd)
    if len(window) not in CONVOLVE or call.input.ndim != len(window) + 2:
        raise call.unsupported(f"window {window} over {call.input.ndim} dimensions")
    return window, stride, list(layer.dilation_nd)


def _kernel(call: Call, shape: tuple[int, ...]) -> torch.Tensor:
    weights = call.weights("kernel")
    if weights is None:
        return call.tensor(1)
    if call.has(1):
        raise call.unsupported("a kernel input beside kernel weights")
    return weights.to(call.input.dtype).reshape(shape)


def _biased(call: Call, y: torch.Tensor) -> torch.Tensor:
    bias = call.weights("bias")
    if call.has(2):
        bias = call.tensor(2)
    if bias is None:
        return y
    return y + bias.to(y.dtype).reshape(1, -1, *[1] * (y.ndim - 2))


def _pairs(before: list[int], after: list[int]) -> list[int]:
    """Amounts per dimension in `F.pad`'s order: last dimension first, before then after."""
    return [n for b, a in zip(reversed(before), reversed(after), strict=True) for n in (b, a)]


FUNCTIONS: dict[str, Function] = {"CONVOLUTION": convolution, "DECONVOLUTION": deconvolution}
