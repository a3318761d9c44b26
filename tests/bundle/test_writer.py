# SPDX-License-Identifier: Apache-2.0
"""The bundle writer: what it writes, what it refuses, and what is left when it fails."""

# ruff: noqa: PT012 (a writer that fails is entered, used and left)

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt.bundle import BundleWriter, replace, writer
from edge_trt.errors import BundleError, EdgeTrtError
from edge_trt_runtime import open_bundle, verify_bundle
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.manifest import FileEntry, Manifest, Signature
from tests.support.bundles import relu_draft

EMPTY = Manifest(
    producer="edge-trt 0.1.0",
    precision="fp32",
    targets=[],
    signature=Signature(inputs=[], outputs=[]),
    segments=[],
    results={},
)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def works(path: Path) -> bool:
    verify_bundle(path)
    with edge_trt_runtime.load(path) as session:
        return session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return relu_draft().write(tmp_path / "m.edge")


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Check that the bundle at ``path`` survives the block, with nothing beside it."""
    before, folder = tree(path), sorted(os.listdir(path.parent))
    yield
    assert tree(path) == before
    assert sorted(os.listdir(path.parent)) == folder
    assert works(path)


def test_every_file_is_listed_however_it_was_written(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "m.edge") as w:
        w.add_bytes("networks/a.json", b"{}")
        w.path("weights.safetensors").write_bytes(b"x" * 3_000_000)
        observe = w.observe("big/b.bin")
        with w.path("big/b.bin").open("wb") as file:
            for chunk in (b"one", b"two", memoryview(b"three")):
                file.write(chunk)
                observe(chunk)
        returned = w.commit(EMPTY)
    assert list(returned.files) == ["big/b.bin", "networks/a.json", "weights.safetensors"]
    for relative, entry in returned.files.items():
        data = (tmp_path / "m.edge" / relative).read_bytes()
        assert entry == FileEntry(hashlib.sha256(data).hexdigest(), len(data))
    assert verify_bundle(tmp_path / "m.edge").manifest == returned
    assert os.listdir(tmp_path) == ["m.edge"]


def test_observed_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def watch(path: str) -> FileEntry:
        read.append(os.path.basename(path))
        return file_entry(path)

    monkeypatch.setattr(writer, "file_entry", watch)
    with BundleWriter(tmp_path / "m.edge") as w:
        w.add_bytes("a", b"1")
        w.observe("b")(b"22")
        w.path("b").write_bytes(b"22")
        w.path("c").write_bytes(b"333")
        w.observe("d")(b"saw less")
        w.path("d").write_bytes(b"saw less than all")
        w.commit(EMPTY)
    assert read == ["c", "d"]
    verify_bundle(tmp_path / "m.edge")


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    relu_draft().write(tmp_path / "a.edge")
    relu_draft().write(tmp_path / "b.edge")
    assert tree(tmp_path / "a.edge") == tree(tmp_path / "b.edge")


def test_replaces_an_older_bundle_whole(old: Path) -> None:
    with BundleWriter(old) as w:
        w.add_bytes("new", b"1")
        w.commit(EMPTY)
    assert sorted(tree(old)) == ["manifest.json", "new"]
    assert os.listdir(old.parent) == ["m.edge"]


def test_a_link_to_a_bundle_goes_on_pointing(old: Path) -> None:
    link = old.parent / "current"
    link.symlink_to("m.edge")
    with BundleWriter(link) as w:
        w.commit(EMPTY)
    assert link.is_symlink()
    assert open_bundle(link).manifest.segments == []
    assert sorted(os.listdir(old.parent)) == ["current", "m.edge"]


@pytest.mark.parametrize("same", [True, False], ids=["same bundle", "another"])
def test_files_can_be_taken_over(old: Path, tmp_path: Path, same: bool) -> None:
    draft, source = relu_draft(), open_bundle(old)
    inode = os.stat(old / "engines/cpu/main.onnx").st_ino
    target = old if same else tmp_path / "other.edge"
    with BundleWriter(target) as w:
        w.reuse(source, "engines/cpu/main.onnx")
        w.add_bytes("report.json", b"{}")
        w.commit(draft.manifest())
    assert works(target)
    assert (os.stat(target / "engines/cpu/main.onnx").st_ino == inode) is same


def test_a_damaged_file_is_not_taken_over(old: Path) -> None:
    source = open_bundle(old)
    os.truncate(old / "engines/cpu/main.onnx", 3)
    with pytest.raises(BundleError, match="is truncated"), BundleWriter(old) as w:
        w.reuse(source, "engines/cpu/main.onnx")
    assert os.listdir(old.parent) == ["m.edge"]


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "manifest.json", "manifest.sig", "twice"])
def test_bad_paths(tmp_path: Path, path: str) -> None:
    with (
        pytest.raises(BundleError, match=r"unsafe path|is written twice"),
        BundleWriter(tmp_path / "m.edge") as w,
    ):
        w.add_bytes("twice", b"")
        w.add_bytes(path, b"")
    assert os.listdir(tmp_path) == []


def test_refuses_what_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("precious")
    (tmp_path / "broken").symlink_to("nowhere/else")
    for name, message in [
        ("file", "is a file: choose another name"),
        ("folder", "is a directory and not a bundle"),
        ("none/m.edge", "the folder .*none does not exist: create it first"),
        ("broken", "the folder .*nowhere does not exist"),
    ]:
        with pytest.raises(EdgeTrtError, match=message), BundleWriter(tmp_path / name):
            pass
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["broken", "file", "folder"]


def test_refuses_what_came_in_its_way_meanwhile(tmp_path: Path) -> None:
    with (
        pytest.raises(EdgeTrtError, match="is a directory and not a bundle"),
        BundleWriter(tmp_path / "m.edge") as w,
    ):
        (tmp_path / "m.edge").mkdir()
        w.commit(EMPTY)
    assert os.listdir(tmp_path) == ["m.edge"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failure_leaves_the_old_bundle(old: Path, error: BaseException) -> None:
    with unchanged(old), pytest.raises(type(error)), BundleWriter(old) as w:
        w.add_bytes("half", b"1")
        raise error


@pytest.mark.parametrize("place", ["encode_manifest", "sync_tree", "replace_directory"])
def test_a_failure_while_committing_leaves_the_old_bundle(
    old: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, place, fail)
    with unchanged(old), pytest.raises(KeyboardInterrupt), BundleWriter(old) as w:
        w.add_bytes("half", b"1")
        w.commit(EMPTY)


def test_a_manifest_that_makes_no_sense_is_never_written(old: Path) -> None:
    draft = relu_draft()
    draft.results["other"] = "main.0"
    with unchanged(old), pytest.raises(BundleError, match="contradicts itself"):
        draft.write(old)
    draft = relu_draft()
    draft.files = {}
    with unchanged(old), pytest.raises(BundleError, match="is not among its files"):
        draft.write(old)


def test_symbolic_links_are_not_packed(old: Path) -> None:
    with (
        unchanged(old),
        pytest.raises(BundleError, match="'a/link' is a symbolic link"),
        BundleWriter(old) as w,
    ):
        w.path("a/link").symlink_to("/etc/passwd")
        w.commit(EMPTY)


def test_forgetting_to_commit_is_our_bug(old: Path) -> None:
    with (
        unchanged(old),
        pytest.raises(RuntimeError, match=r"without commit\(\)"),
        BundleWriter(old) as w,
    ):
        w.add_bytes("a", b"1")
    with pytest.raises(RuntimeError, match="in a `with` block"):
        BundleWriter(old).add_bytes("a", b"1")


def test_disk_full_says_how_much_was_needed(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        unchanged(old),
        pytest.raises(EdgeTrtError, match=r"disk is full: .*m\.edge needs at least 5\.0 MB") as e,
        BundleWriter(old) as w,
    ):
        w.path("streamed").write_bytes(bytes(2_000_000))
        monkeypatch.setattr(Path, "write_bytes", full)
        w.add_bytes("engine", bytes(3_000_000))
    assert isinstance(e.value.__cause__, OSError)
    assert "are free: free some space" in str(e.value)


def test_disk_full_while_somebody_else_writes(old: Path) -> None:
    with (
        unchanged(old),
        pytest.raises(EdgeTrtError, match=r"needs 7\.5 GB and .* are free"),
        BundleWriter(old, expected_bytes=1) as w,
    ):
        w._expected = 7_500_000_000
        raise OSError(errno.ENOSPC, "No space left on device", str(w.path("weights")))


def test_too_little_room_is_noticed_at_the_start(old: Path) -> None:
    with (
        unchanged(old),
        pytest.raises(EdgeTrtError, match=r"needs 1000000000\.0 GB and"),
        BundleWriter(old, expected_bytes=10**18),
    ):
        pytest.fail("entered")


def test_a_real_full_disk(tmp_path: Path) -> None:
    """``/dev/full`` refuses every write, as a full disk does."""
    with (
        pytest.raises(EdgeTrtError, match="the disk is full"),
        BundleWriter(tmp_path / "m.edge"),
        open("/dev/full", "wb", buffering=0) as file,
    ):
        file.write(b"x")
    assert os.listdir(tmp_path) == []


def test_other_errors_of_the_system_pass(old: Path) -> None:
    with unchanged(old), pytest.raises(PermissionError), BundleWriter(old):
        raise PermissionError(errno.EACCES, "denied")


def test_a_folder_that_cannot_be_written(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int = 0o777) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(EdgeTrtError, match=r"can't be written \(Permission denied\): check the"):
        BundleWriter(old).__enter__()


def test_two_writers_of_one_bundle(old: Path) -> None:
    with unchanged(old), pytest.raises(ValueError, match=r"^stop$"), BundleWriter(old) as w:
        with pytest.raises(EdgeTrtError, match="is being written by another build"):
            BundleWriter(old).__enter__()
        assert w.path("still").parent.is_dir()
        raise ValueError("stop")


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renamings"])
def test_both_ways_of_replacing(old: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if exchange:
        one, other = old.parent / "one", old.parent / "other"
        one.mkdir()
        (other / "content").mkdir(parents=True)
        if not replace._exchange(str(one), str(other)):
            pytest.skip("this file system can't exchange two names")
        assert os.listdir(one) == ["content"]
        assert os.listdir(other) == []
        one.joinpath("content").rmdir()
        one.rmdir()
        other.rmdir()
    else:
        monkeypatch.setattr(replace, "_exchange", lambda *_: False)
    with BundleWriter(old) as w:
        w.commit(EMPTY)
    assert open_bundle(old).manifest.segments == []
    assert os.listdir(old.parent) == ["m.edge"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt()])
def test_a_second_renaming_that_fails_is_undone(
    old: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, calls = os.rename, 0

    def fail_second(source: str, target: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise error
        rename(source, target)

    monkeypatch.setattr(replace, "_exchange", lambda *_: False)
    monkeypatch.setattr(os, "rename", fail_second)
    expected = EdgeTrtError if isinstance(error, OSError) else KeyboardInterrupt
    with unchanged(old), pytest.raises(expected), BundleWriter(old) as w:
        w.commit(EMPTY)
    assert calls == 3


def test_a_signed_manifest_has_to_list_what_was_written(old: Path) -> None:
    manifest = (old / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="does not list the files"), BundleWriter(old) as w:
        w.add_bytes("engines/cpu/main.onnx", b"other")
        w.commit_signed(manifest, b"signature")
    assert works(old)
