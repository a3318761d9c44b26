# SPDX-License-Identifier: Apache-2.0
"""The input checker: every refusal with its remedy, and agreement with a slow definition."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_runtime import ImageSpec, InputError, Range, Signature
from edge_trt_runtime.inputs import InputChecker
from tests.support.bundles import spec

SIGNATURE = Signature(
    inputs=[spec("image", ["n", 3, 8, 8]), spec("boxes", ["n", 4], "int64")],
    outputs=[],
    dims={"n": Range(1, 2, 4)},
)


def good(n: int = 2) -> dict[str, Any]:
    return {"image": np.zeros((n, 3, 8, 8), np.float32), "boxes": np.zeros((n, 4), np.int64)}


class FakeTensor:
    __module__ = "torch"
    __qualname__ = "Tensor"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in good().items() if key != name}


REFUSED: list[tuple[Any, str]] = [
    (without("boxes"), "input 'boxes' is missing: this model takes 'image', 'boxes'"),
    ({**without("image"), "img": 0}, "unknown input 'img': did you mean 'image'? this model takes"),
    ({**good(), "Boxes": 0}, "unknown input 'Boxes': did you mean 'boxes'?"),
    ({**good(), "zzz": 0}, "unknown input 'zzz': this model takes 'image', 'boxes'"),
    ({**good(), 3: 0}, "unknown input 3: this model takes"),
    ([1], "inputs must be a dict of name to array, got list: pass {'image': array"),
    (np.zeros(3), "inputs must be a dict of name to array, got numpy.ndarray"),
    ({**good(), "boxes": [[1, 2, 3, 4]]}, "got list: pass np.asarray(value, 'int64')"),
    ({**good(), "boxes": None}, "'boxes' must be a numpy array, got NoneType"),
    ({**good(), "boxes": np.int64(3)}, "got numpy.int64: pass np.asarray"),
    ({**good(), "image": FakeTensor()}, "got torch.Tensor: pass tensor.numpy()"),
    ({**good(), "image": np.ma.masked_array(good()["image"])}, "pass array.filled(value)"),
    (
        {**good(), "image": good()["image"].astype("f8")},
        "input 'image' must be float32, got float64: pass array.astype('float32')",
    ),
    (
        {**good(), "boxes": good()["boxes"].astype(">i8")},
        "input 'boxes' must be int64, got int64 in foreign byte order: pass array.astype('int64')",
    ),
    (
        {**good(), "image": np.zeros((3, 8, 8), np.float32)},
        "must have the shape [n, 3, 8, 8] (n: 1..4), got [3, 8, 8]: add the first axis with array",
    ),
    (
        {**good(), "image": np.zeros((8, 8), np.float32)},
        "it needs 4 dimensions, not 2",
    ),
    (
        {**good(), "image": np.zeros((2, 1, 8, 8), np.float32)},
        "input 'image' has size 1 in dimension 1, which must be 3: its shape must be [n, 3, 8, 8]",
    ),
    (
        good(5),
        "input 'image' has size 5 in dimension 0, which must be 1..4 ('n'): split the input, or",
    ),
    (good(0), "input 'image' has size 0 in dimension 0, which must be 1..4"),
    (
        {"image": good(2)["image"], "boxes": good(3)["boxes"]},
        "'boxes' has size 3 in dimension 0, but 'image' in dimension 0 has size 2: both are 'n'",
    ),
]


@pytest.mark.parametrize(("inputs", "message"), REFUSED, ids=[text[:40] for _, text in REFUSED])
def test_refusals_name_the_remedy(inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        InputChecker(SIGNATURE).check(inputs)
    assert isinstance(caught.value, ValueError)
    assert caught.value.hint


def test_arrays_come_back_in_the_signatures_order_uncopied() -> None:
    inputs = good()
    image, boxes = InputChecker(SIGNATURE).check(dict(reversed(inputs.items())))
    assert image is inputs["image"]
    assert boxes is inputs["boxes"]


def test_a_cast_is_not_advised_for_pixels() -> None:
    image = ImageSpec([0.5], [0.5], color="L")
    signature = Signature(inputs=[spec("image", [1, 1, 2, 2], image=image)], outputs=[])
    with pytest.raises(InputError, match="scale and normalise the pixels first"):
        InputChecker(signature).check({"image": np.zeros((1, 1, 2, 2), np.uint8)})


def test_an_expression_is_left_to_the_engine() -> None:
    signature = Signature(
        inputs=[spec("x", ["n"]), spec("y", ["2*n"])], outputs=[], dims={"n": Range(1, 1, 4)}
    )
    x, y = np.zeros(2, np.float32), np.zeros(99, np.float32)
    assert len(InputChecker(signature).check({"x": x, "y": y})) == 2


def test_no_inputs_at_all() -> None:
    checker = InputChecker(Signature(inputs=[], outputs=[]))
    assert checker.check({}) == []
    with pytest.raises(InputError, match="this model takes no inputs"):
        checker.check({"x": 0})


DTYPES = st.sampled_from(["float32", "int64", "uint8", "bool"])
SIZES = st.one_of(st.integers(0, 3), st.sampled_from(["n", "m", "n+1"]))
SPECS = st.lists(
    st.tuples(st.sampled_from("abc"), DTYPES, st.lists(SIZES, max_size=3)),
    max_size=3,
    unique_by=lambda row: row[0],
)


def acceptable(signature: Signature, inputs: dict[str, np.ndarray]) -> bool:
    """What the checker should accept, by the plainest definition."""
    if {s.name for s in signature.inputs} != set(inputs):
        return False
    sizes: dict[str, set[int]] = {}
    for s in signature.inputs:
        array = inputs[s.name]
        if array.dtype != np.dtype(s.dtype) or array.ndim != len(s.shape):
            return False
        for got, want in zip(array.shape, s.shape, strict=True):
            if isinstance(want, int) and got != want:
                return False
            if want in signature.dims:
                sizes.setdefault(want, set()).add(got)
    return all(
        len(found) == 1 and signature.dims[name].min <= min(found) <= signature.dims[name].max
        for name, found in sizes.items()
    )


@given(SPECS, st.data())
def test_agrees_with_the_plain_definition(
    rows: list[tuple[str, str, list[int | str]]], data: st.DataObject
) -> None:
    dims = {"n": Range(1, 1, 2), "m": Range(0, 2, 3)}
    signature = Signature(
        inputs=[spec(name, shape, dtype) for name, dtype, shape in rows], outputs=[], dims=dims
    )
    guess = {"n": data.draw(st.integers(0, 3)), "m": data.draw(st.integers(0, 3))}
    inputs: dict[str, np.ndarray] = {}
    for name, dtype, shape in rows:
        sizes = [guess.get(str(size), 2) if isinstance(size, str) else size for size in shape]
        flaw = data.draw(st.sampled_from(["none"] * 6 + ["dtype", "rank", "size", "name"]))
        if flaw == "size" and sizes:
            sizes[-1] += 1
        if flaw == "rank":
            sizes.append(1)
        array = np.zeros(sizes, "float16" if flaw == "dtype" else dtype)
        inputs["z" if flaw == "name" else name] = array
    checker = InputChecker(signature)
    if acceptable(signature, inputs):
        assert [id(a) for a in checker.check(inputs)] == [id(inputs[row[0]]) for row in rows]
    else:
        with pytest.raises(InputError):
            checker.check(inputs)


def test_sizes_in_steps() -> None:
    signature = Signature(
        inputs=[spec("image", [1, "h"])], outputs=[], dims={"h": Range(32, 64, 128, 32)}
    )
    checker = InputChecker(signature)
    for size in (32, 64, 96, 128):
        checker.check({"image": np.zeros((1, size), np.float32)})
    for size, hint in ((48, "pad or resize it to a multiple of 32"), (160, "split the input")):
        with pytest.raises(InputError, match=r"must be 32..128 in steps of 32 \('h'\)") as caught:
            checker.check({"image": np.zeros((1, size), np.float32)})
        assert hint in str(caught.value)
