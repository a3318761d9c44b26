# SPDX-License-Identifier: Apache-2.0
"""TensorRT's documented meaning of layers that no parser writes, and what must not pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.trt_interpreter import Interpreter, UnsupportedLayerError

trt = pytest.importorskip("tensorrt_rtx")
pytestmark = pytest.mark.rtx

Array = np.ndarray
LOGGER = trt.Logger(trt.Logger.INTERNAL_ERROR)
BUILDER = trt.Builder(LOGGER)
TYPES = {"float32": trt.float32, "int64": trt.int64, "int32": trt.int32, "float16": trt.float16}


class Net:
    """A network definition under construction, with inputs that know their values."""

    def __init__(self) -> None:
        self.definition = BUILDER.create_network(0)
        self.feeds: dict[str, Array] = {}

    def input(
        self, values: Any, dtype: str = "float32", shape: tuple[int, ...] | None = None
    ) -> Any:
        array = np.asarray(values, dtype=dtype)
        name = f"x{len(self.feeds)}"
        self.feeds[name] = array
        return self.definition.add_input(name, TYPES[dtype], shape or array.shape)

    def constant(self, values: Any, dtype: str = "float32") -> Any:
        array = np.asarray(values, dtype=dtype)
        return self.definition.add_constant(array.shape, np.ascontiguousarray(array)).get_output(0)

    def run(self, layer: Any) -> list[Array]:
        for i in range(layer.num_outputs):
            self.definition.mark_output(layer.get_output(i))
        results = Interpreter(self.definition, trt).run(self.feeds)
        return [result.numpy() for result in results.values()]


def run(build: Callable[[Net, Any], Any]) -> Array:
    """The first output of the layer that `build` adds."""
    net = Net()
    return net.run(build(net, net.definition))[0]


COUNT = np.arange(5)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # x_i = -3 ... 8 in five elements; the reflection is about the outermost elements
        ("CLAMP", [0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 4, 4]),
        ("WRAP", [2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3]),
        ("REFLECT", [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]),
        ("FILL", [9, 9, 9, 0, 1, 2, 3, 4, 9, 9, 9, 9]),
    ],
)
def test_slice_outside_the_bounds(mode: str, expected: list[int]) -> None:
    def build(net: Net, definition: Any) -> Any:
        layer = definition.add_slice(net.input(COUNT), (-3,), (12,), (1,))
        layer.mode = getattr(trt.SampleMode, mode)
        if mode == "FILL":
            layer.set_input(4, net.constant(9))
        return layer

    assert run(build).tolist() == expected


def test_slice_with_stride_zero_repeats() -> None:
    result = run(lambda n, d: d.add_slice(n.input([[1, 2, 3]]), (0, 1), (2, 4), (0, 0)))
    assert result.tolist() == [[2, 2, 2, 2]] * 2


def test_slice_along_given_axes_with_sizes_as_inputs() -> None:
    values = np.arange(24).reshape(2, 3, 4)

    def build(net: Net, definition: Any) -> Any:
        layer = definition.add_slice(net.input(values), (2,), (0,), (-1,))
        layer.set_input(2, net.input([2], "int64"))
        layer.set_input(5, net.constant([-2], "int64"))
        return layer

    assert np.array_equal(run(build), values[:, 2:0:-1])


def test_slice_refuses_places_outside_strict_bounds() -> None:
    net = Net()
    layer = net.definition.add_slice(net.input(COUNT, shape=(-1,)), (3,), (4,), (1,))
    with pytest.raises(UnsupportedLayerError, match=r"SLICE.*3 to 6 of 5"):
        net.run(layer)


@pytest.mark.parametrize(
    ("mode", "expected"), [("EXPLICIT_ROUND_DOWN", 2), ("EXPLICIT_ROUND_UP", 3)]
)
def test_pooling_rounds_up_into_nothing(mode: str, expected: int) -> None:
    """Five elements, windows of two: the last, rounded-up window holds one element."""

    def build(net: Net, definition: Any) -> Any:
        x = net.input(COUNT.reshape(1, 1, 1, 5))
        layer = definition.add_pooling_nd(x, trt.PoolingType.AVERAGE, (1, 2))
        layer.stride_nd, layer.padding_mode = (1, 2), getattr(trt.PaddingMode, mode)
        return layer

    assert run(build).ravel().tolist() == [0.5, 2.5, 4.0][:expected]


@pytest.mark.parametrize(("excludes", "first"), [(True, 1.0), (False, 1 / 3)])
def test_average_counts_padding_only_when_told(excludes: bool, first: float) -> None:
    def build(net: Net, definition: Any) -> Any:
        x = net.input(np.ones((1, 1, 1, 4)))
        layer = definition.add_pooling_nd(x, trt.PoolingType.AVERAGE, (1, 3))
        layer.pre_padding, layer.average_count_excludes_padding = (0, 2), excludes
        return layer

    assert run(build).ravel()[0] == pytest.approx(first)


def test_pooling_blends_maximum_and_average() -> None:
    def build(net: Net, definition: Any) -> Any:
        x = net.input(COUNT[:4].reshape(1, 1, 1, 4))
        layer = definition.add_pooling_nd(x, trt.PoolingType.MAX_AVERAGE_BLEND, (1, 4))
        layer.blend_factor = 0.25
        return layer

    assert run(build).ravel().tolist() == [0.75 * 3 + 0.25 * 1.5]


def test_placeholder_zero_copies_a_size_of_the_transposed_input() -> None:
    values = np.arange(24).reshape(2, 3, 4)

    def build(net: Net, definition: Any) -> Any:
        layer = definition.add_shuffle(net.input(values))
        layer.first_transpose, layer.reshape_dims = (2, 0, 1), (0, -1)
        layer.second_transpose = (1, 0)
        return layer

    assert np.array_equal(run(build), values.transpose(2, 0, 1).reshape(4, 6).T)


def test_zero_is_a_size_when_it_is_no_placeholder() -> None:
    def build(net: Net, definition: Any) -> Any:
        layer = definition.add_shuffle(net.input(np.zeros((0, 3)), shape=(-1, 3)))
        layer.zero_is_placeholder = False
        layer.set_input(1, net.input([5, 0], "int64"))
        return layer

    assert run(build).shape == (5, 0)


def test_fill_is_affine_in_its_places() -> None:
    """The example of TensorRT's own header: [3, 4], alpha 1, beta [100, 10]."""

    def build(net: Net, definition: Any) -> Any:
        layer = definition.add_fill((3, 4), trt.FillOperation.LINSPACE, trt.int64)
        layer.set_input(1, net.constant(1, "int64"))
        layer.set_input(2, net.constant([100, 10], "int64"))
        return layer

    rows = [[1, 11, 21, 31], [101, 111, 121, 131], [201, 211, 221, 231]]
    assert run(build).tolist() == rows


def test_integer_division_rounds_to_zero_and_floor_division_down() -> None:
    for op, expected in (("DIV", [-3, 3, -3]), ("FLOOR_DIV", [-4, 3, -4])):

        def build(net: Net, definition: Any, op: str = op) -> Any:
            a, b = net.input([-7, 7, 7], "int64"), net.input([2, 2, -2], "int64")
            return definition.add_elementwise(a, b, getattr(trt.ElementWiseOperation, op))

        assert run(build).tolist() == expected


@pytest.mark.parametrize(
    ("ops", "shapes", "numpy"),
    [
        (("NONE", "TRANSPOSE"), ((2, 3, 4), (2, 5, 4)), "bij,bkj->bik"),
        (("TRANSPOSE", "NONE"), ((1, 4, 3), (2, 4, 5)), "zji,bjk->bik"),
        (("VECTOR", "NONE"), ((2, 4), (2, 4, 5)), "bj,bjk->bk"),
        (("NONE", "VECTOR"), ((2, 3, 4), (2, 4)), "bij,bj->bi"),
        (("VECTOR", "VECTOR"), ((2, 4), (2, 4)), "bj,bj->b"),
    ],
)
def test_matrix_operations(
    ops: tuple[str, str], shapes: tuple[tuple[int, ...], ...], numpy: str
) -> None:
    a, b = (np.random.default_rng(i).standard_normal(s).astype("f") for i, s in enumerate(shapes))
    op0, op1 = (getattr(trt.MatrixOperation, op) for op in ops)
    result = run(lambda n, d: d.add_matrix_multiply(n.input(a), op0, n.input(b), op1))
    assert np.allclose(result, np.einsum(numpy, a, b), atol=1e-5)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "LEAKY_RELU": lambda x: np.where(x >= 0, x, 0.7 * x),
    "ELU": lambda x: np.where(x >= 0, x, 0.7 * (np.exp(x) - 1)),
    "SELU": lambda x: np.where(x > 0, 1.3 * x, 1.3 * 0.7 * (np.exp(x) - 1)),
    "SOFTPLUS": lambda x: 0.7 * np.log(np.exp(1.3 * x) + 1),
    "CLIP": lambda x: np.maximum(0.7, np.minimum(1.3, x)),
    "HARD_SIGMOID": lambda x: np.maximum(0, np.minimum(1, 0.7 * x + 1.3)),
    "SCALED_TANH": lambda x: 0.7 * np.tanh(1.3 * x),
    "THRESHOLDED_RELU": lambda x: np.where(x > 0.7, x, 0),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_with_alpha_and_beta(kind: str) -> None:
    x = np.linspace(-4, 4, 33, dtype="f")

    def build(net: Net, definition: Any) -> Any:
        layer = definition.add_activation(net.input(x), getattr(trt.ActivationType, kind))
        layer.alpha, layer.beta = 0.7, 1.3
        return layer

    assert np.allclose(run(build), ACTIVATIONS[kind](x), atol=1e-5)


@pytest.mark.parametrize("mode", ["UNIFORM", "CHANNEL", "ELEMENTWISE"])
def test_scale_shifts_and_raises(mode: str) -> None:
    x = np.random.default_rng(0).random((2, 3, 4), dtype="f")
    size = {"UNIFORM": (1, 1), "CHANNEL": (3, 1), "ELEMENTWISE": (3, 4)}[mode]
    parts = [np.random.default_rng(i).random(size, dtype="f") + 0.5 for i in range(3)]
    shift, scale, power = parts
    flat = [np.ascontiguousarray(part.ravel()) for part in parts]

    def build(net: Net, definition: Any) -> Any:
        return definition.add_scale_nd(net.input(x), getattr(trt.ScaleMode, mode), *flat, 1)

    assert np.allclose(run(build), (x * scale + shift) ** power, atol=1e-5)


def test_quantize_rounds_half_to_even_and_saturates() -> None:
    def build(net: Net, definition: Any) -> Any:
        x = net.input([0.5, 1.5, 2.5, -0.5, 300, -300])
        return definition.add_quantize(x, net.constant(1), trt.int8)

    assert run(build).tolist() == [0, 2, 2, 0, 127, -128]


def test_padding_trims_with_negative_amounts() -> None:
    def build(net: Net, definition: Any) -> Any:
        return definition.add_padding_nd(net.input(COUNT.reshape(1, 1, 1, 5)), (1, -2), (0, 1))

    assert run(build).tolist() == [[[[0, 0, 0, 0], [2, 3, 4, 0]]]]


def test_layers_are_executed_in_order_of_their_dependencies() -> None:
    net = Net()
    x = net.input([[1.0, 2.0, 3.0]])
    shuffle = net.definition.add_shuffle(x)
    shuffle.set_input(1, net.constant([3, 1], "int64"))
    assert net.run(shuffle)[0].shape == (3, 1)


def test_negative_places_need_a_size_known_at_build_time() -> None:
    def build(net: Net, definition: Any, shape: tuple[int, ...]) -> Any:
        return definition.add_gather(net.input(COUNT, shape=shape), net.constant([-1], "int64"), 0)

    assert run(lambda n, d: build(n, d, (5,))).tolist() == [4]
    with pytest.raises(UnsupportedLayerError, match=r"GATHER.*indices from -1"):
        run(lambda n, d: build(n, d, (-1,)))


def test_resize_refuses_scales_that_are_no_ratio_of_sizes() -> None:
    def build(net: Net, definition: Any) -> Any:
        layer = definition.add_resize(net.input(COUNT.reshape(1, 1, 1, 5)))
        layer.scales = (1, 1, 1, 1.5)
        return layer

    with pytest.raises(UnsupportedLayerError, match=r"RESIZE.*not exact"):
        run(build)


def test_casts_refuse_what_the_type_cannot_hold() -> None:
    def build(net: Net, definition: Any) -> Any:
        return definition.add_cast(net.input([1, 2**40], "int64"), trt.int32)

    with pytest.raises(UnsupportedLayerError, match=r"CAST.*torch\.int32"):
        run(build)


def test_bfloat16_weights_are_read_back() -> None:
    values = torch.tensor([1.5, -2.0, 0.007, 3e38]).to(torch.bfloat16)
    bits = values.view(torch.int16).numpy()
    net = Net()
    layer = net.definition.add_constant(
        (2, 2), trt.Weights(trt.bfloat16, bits.ctypes.data, bits.size)
    )
    net.definition.mark_output(layer.get_output(0))
    (result,) = Interpreter(net.definition, trt).run({}).values()
    assert result.dtype is torch.bfloat16
    assert torch.equal(result, values.reshape(2, 2))


def test_unknown_kinds_are_named() -> None:
    net = Net()
    layer = net.definition.add_ragged_softmax(
        net.input([[[1.0, 2.0]]]), net.constant([[[2]]], "int32")
    )
    with pytest.raises(UnsupportedLayerError, match="RAGGED_SOFTMAX layer"):
        net.run(layer)


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "inputs"),
        ({"x0": np.zeros(3, "f"), "y": np.zeros(3, "f")}, "inputs"),
        ({"x0": np.zeros(3, "i8")}, "float32"),
        ({"x0": np.zeros(4, "f")}, "shape"),
        ({"x0": np.zeros((3, 1), "f")}, "shape"),
    ],
)
def test_feeds_have_to_fit(feeds: dict[str, Array], text: str) -> None:
    net = Net()
    layer = net.definition.add_identity(net.input([1, 2, 3]))
    net.definition.mark_output(layer.get_output(0))
    with pytest.raises(ValueError, match=text):
        Interpreter(net.definition, trt).run(feeds)


def test_a_wrong_attribute_changes_the_result() -> None:
    """What the oracle is for: the same network with one stride, axis or epsilon off differs."""
    x = torch.rand(1, 4, 6, 6).numpy()
    base = run(lambda n, d: d.add_softmax(n.input(x)))

    def other(net: Net, definition: Any) -> Any:
        layer = definition.add_softmax(net.input(x))
        layer.axes = 1 << 3
        return layer

    assert not np.allclose(base, run(other))
