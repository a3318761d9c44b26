# SPDX-License-Identifier: Apache-2.0
"""Paths of a bundle never lead out of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_runtime import BundleError
from edge_trt_runtime.paths import check_path, path_problem, resolve

UNSAFE = [
    "",
    "/etc/passwd",
    "..",
    "../other",
    "a/../../b",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\\b",
    "C:evil",
    "a\0b",
    "a\nb",
    "a\u202eb",
]


@pytest.mark.parametrize("path", UNSAFE)
def test_unsafe_paths_are_refused_by_name(path: str) -> None:
    with pytest.raises(BundleError, match="unsafe path") as caught:
        check_path(path)
    assert caught.value.file == path


@pytest.mark.parametrize("path", ["a", "engines/cpu/main.onnx", "..a", "a..", "ä/ö.bin", "a b"])
def test_plain_paths_are_fine(path: str) -> None:
    assert path_problem(path) is None


COMPONENT = st.text(st.sampled_from("ab./\\:\0\n~$-é"), max_size=6)


@given(st.one_of(st.text(max_size=20), st.lists(COMPONENT, max_size=5).map("/".join)))
def test_what_is_accepted_stays_inside(path: str) -> None:
    if path_problem(path) is not None:
        return
    joined = os.path.join("/bundle", path)
    assert os.path.normpath(joined) == joined
    assert joined.startswith("/bundle/")


@given(st.lists(st.sampled_from(["a", "b", "link", "out", "..", "."]), min_size=1, max_size=4))
def test_resolved_files_are_inside_whatever_the_links(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(os.path.realpath(folder), "bundle")
        os.makedirs(f"{root}/a/b")
        Path(root, "a", "b", "a").write_bytes(b"inside")
        Path(folder, "a").write_bytes(b"outside")
        os.symlink("../..", f"{root}/a/out")
        os.symlink("a", f"{root}/link")
        try:
            real = resolve(root, "/".join(parts))
        except BundleError:
            return
        assert Path(real).read_bytes() == b"inside"


def test_links_inside_are_followed_and_links_out_are_not(tmp_path: Path) -> None:
    root = tmp_path / "bundle"
    root.mkdir()
    (root / "real").write_bytes(b"1")
    (tmp_path / "secret").write_bytes(b"2")
    (root / "good").symlink_to("real")
    (root / "bad").symlink_to("../secret")
    (root / "broken").symlink_to("nothing")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    assert resolve(str(root), "good") == str(root / "real")
    with pytest.raises(BundleError, match=r"'bad' .* is a symbolic link that leaves the bundle"):
        resolve(str(root), "bad")
    for name in ("broken", "loop", "absent"):
        with pytest.raises(BundleError, match=f"'{name}' is missing"):
            resolve(str(root), name)
    with pytest.raises(BundleError, match=r"'pipe' .* is not a regular file"):
        resolve(str(root), "pipe")
