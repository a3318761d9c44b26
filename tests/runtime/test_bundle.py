# SPDX-License-Identifier: Apache-2.0
"""Opening and verifying bundles: every kind of damage is refused, and the file named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import BundleError, open_bundle, verify_bundle
from tests.support.bundles import relu_draft

MODEL = "engines/cpu/main.onnx"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return relu_draft().write(tmp_path / "m.edge")


def edit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "edited": (lambda b: edit(b / MODEL), MODEL, "was changed after the build (sha256 differs)"),
    "truncated": (lambda b: os.truncate(b / MODEL, 5), MODEL, "is truncated: 5 bytes instead of"),
    "longer": (lambda b: os.truncate(b / MODEL, 9999), MODEL, "is changed: 9999 bytes instead"),
    "missing": (lambda b: (b / MODEL).unlink(), MODEL, "is missing from the bundle"),
    "unlisted": (lambda b: (b / "engines/extra").touch(), "engines/extra", "is not listed"),
    "unlisted link": (
        lambda b: (b / "engines/l").symlink_to("cpu", target_is_directory=True),
        "engines/l",
        "is not listed",
    ),
    "link out": (
        lambda b: (shutil.move(b / MODEL, b.parent / "x"), (b / MODEL).symlink_to(b.parent / "x")),
        MODEL,
        "is a symbolic link that leaves the bundle",
    ),
    "folder": (lambda b: ((b / MODEL).unlink(), (b / MODEL).mkdir()), MODEL, "not a regular file"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused_and_the_file_named(bundle: Path, kind: str) -> None:
    verify_bundle(bundle)
    damage, file, message = DAMAGE[kind]
    damage(bundle)
    for function in (verify_bundle, edge_trt_runtime.load):
        with pytest.raises(BundleError) as caught:
            function(bundle)
        assert caught.value.file == file
        assert repr(file) in str(caught.value)
        assert message in str(caught.value)
        assert caught.value.bundle == str(bundle)


def test_a_truncated_file_is_refused_even_unverified(bundle: Path) -> None:
    os.truncate(bundle / MODEL, 5)
    with pytest.raises(BundleError, match="is truncated"):
        edge_trt_runtime.load(bundle, verify=False)


def test_unverified_skips_only_the_digests(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    with edge_trt_runtime.load(bundle, verify=False) as session:
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4


def test_an_edited_manifest_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('"main.0"', '"main.7"', 1))
    with pytest.raises(BundleError, match=r"the manifest of .* contradicts itself"):
        edge_trt_runtime.load(bundle)


def test_what_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "file.edge").write_text("x")
    (tmp_path / "folder").mkdir()
    for name, message in [
        ("nothing", "does not exist"),
        ("file.edge", "is a file"),
        ("folder", r"is not a bundle \(it has no manifest.json\)"),
    ]:
        with pytest.raises(BundleError, match=message) as caught:
            open_bundle(tmp_path / name)
        assert "edge_trt build" in str(caught.value)


def test_a_link_to_a_bundle_is_a_bundle(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle)
    assert verify_bundle(tmp_path / "current").root == str(bundle)
    with edge_trt_runtime.load(str(tmp_path / "current")) as session:
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4


def test_a_manifest_that_links_out_is_refused(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "manifest.json", tmp_path / "manifest.json")
    (bundle / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(BundleError, match=r"'manifest.json' .* leaves the bundle"):
        open_bundle(bundle)


def test_a_manifest_of_gigabytes_is_refused_unread(bundle: Path) -> None:
    os.truncate(bundle / "manifest.json", 1 << 40)  # a hole: no disk space is used
    with pytest.raises(BundleError, match=r"manifest.json of .* is implausibly large"):
        open_bundle(bundle)


def test_reading_is_limited_to_listed_files(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.read(MODEL) == (bundle / MODEL).read_bytes()
    for path in ("manifest.json", "../secret", "engines/other"):
        with pytest.raises(BundleError, match="is not listed"):
            opened.path(path)
