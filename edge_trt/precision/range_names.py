# SPDX-License-Identifier: Apache-2.0
"""What the range of a tensor is called."""

from __future__ import annotations


def key(network: str, tensor: str, *, many: bool) -> str:
    """The name of a tensor's range: with its network's where a model has more than one."""
    return f"{network}/{tensor}" if many else tensor
