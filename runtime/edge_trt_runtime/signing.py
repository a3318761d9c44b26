# SPDX-License-Identifier: Apache-2.0
"""Signatures: ``manifest.sig`` beside the manifest, which holds the sha256 of every file.

It is an Ed25519 signature over the exact bytes of ``manifest.json``. These bytes are checked
before anything reads them, so a bundle that is not signed by a trusted key gets nowhere near a
decoder, to say nothing of TensorRT, whose plans are programs for the GPU and the host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.keys import public_half
from edge_trt_runtime.paths import MANIFEST_NAME, SIGNATURE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_trt_runtime.keys import PublicKey

ALGORITHM = "ed25519"

_HEXADECIMAL = re.compile(r"[0-9a-f]{128}")
_SIGN = "sign it with: edge_trt sign BUNDLE --key private.pem"


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``manifest.sig``.

    ``key`` is the start of the sha256 of the public key in DER form, and only says which key to
    try; ``signature`` is hexadecimal.
    """

    algorithm: str
    key: str
    signature: str


def sign_manifest(manifest: bytes, private_key: Any) -> bytes:
    """Return the content of ``manifest.sig`` for the bytes of a manifest.

    Args:
        manifest: The bytes of ``manifest.json``.
        private_key: An ``Ed25519PrivateKey``.
    """
    signature: bytes = private_key.sign(manifest)
    key = public_half(private_key).id
    return _encode(Signed(algorithm=ALGORITHM, key=key, signature=signature.hex()))


def decode_signature(data: bytes, *, bundle: str) -> Signed:
    """Read ``manifest.sig``, which has one form only: another spelling is damage.

    Raises:
        BundleError: When it is malformed, or of another algorithm.
    """
    try:
        signed = msgspec.json.decode(data, type=Signed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(bundle, str(error)) from error
    if signed.algorithm != ALGORITHM:
        raise _malformed(bundle, f"its algorithm is {signed.algorithm!r} and not {ALGORITHM!r}")
    if not _HEXADECIMAL.fullmatch(signed.signature):
        raise _malformed(bundle, "its signature is not 128 lower-case hexadecimal digits")
    if _encode(signed) != data:
        raise _malformed(bundle, "it was edited")
    return signed


def check_signature(
    manifest: bytes, signature: bytes | None, keys: Sequence[PublicKey], *, bundle: str
) -> None:
    """Refuse a manifest that no trusted key signed.

    Args:
        manifest: The bytes of ``manifest.json``.
        signature: The bytes of ``manifest.sig``, or None when there is none.
        keys: The keys that are trusted.
        bundle: Path of the bundle, for error texts.

    Raises:
        BundleError: When it is unsigned, signed by another key, or changed since.
    """
    if signature is None:
        raise _refusal(
            f"{bundle} is not signed, and only signed bundles are trusted", bundle, _SIGN
        )
    signed = decode_signature(signature, bundle=bundle)
    candidates = [key for key in keys if key.id == signed.key]
    if not candidates:
        trusted = ", ".join(key.id for key in keys)
        what = f"{bundle} is signed by the key {signed.key!r}, and trusted is {trusted}"
        raise _refusal(what, bundle, "trust its public key, or sign it again with a trusted one")
    given = bytes.fromhex(signed.signature)
    if not any(key.fits(given, manifest) for key in candidates):
        raise BundleError(
            f"{MANIFEST_NAME} of {bundle} was changed after it was signed",
            bundle=bundle,
            file=MANIFEST_NAME,
            hint="copy the whole bundle again, or sign it again",
        )


def rolled_back(counter: int, least: int, *, bundle: str) -> BundleError:
    """Return the refusal of a bundle that is older than one that ran already."""
    return BundleError(
        f"{bundle} has the counter {counter}, which is less than {least}: it is older than what "
        "is to run here",
        bundle=bundle,
        file=MANIFEST_NAME,
        hint=f"install a newer one, signed with `edge_trt sign --counter {least}` or more",
    )


def _encode(signed: Signed) -> bytes:
    return msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n"


def _malformed(bundle: str, what: str) -> BundleError:
    hint = "copy the whole bundle again, or sign it again"
    return _refusal(f"{SIGNATURE_NAME} of {bundle} is malformed: {what}", bundle, hint)


def _refusal(message: str, bundle: str, hint: str) -> BundleError:
    return BundleError(message, bundle=bundle, file=SIGNATURE_NAME, hint=hint)
