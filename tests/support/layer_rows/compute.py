# SPDX-License-Identifier: Apache-2.0
"""Rows for convolution, matrix products, reductions, normalization and quantization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edge_trt.network.layers import (
    LRN,
    Convolution,
    Cumulative,
    Deconvolution,
    Dequantize,
    Einsum,
    MatrixMultiply,
    Normalization,
    Quantize,
    Reduce,
    SoftMax,
    TopK,
)
from tests.support.layer_rows.row import Row, bfloat16, normal, row, whole

FLOATS = (np.float32, np.float16, bfloat16)
TOLERANCE = {np.float32: 2e-5, np.float16: 4e-3, bfloat16: 4e-2}


def rows() -> Iterator[Row]:
    yield from _convolutions()
    yield from _deconvolutions()
    yield from _products()
    yield from _reductions()
    yield from _normalizations()
    yield from _quantizations()


def _torch(function: Any, dtype: Any = np.float32) -> Any:
    """A reference from torch, in float64 and rounded once."""

    def reference(*arrays: np.ndarray) -> np.ndarray:
        tensors = [torch.from_numpy(a.astype(np.float64)) for a in arrays]
        return function(*tensors).numpy().astype(dtype)

    return reference


def _convolutions() -> Iterator[Row]:
    def reference(layer: Convolution) -> Any:
        def convolve(x: Any, kernel: Any, bias: Any = None) -> Any:
            pairs = zip(layer.pre_padding[::-1], layer.post_padding[::-1], strict=True)
            padded = F.pad(x, [p for pair in pairs for p in pair])
            function = F.conv2d if len(layer.stride_nd) == 2 else F.conv3d
            return function(
                padded, kernel, bias, layer.stride_nd, 0, layer.dilation_nd, layer.num_groups
            )

        return convolve

    plain = Convolution((1, 1), (1, 1), (1, 1), (1, 1))
    odd = Convolution((2, 1), (0, 2), (1, 0), (1, 2))
    grouped = Convolution((1, 2), (1, 0), (1, 0), (1, 1), 2)
    deep = Convolution((1, 1, 2), (1, 0, 1), (0, 1, 1), (1, 1, 1))
    x, kernel, bias = normal(2, 4, 7, 8), normal(6, 4, 3, 3), normal(6)
    for dtype in FLOATS:
        inputs = [x.astype(dtype), kernel.astype(dtype), bias.astype(dtype)]
        yield row(
            plain, inputs, _torch(reference(plain), dtype), constants=[1, 2],
            tolerance=TOLERANCE[dtype],
        )  # fmt: skip
    yield row(odd, [x, kernel], _torch(reference(odd)), constants=[1])
    yield row(grouped, [x, kernel[:, :2], bias], _torch(reference(grouped)), constants=[1, 2])
    yield row(odd, [x, kernel], _torch(reference(odd)), symbolic=False)
    volume, window = normal(1, 2, 4, 5, 6), normal(3, 2, 2, 3, 2)
    yield row(deep, [volume, window], _torch(reference(deep)), constants=[1])


def _deconvolutions() -> Iterator[Row]:
    def reference(layer: Deconvolution) -> Any:
        def deconvolve(x: Any, kernel: Any, bias: Any = None) -> Any:
            flat = len(layer.stride_nd) == 2
            function = F.conv_transpose2d if flat else F.conv_transpose3d
            full = function(
                x, kernel, bias, layer.stride_nd, 0, 0, layer.num_groups, layer.dilation_nd
            )
            pairs = zip(layer.pre_padding[::-1], layer.post_padding[::-1], strict=True)
            return F.pad(full, [p for before, after in pairs for p in (-before, -after)])

        return deconvolve

    layers = [
        Deconvolution((2, 2), (1, 1), (1, 1), (1, 1)),
        Deconvolution((2, 3), (1, 0), (0, 2), (1, 1)),
        Deconvolution((1, 2), (0, 1), (0, 0), (2, 1)),
    ]
    x, kernel, bias = normal(2, 4, 5, 6), normal(4, 3, 3, 3), normal(3)
    for layer in layers:
        yield row(layer, [x, kernel, bias], _torch(reference(layer)), constants=[1, 2])
    for dtype in FLOATS:
        inputs = [x.astype(dtype), kernel.astype(dtype)]
        yield row(
            layers[0], inputs, _torch(reference(layers[0]), dtype), constants=[1],
            tolerance=TOLERANCE[dtype],
        )  # fmt: skip
    grouped = Deconvolution((2, 2), (1, 1), (0, 0), (1, 1), 2)
    wide = normal(6)
    yield row(grouped, [x, kernel, wide], _torch(reference(grouped)), constants=[1, 2])
    deep = Deconvolution((2, 1, 2), (0, 1, 0), (1, 0, 0), (1, 1, 1))
    yield row(
        deep, [normal(1, 2, 3, 4, 3), normal(2, 3, 2, 3, 2)], _torch(reference(deep)), constants=[1]
    )


def _products() -> Iterator[Row]:
    def product(layer: MatrixMultiply) -> Any:
        def multiply(a: Any, b: Any) -> Any:
            a = {"TRANSPOSE": lambda: a.mT, "VECTOR": lambda: a[..., None, :]}.get(
                layer.op0, lambda: a
            )()
            b = {"TRANSPOSE": lambda: b.mT, "VECTOR": lambda: b[..., None]}.get(
                layer.op1, lambda: b
            )()
            result = a @ b
            result = result.squeeze(-1) if layer.op1 == "VECTOR" else result
            if layer.op0 == "VECTOR":
                result = result.squeeze(-1 if layer.op1 == "VECTOR" else -2)
            return result

        return multiply

    matrix, cut = MatrixMultiply(), MatrixMultiply("NONE", "TRANSPOSE")
    cases: list[tuple[MatrixMultiply, tuple[int, ...], tuple[int, ...]]] = [
        (matrix, (3, 4), (4, 5)),
        (cut, (3, 4), (5, 4)),
        (MatrixMultiply("TRANSPOSE"), (4, 3), (4, 5)),
        (MatrixMultiply("TRANSPOSE", "TRANSPOSE"), (2, 4, 3), (2, 5, 4)),
        (matrix, (2, 3, 4), (2, 4, 5)),
        (matrix, (2, 3, 4), (1, 4, 5)),
        (cut, (2, 3, 4), (1, 5, 4)),
        (cut, (2, 2, 3, 4), (1, 1, 5, 4)),
        (MatrixMultiply("VECTOR", "NONE"), (4,), (4, 5)),
        (MatrixMultiply("VECTOR", "TRANSPOSE"), (2, 4), (2, 5, 4)),
        (MatrixMultiply("NONE", "VECTOR"), (3, 4), (4,)),
        (MatrixMultiply("NONE", "VECTOR"), (2, 3, 4), (2, 4)),
        (MatrixMultiply("VECTOR", "VECTOR"), (4,), (4,)),
        (MatrixMultiply("VECTOR", "VECTOR"), (3, 4), (3, 4)),
        (MatrixMultiply("VECTOR", "VECTOR"), (2, 3, 4), (2, 1, 4)),
    ]
    for layer, left, right in cases:
        for constants in ([], [1]):
            inputs = [normal(*left), normal(*right, seed=1)]
            yield row(layer, inputs, _torch(product(layer)), constants=constants)
    for dtype in FLOATS:
        inputs = [normal(2, 3, 4, dtype=dtype), normal(1, 5, 4, dtype=dtype)]
        yield row(
            cut, inputs, _torch(product(cut), dtype), constants=[1], tolerance=TOLERANCE[dtype]
        )
    big = [normal(2, 3, 40), normal(1, 50, 40)]
    yield row(cut, big, _torch(product(cut)), constants=[1])
    for equation, shapes in {
        "bhid,bhjd->bhij": ((2, 3, 4, 5), (2, 3, 6, 5)),
        "ij,jk->ik": ((2, 3), (3, 4)),
        "ii->i": ((3, 3),),
        "ij->ji": ((2, 3),),
        "i,j->ij": ((2,), (3,)),
        "abc,ab->": ((2, 3, 4), (2, 3)),
        "ab,bc,cd->ad": ((2, 3), (3, 4), (4, 2)),
    }.items():
        inputs = [normal(*s, seed=i) for i, s in enumerate(shapes)]
        yield row(Einsum(equation), inputs, lambda *a, e=equation: np.einsum(e, *a))
    half = [normal(2, 3, dtype=np.float16), normal(3, 4, dtype=np.float16)]
    yield row(Einsum("ij,jk->ik"), half, _torch(torch.matmul, np.float16), tolerance=4e-3)


def _reductions() -> Iterator[Row]:
    functions = {"SUM": np.sum, "PROD": np.prod, "MAX": np.max, "MIN": np.min, "AVG": np.mean}
    x = normal(2, 3, 4)
    for op, function in functions.items():
        for axes in ((1,), (0, 2), (0, 1, 2)):
            for keep in (False, True):
                yield row(
                    Reduce(op, axes, keep), [x],  # type: ignore[arg-type]
                    lambda x, f=function, a=axes, k=keep: f(x, axis=a, keepdims=k),
                )  # fmt: skip
        for dtype in FLOATS:
            yield row(
                Reduce(op, (1,)), [x.astype(dtype)],  # type: ignore[arg-type]
                lambda x, f=function: f(x.astype(np.float64), axis=1).astype(x.dtype),
                tolerance=TOLERANCE[dtype],
            )  # fmt: skip
        for dtype in (np.int32, np.int64, np.int8):
            y = whole(2, 3, low=-4, high=4, dtype=dtype)
            yield row(
                Reduce(op, (1,)), [y],  # type: ignore[arg-type]
                lambda y, f=function: np.trunc(f(y.astype(np.float64), axis=1)).astype(y.dtype),
            )  # fmt: skip
    yield from _scans()


def _scans() -> Iterator[Row]:
    def top(x: np.ndarray, layer: TopK) -> Any:
        keys = x.astype(np.float64) * (-1 if layer.op == "MAX" else 1)
        order = np.argsort(keys, axis=layer.axis, kind="stable").astype(np.int32)
        chosen = np.take(order, range(layer.k), layer.axis)
        return np.take_along_axis(x, chosen, layer.axis), chosen

    for op in ("MAX", "MIN"):
        for dtype in (*FLOATS, np.int32, np.int64, np.int8):
            x = np.random.default_rng(0).permutation(30).reshape(5, 6).astype(dtype)
            for axis in (0, 1):
                layer = TopK(op, 3, axis)  # type: ignore[arg-type]
                yield row(layer, [x], lambda x, layer=layer: top(x, layer))

    x, k = np.random.default_rng(0).permutation(30).reshape(5, 6), np.array(2, np.int32)
    layer = TopK("MAX", 0, 1)
    yield row(layer, [x, k], lambda x, k: top(x, TopK("MAX", int(k), 1)))

    def cumulate(x: np.ndarray, layer: Cumulative) -> np.ndarray:
        values = np.flip(x, layer.axis) if layer.reverse else x
        total = np.cumsum(values.astype(np.float64), axis=layer.axis)
        total = total - values if layer.exclusive else total
        return (np.flip(total, layer.axis) if layer.reverse else total).astype(x.dtype)

    for exclusive in (False, True):
        for reverse in (False, True):
            layer = Cumulative(1, exclusive, reverse)
            for dtype in (np.float32, bfloat16, np.int32, np.int64):
                y = whole(2, 5, low=-3, high=3).astype(dtype)
                yield row(layer, [y], lambda x, layer=layer: cumulate(x, layer))


def _normalizations() -> Iterator[Row]:
    for axis in (0, 1, 2):
        yield row(SoftMax(axis), [normal(2, 3, 4)], _torch(lambda x, a=axis: x.softmax(a)))
    for dtype in FLOATS[1:]:
        yield row(
            SoftMax(1), [normal(2, 5, dtype=dtype)], _torch(lambda x: x.softmax(1), dtype),
            tolerance=TOLERANCE[dtype],
        )  # fmt: skip
    lrn = LRN(3, 2e-2, 0.7, 1.5)
    yield row(
        lrn, [3 * normal(2, 6, 4, 3)],
        _torch(lambda x: F.local_response_norm(x, 3, 2e-2, 0.7, 1.5)),
    )  # fmt: skip

    def normalized(layer: Normalization) -> Any:
        def normalize(x: Any, scale: Any, bias: Any) -> Any:
            groups = layer.num_groups
            if groups > 1:
                view = x.reshape(x.shape[0], groups, -1)
                mean = view.mean(2, keepdim=True)
                variance = view.var(2, unbiased=False, keepdim=True)
                done = ((view - mean) / (variance + layer.epsilon).sqrt()).reshape(x.shape)
                repeat = x.shape[1] // scale.shape[1]
                scale, bias = (t.repeat_interleave(repeat, 1) for t in (scale, bias))
            else:
                mean = x.mean(layer.axes, keepdim=True)
                variance = x.var(layer.axes, unbiased=False, keepdim=True)
                done = (x - mean) / (variance + layer.epsilon).sqrt()
            return done * scale + bias

        return normalize

    cases: list[tuple[Normalization, tuple[int, ...], tuple[int, ...]]] = [
        (Normalization((2,), 1e-6), (2, 3, 8), (1, 1, 8)),
        (Normalization((1, 2)), (2, 3, 8), (1, 3, 8)),
        (Normalization((2,)), (2, 3, 8), (1, 1, 1)),
        (Normalization((1,)), (2, 6, 4), (1, 6, 1)),
        (Normalization((0, 2)), (2, 6, 4), (1, 6, 1)),
        (Normalization((2, 3)), (2, 6, 4, 5), (1, 6, 1, 1)),
        (Normalization((1, 2, 3)), (2, 6, 4, 5), (1, 6, 1, 1)),
        (Normalization((2, 3), num_groups=3), (2, 6, 4, 5), (1, 6, 1, 1)),
        (Normalization((2, 3), num_groups=3), (2, 6, 4, 5), (1, 3, 1, 1)),
        (Normalization((2,), num_groups=2), (2, 6, 9), (1, 6, 1)),
        (Normalization((2, 3, 4), num_groups=2), (2, 4, 3, 2, 5), (1, 4, 1, 1, 1)),
        (Normalization((0,)), (7,), (7,)),
    ]
    for layer, shape, weights in cases:
        inputs = [normal(*shape) + 3, normal(*weights, seed=1), normal(*weights, seed=2)]
        known = 2 if layer.num_groups > 1 else 0
        for constants in ([1, 2], []):
            yield row(
                layer, inputs, _torch(normalized(layer)), constants=constants, tolerance=1e-4,
                known=known,
            )  # fmt: skip
        for dtype in FLOATS[1:]:
            narrow = [a.astype(dtype) for a in inputs]
            yield row(
                layer, narrow, _torch(normalized(layer), dtype), constants=[1, 2],
                tolerance=3 * TOLERANCE[dtype], known=known,
            )  # fmt: skip


def _quantizations() -> Iterator[Row]:
    def quantize(x: np.ndarray, scale: np.ndarray, axis: int) -> np.ndarray:
        wide = (
            np.expand_dims(scale, [a for a in range(x.ndim) if a != axis]) if scale.ndim else scale
        )
        steps = x.astype(np.float64) / wide.astype(np.float64)
        return np.clip(np.rint(steps), -128, 127).astype(np.int8)

    def dequantize(q: np.ndarray, scale: np.ndarray, axis: int) -> np.ndarray:
        wide = (
            np.expand_dims(scale, [a for a in range(q.ndim) if a != axis]) if scale.ndim else scale
        )
        return (q.astype(np.float64) * wide.astype(np.float64)).astype(scale.dtype)

    halves = np.float32([[-300, -2.5, -1.5, -0.5], [0.5, 1.5, 2.5, 300]])
    for scale, axis in [
        (np.float32(1), -1),
        (np.float32([0.5, 2]), 0),
        (np.float32([1, 2, 4, 8]), 1),
    ]:
        for dtype in FLOATS:
            inputs = [halves.astype(dtype), scale.astype(dtype)]
            yield row(Quantize(axis), inputs, lambda x, s, a=axis: quantize(x, s, a),
                      constants=[1], symbolic=scale.ndim == 0)  # fmt: skip
            values = [whole(2, 4, low=-128, high=127, dtype=np.int8), scale.astype(dtype)]
            yield row(Dequantize(axis), values, lambda x, s, a=axis: dequantize(x, s, a),
                      constants=[1], symbolic=scale.ndim == 0)  # fmt: skip
    mixed = [halves.astype(np.float16), np.float32(0.5)]
    yield row(Quantize(), mixed, lambda x, s: quantize(x, s, -1), constants=[1])
    weights = [whole(64, 32, low=-128, high=127, dtype=np.int8), normal(64) ** 2 + 0.1]
    yield row(Dequantize(0), weights, lambda x, s: dequantize(x, s, 0), constants=[0, 1])
