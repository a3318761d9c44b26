# SPDX-License-Identifier: Apache-2.0
"""``edge_trt sign``, ``verify --key``, and what becomes of a signature when a bundle is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_trt.bundle.reader import read_bundle
from edge_trt_runtime import BundleError, open_bundle, verify_bundle
from edge_trt_runtime.__main__ import main
from edge_trt_runtime.checksums import file_entry
from tests.cli.conftest import Command
from tests.support.signers import OURS, THEIRS


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """The private key, the public one."""
    return OURS.write(tmp_path)


def test_sign_and_verify(
    edge_trt: Command, bundle: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    before = {path: path.stat().st_ino for path in bundle.rglob("*.*")}
    assert "not signed" in edge_trt("verify", bundle).out
    done = edge_trt("sign", bundle, "--key", private)
    assert done.status == 0, done.err
    assert done.out.startswith(f"{bundle}: signed by the key ")
    assert done.out.endswith(", counter 0\n")
    same = {path.name for path, inode in before.items() if path.stat().st_ino == inode}
    assert {"weights.safetensors", "main.onnx"} <= same  # no byte of them was copied
    name = done.out.split()[5].rstrip(",")

    done = edge_trt("verify", bundle, "--key", public)
    assert done.status == 0, done.err
    assert f"signed by the key {name}, counter 0\n" in done.out
    assert "passed" in done.out
    other = THEIRS.write(tmp_path)[1]
    assert edge_trt("verify", bundle, "--key", other, "--key", public).status == 0
    done = edge_trt("verify", bundle, "--key", other)
    assert (done.status, done.out) == (1, "")
    assert f"is signed by the key '{name}'" in done.err
    for command in ("verify", "inspect"):
        assert "was not checked" in edge_trt(command, bundle).out
    assert edge_trt("verify", bundle, "--key", private).err.startswith(
        f"error: {private} is a priv"
    )


def test_the_environment_names_keys(
    edge_trt: Command, bundle: Path, keys: tuple[Path, Path], monkeypatch
) -> None:
    monkeypatch.setenv("EDGE_TRT_TRUSTED_KEYS", str(keys[1]))
    assert "is not signed" in edge_trt("verify", bundle).err
    assert edge_trt("sign", bundle, "--key", keys[0]).status == 0
    done = edge_trt("verify", bundle)
    assert done.status == 0, done.err
    assert "was not checked" not in done.out


def test_verify_computes_each_sum_once(
    edge_trt: Command, bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert edge_trt("sign", bundle, "--key", keys[0]).status == 0
    paths: list[str] = []

    def entry(path: str) -> object:
        paths.append(path)
        return file_entry(path)

    monkeypatch.setattr("edge_trt_runtime.bundle.file_entry", entry)
    assert edge_trt("verify", bundle, "--key", keys[1]).status == 0
    monkeypatch.setenv("EDGE_TRT_TRUSTED_KEYS", str(keys[1]))
    assert main([str(bundle), "--verify"]) == 0
    assert sorted(paths) == sorted(2 * [*dict.fromkeys(paths)])


def test_counter(edge_trt: Command, bundle: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    assert edge_trt("sign", bundle, "--key", private, "--counter", 3).out.endswith("counter 3\n")
    assert edge_trt("sign", bundle, "--key", private).out.endswith("counter 3\n")
    done = edge_trt("verify", bundle, "--key", public, "--least-counter", 3)
    assert done.status == 0, done.err
    done = edge_trt("verify", bundle, "--key", public, "--least-counter", 4)
    assert done.status == 1
    assert "has the counter 3, which is less than 4" in done.err
    for wrong in (-1, 1 << 64):
        done = edge_trt("sign", bundle, "--key", private, "--counter", wrong)
        assert done.status == 1
        assert "its counter is" in done.err
    assert open_bundle(bundle).manifest.counter == 3


def test_what_is_damaged_is_not_signed(
    edge_trt: Command, bundle: Path, keys: tuple[Path, Path]
) -> None:
    os.truncate(bundle / "report.json", 3)
    done = edge_trt("sign", bundle, "--key", keys[0])
    assert done.status == 1
    assert "'report.json'" in done.err
    assert not (bundle / "manifest.sig").exists()


def test_a_password_is_asked_for(edge_trt: Command, bundle: Path, tmp_path, monkeypatch) -> None:
    path = tmp_path / "locked.pem"
    path.write_bytes(OURS.pem(b"word"))
    monkeypatch.setattr("edge_trt.cli.sign.getpass", lambda prompt: "word")
    assert edge_trt("sign", bundle, "--key", path).status == 0


def test_what_is_written_again_has_no_signature(
    edge_trt: Command, bundle: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    assert edge_trt("sign", bundle, "--key", private, "--counter", 3).status == 0
    for path in (tmp_path / "other.edge", bundle):
        read_bundle(bundle).save(path)
        assert not (path / "manifest.sig").exists()
        assert verify_bundle(path).manifest.counter == 3
        with pytest.raises(BundleError, match="is not signed"):
            verify_bundle(path, trusted_keys=[public])
        assert edge_trt("sign", path, "--key", private).status == 0
        verify_bundle(path, trusted_keys=[public], least_counter=3)
