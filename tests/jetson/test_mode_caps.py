# SPDX-License-Identifier: Apache-2.0
"""Caps of power modes: complete for boards with DLA, and in agreement with published TOPS."""

from __future__ import annotations

import pytest

from edge_trt_jetson import boards, mode_caps


def test_every_board_with_dla_has_its_modes() -> None:
    wanted = {b.name for b in boards.all_boards() if b.dla_cores and b.supported}
    assert set(mode_caps.boards()) == wanted
    for name in wanted:
        caps = mode_caps.caps_of(name)
        board = boards.find(name)
        assert caps is not None
        assert board is not None
        assert caps.default in caps.modes
        assert all(0 < mode.gpu_sms <= board.sms for mode in caps.modes.values())


def test_boards_without_dla_are_not_in_the_table() -> None:
    assert mode_caps.caps_of("orin-nano-8gb") is None


@pytest.mark.parametrize(
    ("board", "mode", "gpu", "dla"),
    [
        ("agx-orin-64gb", "MAXN", 171, 105),
        ("agx-orin-64gb", "50W", 109, 92),
        ("agx-orin-64gb", "30W", 41, 90),
        ("agx-orin-64gb", "15W", 14, 40),
        ("agx-orin-32gb", "MAXN", 108, 92),
        ("agx-orin-industrial", "MAXN", 157, 92),
        ("orin-nx-16gb", "MAXN", 60, 40),
        ("orin-nx-16gb", "MAXN_SUPER", 77, 80),
        ("orin-nx-8gb", "MAXN", 50, 40),
    ],
)
def test_clocks_give_the_published_tops(board: str, mode: str, gpu: int, dla: int) -> None:
    caps = mode_caps.caps_of(board)
    assert caps is not None
    found = caps.modes[mode]
    assert 8.192 * found.gpu_sms * found.gpu_mhz / 1000 == pytest.approx(gpu, rel=0.02)
    assert 2 * 32.8 * found.dla_mhz / 1000 == pytest.approx(dla, rel=0.02)
