# SPDX-License-Identifier: Apache-2.0
"""Ed25519 keys: which ones a program trusts, and the one that signs.

The only module that imports ``cryptography``, and only when a key is asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NamedTuple

from edge_trt_runtime.errors import EngineError

ENVIRONMENT = "EDGE_TRT_TRUSTED_KEYS"
"""Paths of public keys, which are trusted where a program names none."""

_LIMIT = 64 << 10  # bytes of a key's file
_RAW = 32  # bytes of a public key without any wrapping
_MAKE = "openssl pkey -in private.pem -pubout -out public.pem"

TrustedKey = Any
"""A path, the content of such a file (PEM, DER or 32 raw bytes), or an ``Ed25519PublicKey``."""


class PublicKey(NamedTuple):
    """A public key, and the name by which a signature refers to it."""

    id: str
    key: Any

    def fits(self, signature: bytes, data: bytes) -> bool:
        """Return whether this key's owner signed ``data``."""
        try:
            self.key.verify(signature, data)
        except _cryptography("exceptions").InvalidSignature:
            return False
        return True


def named_by_environment() -> list[str] | None:
    """Return the paths in :data:`ENVIRONMENT`, or None where it is not set.

    Raises:
        EngineError: When it is set and names nothing: a slip must not turn checks off.
    """
    text = os.environ.get(ENVIRONMENT)
    if text is None:
        return None
    paths = [path for path in text.split(os.pathsep) if path]
    if not paths:
        raise EngineError(f"{ENVIRONMENT} is empty", hint="name a public key, or unset it")
    return paths


def read_public_keys(keys: Iterable[TrustedKey]) -> list[PublicKey]:
    """Read the keys that a program trusts.

    Raises:
        EngineError: When one is no public Ed25519 key, none is given, or ``cryptography`` is
            missing.
    """
    if isinstance(keys, str | bytes | os.PathLike):
        raise EngineError("trusted_keys is one key", hint="give a list of keys")
    found = [_public_key(key) for key in keys]
    if not found:
        raise EngineError("no key is trusted, so no bundle is", hint="give a public key, or None")
    return found


def read_private_key(path: str, ask: Callable[[], bytes]) -> Any:
    """Read the PEM file of a private key.

    Args:
        path: The file.
        ask: Called for the password of an encrypted key.

    Returns:
        An ``Ed25519PrivateKey`` of ``cryptography``.

    Raises:
        EngineError: When it is no private Ed25519 key, the password is wrong, or ``cryptography``
            is missing.
    """
    serialization = _cryptography("hazmat.primitives.serialization")
    data = _read(path)
    password = ask() if b"ENCRYPTED" in data else None
    try:
        key = serialization.load_pem_private_key(data, password)
    except Exception as error:  # a password and an algorithm have exceptions of their own
        raise EngineError(
            f"{path} can't be read as a private key ({_first_line(error)})",
            hint="make one with: openssl genpkey -algorithm ed25519 -out private.pem",
        ) from error
    if not isinstance(key, _ed25519().Ed25519PrivateKey):
        raise EngineError(
            f"{path} is a private key of another kind than Ed25519",
            hint="make one with: openssl genpkey -algorithm ed25519 -out private.pem",
        )
    return key


def public_half(private: Any) -> PublicKey:
    """Return the public key that belongs to a private one."""
    return _identified(private.public_key())


def _public_key(key: TrustedKey) -> PublicKey:
    public: Any = _ed25519().Ed25519PublicKey
    if isinstance(key, public):
        return _identified(key)
    if isinstance(key, str | os.PathLike):
        path: str = os.fspath(key)
        return _parsed(_read(path), path)
    if isinstance(key, bytes):
        return _parsed(key, "a trusted key")
    raise EngineError(
        f"a trusted key is {type(key).__name__}",
        hint="give the path of a public key, its content as bytes, or an Ed25519PublicKey",
    )


def _parsed(data: bytes, where: str) -> PublicKey:
    """Read a key of any of the forms in which people have them."""
    serialization, public = _cryptography("hazmat.primitives.serialization"), _ed25519()
    if b"PRIVATE KEY" in data:
        raise EngineError(
            f"{where} is a private key", hint=f"keep it secret, and give its public half: {_MAKE}"
        )
    try:
        if len(data) == _RAW:
            key = public.Ed25519PublicKey.from_public_bytes(data)
        elif data.lstrip().startswith(b"-----BEGIN"):
            key = serialization.load_pem_public_key(data)
        else:
            key = serialization.load_der_public_key(data)
    except Exception as error:  # ValueError, and an exception of its own for an algorithm
        raise EngineError(f"{where} is not a public key", hint=f"make it with: {_MAKE}") from error
    if not isinstance(key, public.Ed25519PublicKey):
        raise EngineError(
            f"{where} is a public key of another kind than Ed25519", hint=f"make it with: {_MAKE}"
        )
    return _identified(key)


def _identified(key: Any) -> PublicKey:
    """Name a key by its DER form: ``openssl pkey -pubin -outform DER | sha256sum`` shows it."""
    serialization = _cryptography("hazmat.primitives.serialization")
    data: bytes = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PublicKey(hashlib.sha256(data).hexdigest()[:16], key)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EngineError(f"the key {path} can't be read", hint=reason.lower()) from error


def _ed25519() -> Any:
    return _cryptography("hazmat.primitives.asymmetric.ed25519")


def _cryptography(module: str) -> Any:
    try:
        return import_module(f"cryptography.{module}")
    except ImportError as error:
        raise EngineError(
            "signatures need the package cryptography, which can't be imported",
            hint="pip install 'edge-trt-runtime[sign]'",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
