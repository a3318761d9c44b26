# SPDX-License-Identifier: Apache-2.0
"""Signs a bundle that lies on disk."""

from __future__ import annotations

import os
from typing import Any

from edge_trt.bundle.writer import BundleWriter
from edge_trt_runtime.bundle import OpenBundle, open_bundle, read_unlisted
from edge_trt_runtime.manifest import decode_manifest, with_counter
from edge_trt_runtime.paths import MANIFEST_NAME
from edge_trt_runtime.signing import sign_manifest


def sign_bundle(
    path: str | os.PathLike[str], private_key: Any, *, counter: int | None = None
) -> OpenBundle:
    """Signs the manifest of a bundle whose files are as it says; an older signature goes.

    The bundle is replaced as a whole, so that a reader never meets a manifest beside the signature
    of another.

    Args:
        path: the bundle.
        private_key: an `Ed25519PrivateKey`.
        counter: written into the manifest first; None leaves what is there.

    Returns:
        The bundle as it was signed.

    Raises:
        BundleError: it is damaged, or the counter is no number that a manifest can have.
        EdgeTrtError: it can't be replaced.
    """
    root = open_bundle(path).root
    data = read_unlisted(root, MANIFEST_NAME)
    if counter is not None:
        data = with_counter(data, counter)
    # What is signed is what was looked at, whoever writes to the bundle meanwhile.
    bundle = OpenBundle(root, decode_manifest(data, bundle=root))
    bundle.verify()
    with BundleWriter(root) as writer:
        for relative in bundle.manifest.files:
            writer.reuse(bundle, relative)
        writer.commit_signed(data, sign_manifest(data, private_key))
    return bundle
