# SPDX-License-Identifier: Apache-2.0
"""The small safetensors reader against the library, and against damage."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save, save_file

from edge_trt_runtime import BundleError
from edge_trt_runtime.vectors import read_tensors

DTYPES = ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8"]


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8),
        st.sampled_from(DTYPES).flatmap(
            lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=4,
    )
)
def test_reads_what_the_library_writes(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray]
) -> None:
    tensors.pop("__metadata__", None)
    path = tmp_path_factory.mktemp("t") / "t.safetensors"
    save_file(tensors, path, metadata={"format": "np"})
    read = read_tensors(str(path))
    assert read.keys() == tensors.keys()
    for name, array in read.items():
        assert array.dtype == tensors[name].dtype
        np.testing.assert_array_equal(array, tensors[name])


def file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


TWICE = json.dumps(entry()).encode()[:-1] + b", " + json.dumps(entry()).encode()[1:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\1\0\0", "its header is longer than the file"),
        (file({}, length=1 << 60), "its header is longer than the file"),
        (file(b"{"), "its header is malformed"),
        (file([]), "its header is malformed"),
        (file({"a": {"dtype": "F32"}}), "its header is malformed"),
        (file(entry(), bytes(7)), "'a' lies outside the file"),
        (file(entry(offsets=(8, 0)), bytes(8)), "'a' lies outside the file"),
        (file(entry(offsets=(-8, 0)), bytes(8)), "'a' lies outside the file"),
        (file(entry(shape=(-1, -2)), bytes(8)), "'a' lies outside the file"),
        (file(entry(shape=(3,)), bytes(12)), "'a' has 8 bytes, which is not its shape's size"),
        (file(entry(shape=(0, 1 << 62, 8), offsets=(0, 0))), "'a' can't have its shape"),
        (file(entry(shape=(0, 1 << 70), offsets=(0, 0))), "'a' can't have its shape"),
        (file(entry(shape=(1,) * 70, offsets=(0, 4)), bytes(4)), "'a' can't have its shape"),
        (file(b"[" * 100_000 + b"]" * 100_000), "its header is malformed"),
        (file(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "its header is malformed"),
        (file(TWICE, bytes(8)), "'a' stands twice in its header"),
        (file(entry("BF16", (4,)), bytes(8)), "'a' has the type BF16, which numpy lacks"),
        (file(entry("F8_E4M3", (8,)), bytes(8)), "'a' has the type F8_E4M3, which numpy lacks"),
    ],
)
def test_damage_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=message) as caught:
        read_tensors(str(path))
    assert caught.value.file == str(path)


@given(st.data())
def test_a_damaged_header_never_reads_outside(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(save({"a": np.arange(6, dtype="f4").reshape(2, 3)}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("t") / "t.safetensors"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        tensors = read_tensors(str(path))
    except BundleError:
        return
    assert all(array.nbytes <= 24 for array in tensors.values())


def test_arrays_are_read_only_views_that_outlive_the_call(tmp_path: Path) -> None:
    save_file({"a": np.arange(4.0)}, tmp_path / "t.safetensors")
    array = read_tensors(str(tmp_path / "t.safetensors"))["a"]
    assert not array.flags.writeable
    assert not array.flags.owndata
    np.testing.assert_array_equal(array, [0, 1, 2, 3])
