# SPDX-License-Identifier: Apache-2.0
"""``edge_trt sign``: sign a bundle, so that devices run what is yours and nothing else.

A pair of keys, the private one encrypted if you add -aes256:

    openssl genpkey -algorithm ed25519 -out private.pem
    openssl pkey -in private.pem -pubout -out public.pem

The private key stays where bundles are released. A device has the public one, and loads with
edge_trt_runtime.load(path, trusted_keys=["public.pem"], least_counter=N).
"""

from __future__ import annotations

import argparse
from getpass import getpass


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("bundle", help="directory that `edge_trt build` wrote")
    parser.add_argument(
        "--key", required=True, metavar="FILE", help="the private Ed25519 key, as PEM"
    )
    parser.add_argument(
        "--counter",
        type=int,
        metavar="N",
        help="number of the release, which devices can ask to be no less than one that they ran "
        "(default: as it is; 0 in a new bundle)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check the files, sign the manifest, and say by which key."""
    from edge_trt.bundle.sign import sign_bundle
    from edge_trt_runtime.keys import public_half, read_private_key

    key = read_private_key(
        arguments.key, lambda: getpass(f"Password of {arguments.key}: ").encode()
    )
    bundle = sign_bundle(arguments.bundle, key, counter=arguments.counter)
    print(
        f"{bundle.root}: signed by the key {public_half(key).id}, counter {bundle.manifest.counter}"
    )
    return 0
