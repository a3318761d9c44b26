# SPDX-License-Identifier: Apache-2.0
"""Keys that sign bundles in tests, and copies of bundles that are signed already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

SKIP = "needs cryptography: pip install 'edge-trt-runtime[sign]'"
pytest.importorskip("cryptography", reason=SKIP)

from cryptography.hazmat.primitives import serialization as form  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402


@dataclass(frozen=True)
class Signer:
    """A pair of keys, the same for the same name."""

    name: str

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.name.encode()).digest())

    @property
    def raw(self) -> bytes:
        return self.private.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)

    def public(self, encoding: form.Encoding = form.Encoding.PEM) -> bytes:
        spki = form.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(encoding, spki)

    def pem(self, password: bytes | None = None) -> bytes:
        way = form.BestAvailableEncryption(password) if password else form.NoEncryption()
        return self.private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, way)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the private and the public key; return their paths."""
        private, public = folder / f"{self.name}.pem", folder / f"{self.name}.pub.pem"
        private.write_bytes(self.pem())
        public.write_bytes(self.public())
        return private, public


OURS = Signer("ours")
THEIRS = Signer("theirs")
