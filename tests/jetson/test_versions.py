# SPDX-License-Identifier: Apache-2.0
"""The release table and its fall-back."""

from __future__ import annotations

import pytest

from edge_trt_jetson import versions


@pytest.mark.parametrize(
    ("l4t", "jetpack", "tensorrt", "dla"),
    [
        ("32.7.1", "4.6.1", "8.2.1", "weak"),
        ("35.4.1", "5.1.2", "8.5.2", "weak"),
        ("36.3.0", "6.0", "8.6.2.3", "weak"),
        ("36.4.4", "6.2.1", "10.3.0.30", "weak"),
        ("38.2.0", "7.0", "10.13.3.9", "none"),
        ("39.2.1", "7.2.1", "10.16.2.10", "none"),
        ("39.2.2", "7.2.2", "11.4.1", "strong"),
    ],
)
def test_known_release(l4t: str, jetpack: str, tensorrt: str, dla: str) -> None:
    release = versions.release(l4t)
    assert release is not None
    assert (release.jetpack, release.tensorrt, release.dla) == (jetpack, tensorrt, dla)
    assert release.exact


@pytest.mark.parametrize(
    ("l4t", "jetpack", "like"),
    [
        ("36.4.9", "6", "36.4.7"),
        ("36.9.0", "6", "36.5.0"),
        ("36.1.0", "6", "36.2.0"),
        ("35.6.4", "5", "35.6.1"),
        ("32.7", "4", "32.7.1"),
        ("38.3.0", "7", "38.2.2"),
    ],
)
def test_unlisted_release_takes_its_relative(l4t: str, jetpack: str, like: str) -> None:
    release, relative = versions.release(l4t), versions.release(like)
    assert release is not None
    assert relative is not None
    assert not release.exact
    assert release.jetpack == jetpack
    assert release.l4t == l4t
    assert (release.tensorrt, release.cuda, release.dla) == (
        relative.tensorrt,
        relative.cuda,
        relative.dla,
    )


@pytest.mark.parametrize("l4t", ["", "x", "28.2.1", "41.0"])
def test_unknown_major_number(l4t: str) -> None:
    assert versions.release(l4t) is None


def test_dla_ends_with_jetpack_6_and_returns_with_722() -> None:
    regimes = [(versions.numbers(r.l4t), r.dla) for r in versions.known()]
    assert regimes == sorted(regimes)
    assert {dla for number, dla in regimes if number < (38,)} == {"weak"}
    assert {dla for number, dla in regimes if (38,) <= number < (39, 2, 2)} == {"none"}
