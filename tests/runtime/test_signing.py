# SPDX-License-Identifier: Apache-2.0
"""Only what a trusted key signed is loaded, and what is refused was not looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import BundleError, EngineError, Lane, open_bundle, verify_bundle
from edge_trt_runtime.keys import read_private_key, read_public_keys
from edge_trt_runtime.manifest import with_counter
from edge_trt_runtime.signing import sign_manifest
from tests.support.bundles import relu_draft
from tests.support.signers import OURS, THEIRS, Signer, form

MODEL = "engines/cpu/main.onnx"
KEYS = [OURS.raw]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return sign(relu_draft().write(tmp_path / "m.edge"))


def sign(bundle: Path, signer: Signer = OURS) -> Path:
    data = sign_manifest((bundle / "manifest.json").read_bytes(), signer.private)
    (bundle / "manifest.sig").write_bytes(data)
    return bundle


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def resized(path: Path) -> None:
    """A manifest of an attacker, in itself without a fault."""
    path.write_bytes(with_counter(path.read_bytes(), 9))


def test_a_signed_bundle_runs_and_needs_no_key(bundle: Path) -> None:
    for keys in (None, KEYS, [THEIRS.raw, *KEYS]):
        with edge_trt_runtime.load(bundle, trusted_keys=keys) as session:
            assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4
    assert verify_bundle(bundle, trusted_keys=KEYS).root == str(bundle)


def test_a_pool_takes_what_its_keys_signed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each lane, whatever the environment says, and with keys that can be asked for once."""
    monkeypatch.setenv("EDGE_TRT_TRUSTED_KEYS", "/nowhere")
    lanes = [Lane(), Lane()]
    with edge_trt_runtime.load_pool(bundle, lanes=lanes, trusted_keys=iter(KEYS)) as pool:
        assert pool.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4
        pool.reload()
        sign(bundle, THEIRS)
        with pytest.raises(BundleError, match="is signed by the key"):
            pool.reload()
    with pytest.raises(BundleError, match="is signed by the key"):
        edge_trt_runtime.load_pool(bundle, trusted_keys=KEYS)


SIGNATURE = "manifest.sig"
REFUSED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "unsigned": (lambda b: (b / SIGNATURE).unlink(), SIGNATURE, "is not signed"),
    "foreign": (lambda b: sign(b, THEIRS), SIGNATURE, "is signed by the key"),
    "manifest": (lambda b: resized(b / "manifest.json"), "manifest.json", "after it was signed"),
    "no manifest": (
        lambda b: (b / "manifest.json").write_bytes(b"{"),
        "manifest.json",
        "after it was signed",
    ),
    "signature": (
        lambda b: replace(b / SIGNATURE, b'"signature": "', b'"signature": "0'),
        SIGNATURE,
        "128 lower-case hexadecimal digits",
    ),
    "other signature": (
        lambda b: (b / SIGNATURE).write_bytes(sign_manifest(b"{}", OURS.private)),
        "manifest.json",
        "after it was signed",
    ),
    "empty": (lambda b: (b / SIGNATURE).write_bytes(b""), SIGNATURE, "is malformed"),
    "deep": (lambda b: (b / SIGNATURE).write_bytes(b"[" * 4000), SIGNATURE, "is malformed"),
    "algorithm": (
        lambda b: replace(b / SIGNATURE, b"ed25519", b"none"),
        SIGNATURE,
        "its algorithm is 'none'",
    ),
    "spelling": (lambda b: replace(b / SIGNATURE, b"{", b"{ "), SIGNATURE, "it was edited"),
    "twice": (
        lambda b: replace(b / SIGNATURE, b'"key"', b'"key": "", "key"'),
        SIGNATURE,
        "it was edited",
    ),
    "large": (lambda b: os.truncate(b / SIGNATURE, 1 << 40), SIGNATURE, "implausibly large"),
    "link out": (
        lambda b: (
            shutil.move(b / SIGNATURE, b.parent / "s"),
            (b / SIGNATURE).symlink_to(b.parent / "s"),
        ),
        SIGNATURE,
        "leaves the bundle",
    ),
    "pipe": (
        lambda b: ((b / SIGNATURE).unlink(), os.mkfifo(b / SIGNATURE)),
        SIGNATURE,
        "not a regular file",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_not_decoded(
    bundle: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*args: object, **kwargs: object) -> None:
        raise AssertionError("the manifest was decoded")

    monkeypatch.setattr("edge_trt_runtime.bundle.decode_manifest", decoded)
    damage, file, message = REFUSED[kind]
    damage(bundle)
    for verify in (True, False):
        with pytest.raises(BundleError, match=message) as caught:
            edge_trt_runtime.load(bundle, verify=verify, trusted_keys=KEYS)
        assert (caught.value.file, caught.value.bundle) == (file, str(bundle))
    for function in (verify_bundle, open_bundle):
        with pytest.raises(BundleError, match=message):
            function(bundle, trusted_keys=KEYS)


@pytest.mark.parametrize("kind", ["changed", "unlisted"])
@pytest.mark.parametrize("verify", [True, False])
def test_files_are_checked_before_an_engine_sees_them(
    bundle: Path, kind: str, verify: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*args: object) -> None:
        raise AssertionError("an engine was opened")

    monkeypatch.setattr("edge_trt_runtime.opening.load_engines", opened)
    if kind == "changed":
        replace(bundle / MODEL, b"Relu", b"Sqrt")
    else:
        (bundle / "evil.so").touch()
    with pytest.raises(BundleError, match=r"sha256 differs|is not listed"):
        edge_trt_runtime.load(bundle, verify=verify, trusted_keys=KEYS)


def test_trusted_keys_of_the_environment(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = OURS.write(tmp_path)[1], THEIRS.write(tmp_path)[1]
    monkeypatch.setenv("EDGE_TRT_TRUSTED_KEYS", str(theirs))
    with pytest.raises(BundleError, match="is signed by the key"):
        edge_trt_runtime.load(bundle, verify=False)
    edge_trt_runtime.load(bundle, trusted_keys=KEYS).close()  # what is said in the call counts
    monkeypatch.setenv("EDGE_TRT_TRUSTED_KEYS", f"{theirs}:{ours}")
    edge_trt_runtime.load(bundle).close()
    monkeypatch.setenv("EDGE_TRT_TRUSTED_KEYS", "")
    with pytest.raises(EngineError, match="EDGE_TRT_TRUSTED_KEYS is empty"):
        edge_trt_runtime.load(bundle)


def test_what_was_verified_is_not_compared_again(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = counting(monkeypatch)
    checked = verify_bundle(bundle)
    files = len(checked.manifest.files)
    for keys in (None, KEYS):
        edge_trt_runtime.load(checked, trusted_keys=keys).close()
    assert len(compared) == files
    with pytest.raises(BundleError, match="is signed by the key"):  # it was not asked before
        edge_trt_runtime.load(checked, trusted_keys=[THEIRS.raw])
    with edge_trt_runtime.load(open_bundle(bundle)) as session:
        assert len(compared) == 2 * files
        session.reload()
        assert len(compared) == 3 * files
    resized(bundle / "manifest.json")  # another manifest lies there meanwhile
    edge_trt_runtime.load(checked).close()
    assert len(compared) == 4 * files


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths whose sums are computed from now on."""
    from edge_trt_runtime.checksums import file_entry

    paths: list[str] = []

    def entry(path: str) -> object:
        paths.append(path)
        return file_entry(path)

    monkeypatch.setattr("edge_trt_runtime.bundle.file_entry", entry)
    return paths


def test_a_roll_back_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    edge_trt_runtime.load(bundle, trusted_keys=KEYS, least_counter=0).close()
    path.write_bytes(with_counter(path.read_bytes(), 4))
    sign(bundle)
    with edge_trt_runtime.load(bundle, trusted_keys=KEYS, least_counter=4) as session:
        assert session.manifest.counter == 4
    for keys in (KEYS, None):
        with pytest.raises(BundleError, match="has the counter 4, which is less than 5") as caught:
            edge_trt_runtime.load(bundle, trusted_keys=keys, least_counter=5)
        assert "edge_trt sign --counter 5" in str(caught.value)


def ids(*keys: Any) -> set[str]:
    return {key.id for key in read_public_keys(keys)}


def test_keys_in_every_form_are_one_key(tmp_path: Path) -> None:
    path = OURS.write(tmp_path)[1]
    der = OURS.public(form.Encoding.DER)
    public = OURS.private.public_key()
    found = ids(path, str(path), OURS.public(), der, OURS.raw, public)
    assert len(found) == 1
    assert found != ids(THEIRS.raw)


def rsa() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


BAD_KEYS: list[tuple[Any, str]] = [
    ([], "no key is trusted, so no bundle is"),
    ("public.pem", "trusted_keys is one key: give a list"),
    (OURS.raw, "trusted_keys is one key: give a list"),
    (Path("public.pem"), "trusted_keys is one key: give a list"),
    ([7], "a trusted key is int: give the path"),
    (["nowhere.pem"], "nowhere.pem can't be read: no such file"),
    (["a\0b"], "can't be read: embedded null"),
    ([b""], "is not a public key: make it with: openssl pkey"),
    ([bytes(31)], "is not a public key"),
    ([OURS.public()[:-40]], "is not a public key"),
    ([OURS.pem()], "is a private key: keep it secret"),
    ([rsa()], "of another kind than Ed25519"),
]


@pytest.mark.parametrize(("keys", "message"), BAD_KEYS, ids=[message for _, message in BAD_KEYS])
def test_bad_keys_are_refused(bundle: Path, keys: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        edge_trt_runtime.load(bundle, trusted_keys=keys)


def test_a_private_key_is_read(tmp_path: Path) -> None:
    def never() -> bytes:
        raise AssertionError("asked for a password")

    private, public = OURS.write(tmp_path)
    assert read_private_key(str(private), never).sign(b"x") == OURS.private.sign(b"x")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(OURS.pem(b"word"))
    assert read_private_key(str(locked), lambda: b"word").sign(b"x") == OURS.private.sign(b"x")
    with pytest.raises(EngineError, match="can't be read as a private key"):
        read_private_key(str(locked), lambda: b"other")
    with pytest.raises(EngineError, match="can't be read as a private key"):
        read_private_key(str(public), never)


def test_without_cryptography_the_extra_is_named(bundle: Path) -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None; import edge_trt_runtime as e\n"
        "e.load(sys.argv[1]).close()\n"
        "try: e.load(sys.argv[1], trusted_keys=[bytes(32)])\n"
        "except e.EngineError as error: print(error)"
    )
    command = [sys.executable, "-c", code, bundle]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("pip install 'edge-trt-runtime[sign]'")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_makes_the_keys_and_agrees(bundle: Path, tmp_path: Path) -> None:
    def openssl(words: str) -> bytes:
        return subprocess.run(
            ["openssl", *words.split()], cwd=tmp_path, capture_output=True, check=True
        ).stdout

    openssl("genpkey -algorithm ed25519 -out private.pem")
    openssl("pkey -in private.pem -pubout -out public.pem")
    key = read_private_key(str(tmp_path / "private.pem"), bytes)
    path = bundle / "manifest.json"
    data = sign_manifest(path.read_bytes(), key)
    (bundle / SIGNATURE).write_bytes(data)
    edge_trt_runtime.load(bundle, trusted_keys=[tmp_path / "public.pem"]).close()
    signed = msgspec.json.decode(data)
    (tmp_path / "raw").write_bytes(bytes.fromhex(signed["signature"]))
    openssl(f"pkeyutl -verify -pubin -inkey public.pem -rawin -in {path} -sigfile raw")
    der = openssl("pkey -pubin -in public.pem -outform DER")
    (tmp_path / "der").write_bytes(der)
    assert openssl("dgst -sha256 der").decode().split()[-1].startswith(signed["key"])


def test_what_takes_the_place_of_a_signed_bundle_has_to_be_signed(
    bundle: Path, tmp_path: Path
) -> None:
    other = relu_draft().write(tmp_path / "b.edge")
    keys = iter([OURS.raw])  # asked for again at the reload
    with edge_trt_runtime.load(bundle, trusted_keys=keys) as session:
        with pytest.raises(BundleError, match="is not signed"):
            session.reload(other)
        assert session.bundle.root == str(bundle)
        session.reload(sign(other))
        assert session.bundle.root == str(other)
