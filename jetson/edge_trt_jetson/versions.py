# SPDX-License-Identifier: Apache-2.0
"""What each L4T release ships: JetPack, Python, CUDA, TensorRT, and how DLA is served there.

The table is `data/versions.toml`. A release that is not in it gets the components of its nearest
known relative and says so (`exact` is False): point releases appear more often than this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from edge_trt_jetson import tables

DlaRegime = Literal["none", "weak", "strong"]


@dataclass(frozen=True, slots=True)
class Release:
    """One L4T release.

    Attributes:
        l4t: Release number, such as `36.4.4`.
        jetpack: JetPack version; only its major number when the release is not in the table.
        exact: Whether the table has this very release.
        ubuntu: Ubuntu version.
        kernel: Linux version.
        python: Python version of the system.
        cuda: CUDA version.
        cudnn: cuDNN version.
        tensorrt: TensorRT version that the release ships, or that is to be installed on it for DLA.
        architectures: Compute capabilities its libraries are built for.
        dla: `none`; `weak` (implicit INT8 by dynamic ranges); `strong` (explicit Q/DQ).
        unsure: Names of the values that no source confirmed.
    """

    l4t: str
    jetpack: str
    exact: bool
    ubuntu: str
    kernel: str
    python: str
    cuda: str
    cudnn: str
    tensorrt: str
    architectures: tuple[str, ...]
    dla: DlaRegime
    unsure: tuple[str, ...]

    @property
    def python_version(self) -> tuple[int, int]:
        """Python version as (major, minor)."""
        major, minor = self.python.split(".")
        return int(major), int(minor)


@cache
def _data() -> dict[str, Any]:
    return tables.read("versions.toml")


def _release(l4t: str, jetpack: str, exact: bool, line: dict[str, Any]) -> Release:
    rest = {key: value for key, value in line.items() if key != "releases"}
    rest["architectures"] = tuple(rest["architectures"])
    rest["unsure"] = tuple(rest["unsure"])
    return Release(l4t=l4t, jetpack=jetpack, exact=exact, **rest)


@cache
def known() -> tuple[Release, ...]:
    """Every release of the table, oldest first."""
    return tuple(
        _release(l4t, jetpack, True, line)
        for line in _data()["lines"]
        for l4t, jetpack in line["releases"].items()
    )


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a dotted version, for comparison: `36.4.10` is newer than `36.4.9`."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _shared(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    pairs = zip(a, b, strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def release(l4t: str) -> Release | None:
    """What an L4T release ships.

    Args:
        l4t: Release number as in `/etc/nv_tegra_release`, such as `36.4.4` or `32.7`.

    Returns:
        The release. For a number that is not in the table: the components of the known release that
        shares most of its leading numbers, the newest that is not newer. None if its major number
        is unknown.
    """
    wanted = numbers(l4t)
    exact = next((r for r in known() if numbers(r.l4t) == wanted), None)
    if exact is not None:
        return exact
    related = [r for r in known() if wanted and numbers(r.l4t)[0] == wanted[0]]
    if not related:
        return None
    closest = max(_shared(numbers(r.l4t), wanted) for r in related)
    relatives = [r for r in related if _shared(numbers(r.l4t), wanted) == closest]
    older = [r for r in relatives if numbers(r.l4t) <= wanted]
    nearest = older[-1] if older else relatives[0]
    line = next(line for line in _data()["lines"] if nearest.l4t in line["releases"])
    return _release(l4t, _data()["majors"][str(wanted[0])], False, line)
