# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edge_trt.capture import Axis, Input
from edge_trt.capture.inputs import dtype_name
from edge_trt.errors import OptionError
from edge_trt_runtime.dtypes import NUMPY_DTYPES

BATCH = Axis(1, 4, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image=1..4..8x3x224x224:float32", Input((None, 3, 224, 224), min=(1, 3, 224, 224),
         opt=(4, 3, 224, 224), max=(8, 3, 224, 224), name="image")),
        ("ids=batch:1..4..8xseq:1..128..512:int64", Input(("batch", "seq"),
         min={"batch": 1, "seq": 1}, opt={"batch": 4, "seq": 128}, max={"batch": 8, "seq": 512},
         dtype=torch.int64, name="ids")),
        ("1x3x224x224", Input((1, 3, 224, 224))),
        ("1..8x3:float16", Input(min=(1, 3), max=(8, 3), dtype="float16")),
        ("mask=n:4:bool", Input((4,), dtype=torch.bool, name="mask")),
        ("x=xx:1..2xx:1..2", Input(("xx", "x"), min=(1, 1), max=(2, 2), name="x")),
        ("temperature=scalar", Input((), name="temperature")),
        ("scalar:int64", Input((), dtype="int64")),
    ],
)  # fmt: skip
def test_grammar(text, expected):
    assert Input.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "can't read the shape"),
        ("image=", "can't read the shape"),
        ("image=axb", "from 'axb'"),
        ("image=1x", "from ''"),
        ("image=1..2..3..4", "can't read '..4'"),
        ("image=1 x 3", "separate sizes by 'x'"),
        ("image=8..4..1", "not in order"),
        ("image=1..9..8", "min <= opt <= max"),
        ("image=1x3:flaot32", "did you mean 'float32'"),
        ("image=1x3:bfloat16", "numpy lacks: take and give float32 and cast inside forward"),
        ("im age=1x3", "can't name an input"),
        ("image=-1x3", "can't read the shape"),
    ],
)
def test_bad_texts(text, says):
    with pytest.raises(OptionError, match=says):
        Input.parse(text)


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
sizes = st.integers(0, 4096)


@st.composite
def axes(draw):
    low, opt, high = sorted((draw(sizes), draw(sizes), draw(sizes)))
    name = draw(st.none() | names)
    return low if low == high else Axis(low, opt, high, name)


@st.composite
def inputs(draw):
    dtype = draw(st.sampled_from([d for d in NUMPY_DTYPES if not d.startswith("complex")]))
    described = Input((), dtype=dtype, name=draw(st.none() | names))
    object.__setattr__(described, "shape", tuple(draw(st.lists(sizes | axes(), max_size=5))))
    return described


@given(inputs())
def test_text_and_input_are_the_same(described):
    assert Input.parse(str(described)) == described


@given(st.text("0123456789x.:=batchfloat32 ", max_size=20))
def test_any_text_is_read_or_refused(text):
    try:
        described = Input.parse(text)
    except OptionError:
        return
    assert Input.parse(str(described)) == described


def test_ways_to_say_the_same_range():
    by_shapes = Input((None, 3), min=(1, 3), opt=(4, 3), max=(8, 3))
    assert Input(min=(1, 3), opt=(4, 3), max=(8, 3)) == by_shapes
    assert by_shapes.shape == (BATCH, 3)
    by_number = Input(("n", 3), min=1, opt=4, max=8)
    assert Input(("n", 3), min={"n": 1}, opt={"n": 4}, max={"n": 8}) == by_number
    assert by_number.shape == (Axis(1, 4, 8, "n"), 3)


def test_opt_defaults_to_max_or_to_the_example():
    assert Input(("n",), min=1, max=8).shape == (Axis(1, 8, 8, "n"),)
    example = Input(torch.zeros(4, 3, dtype=torch.int64), min=(1, 3), max=(8, 3))
    assert example.shape == (BATCH, 3)
    assert example.dtype == "int64"


def test_an_example_alone_is_fixed():
    tensor = torch.randn(2, 3)
    described = Input(tensor, name="x")
    assert described.shape == (2, 3)
    assert described.example is tensor


def test_a_range_of_one_size_is_fixed():
    assert Input(("n", 3), min=2, max=2).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "has no sizes"),
        ({"min": 1, "max": 8}, "has no sizes"),
        ({"min": (1, 3), "max": (8,)}, "has no sizes"),
        ({"shape": ("n", 3)}, "'n' has no range"),
        ({"shape": (None, 3), "min": (1, 3)}, "dimension 0 has no range"),
        ({"shape": ("n", 3), "min": 1}, "'n' has no range"),
        ({"shape": ("n", "m"), "min": 1, "max": 2}, "2 named dimensions"),
        ({"shape": ("n", 3), "min": {"m": 1}, "max": {"n": 2}}, "no dimension is named 'm'"),
        ({"shape": (1, 3), "min": (1, 3), "max": (8, 3)}, "dimension 0 is 1 in the shape and 8"),
        ({"shape": ("n", 3), "min": (1,), "max": (8,)}, "has 1 sizes, the shape has 2"),
        ({"shape": (-1, 3)}, "-1 is not a size"),
        ({"shape": (1.5, 3)}, "1.5 is not a size"),
        ({"shape": ("n", 3), "min": 8, "max": 1}, "not in order"),
        ({"shape": ("a b", 3), "min": 1, "max": 8}, "can't name a dimension"),
        ({"shape": (1,), "name": "a b"}, "can't name an input"),
        ({"shape": (1,), "dtype": torch.complex64}, "can't be an input's data type"),
    ],
)
def test_bad_descriptions(arguments, says):
    with pytest.raises(OptionError, match=says):
        Input(**arguments)


def test_names_of_data_types():
    assert dtype_name(torch.float16) == dtype_name("float16") == "float16"


def test_input_needs_no_torch():
    code = (
        "import sys; from edge_trt.capture import Input; Input.parse('x=1..2x3:int64');"
        "Input(('n', 3), min=1, max=4); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
