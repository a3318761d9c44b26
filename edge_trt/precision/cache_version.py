# SPDX-License-Identifier: Apache-2.0
"""Whether a calibration cache was written by another TensorRT than the one that it is used for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from edge_trt_jetson import boards, versions

Version = tuple[int, int, int]

LAST = (11, 0, 0)
"""From this version on TensorRT reads no calibration caches."""


def remark_on(path: str, header: str, targets: Sequence[str]) -> str | None:
    """A sentence with both versions if they differ.

    A board counts with every release that it runs, unless TensorRT is installed here; `cpu` and
    `rtx` read no caches, so that for them alone only an installed TensorRT is compared with.

    Args:
        path: the cache.
        header: the version as its first line has it, such as `100300`.
        targets: what is built for.
    """
    written, known = decoded(header), _installed() or _of_boards(targets)
    if not known or written in known:
        return None
    return (
        f"{path} was written by TensorRT {_text(written)}, and this build is for TensorRT "
        f"{_text(max(known))}: layers that are fused otherwise may have other tensors; "
        "calibrate again if the noise is large"
    )


def decoded(header: str) -> Version:
    """A version as numbers: `100300` is 10.3.0, `8601` is 8.6.1."""
    number = int(header)
    if number >= 100000:
        return number // 10000, number // 100 % 100, number % 100
    return number // 1000, number // 100 % 10, number % 100


def _installed() -> set[Version]:
    try:
        return {_version(metadata.version("tensorrt"))}
    except metadata.PackageNotFoundError:
        return set()


def _of_boards(targets: Sequence[str]) -> set[Version]:
    """Versions that the releases for these boards ship, as far as they read caches."""
    found = [boards.find(target) for target in targets]
    lines = {line for board in found if board is not None for line in board.jetpack}
    shipped = {
        _version(release.tensorrt)
        for release in versions.known()
        if any(f"{release.jetpack}.".startswith(f"{line}.") for line in lines)
        and int(release.jetpack[0]) >= 6
    }
    return {version for version in shipped if version < LAST}


def _version(text: str) -> Version:
    major, minor, patch = (*versions.numbers(text), 0, 0)[:3]
    return major, minor, patch


def _text(version: Version) -> str:
    return ".".join(map(str, version))
