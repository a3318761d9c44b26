# SPDX-License-Identifier: Apache-2.0
"""How TensorRT serves a target: one decision from the board, the version, and what it offers.

`none`         TensorRT is not there, or older or newer than what edge_trt builds for
`strong`       strongly typed engines for the GPU; no DLA
`weak`         DLA with implicit INT8: a dynamic range for each tensor, FP16 and INT8 flags
`strong-dla`   DLA with explicit types: symmetric Q/DQ on every tensor, casts at the borders
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_trt_jetson import versions
from edge_trt_jetson.boards import Board
from edge_trt_jetson.versions import Release, numbers

Regime = Literal["none", "weak", "strong", "strong-dla"]

OLDEST = (10, 3)
"""Older versions lack strong types for int64, so edge_trt emits nothing for them."""
NEWEST_MAJOR = 11
"""What a later major version takes out is not known; 11 itself took out the weak types."""
LAST_WEAK = (10, 7)
"""The last release of the 10.x line that has DLA."""
FIRST_STRONG = (11, 4, 1)
"""The first release with DLA in strongly typed networks, on Jetson AGX Orin."""
FIRST_STRONG_L4T = (39, 2, 2)
"""JetPack 7.2.2: that TensorRT offers no DLA on the releases before it."""
NAMED_STRONG = ("agx-orin", "agx-orin-devkit", "agx-orin-industrial")
"""Families that the support text of TensorRT 11.4.1 covers: it names AGX Orin alone."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A regime with its reason.

    Attributes:
        regime: see the module.
        reason: one sentence: why, and the fix where one exists.
        cores: DLA cores to plan for; 0 where the regime has none.
        certain: whether a source or the board itself confirms it.
    """

    regime: Regime
    reason: str
    cores: int = 0
    certain: bool = True

    @property
    def has_dla(self) -> bool:
        """Whether engines may run on DLA."""
        return self.cores > 0


def decide(
    board: Board | None, tensorrt: str, *, l4t: str | None = None, offered: int | None = None
) -> Decision:
    """The regime of a target.

    Args:
        board: the board, or None for a desktop GPU.
        tensorrt: TensorRT's version, such as `10.3.0.30`; empty where there is none.
        l4t: the L4T release if it is known, such as `39.2.2`.
        offered: what TensorRT's `num_DLA_cores` says on the device, or None before it was asked.
            It is never enlarged: kernel nodes, clocks and packages of absent cores exist.
    """
    version = numbers(tensorrt)
    where = "a desktop GPU" if board is None else board.title
    if not version:
        return Decision("none", f"{where} has no TensorRT: install the one of its JetPack")
    if version[:2] < OLDEST:
        return Decision(
            "none",
            f"TensorRT {tensorrt} is older than 10.3, the oldest that edge_trt builds for: "
            "install JetPack 6.1 or newer",
        )
    if version[0] > NEWEST_MAJOR:
        return Decision(
            "none",
            f"TensorRT {tensorrt} is newer than {NEWEST_MAJOR}.x, the newest that edge_trt builds "
            f"for: update edge_trt, or install TensorRT {NEWEST_MAJOR}",
        )
    if board is None or board.dla_cores == 0:
        return Decision("strong", f"{where} has no DLA")
    return _on_dla_board(board, tensorrt, l4t, offered)


def _on_dla_board(board: Board, tensorrt: str, l4t: str | None, offered: int | None) -> Decision:
    """The decision for a board that has cores and a TensorRT that is new enough."""
    version = numbers(tensorrt)
    weak, strong = version[:2] <= LAST_WEAK, version >= FIRST_STRONG
    if not weak and not strong:
        return Decision(
            "strong",
            f"TensorRT {tensorrt} has no DLA on Jetson: it is in 10.3 to 10.7 (JetPack 6) and "
            "again from 11.4.1 (JetPack 7.2.2)",
        )
    if strong and l4t is not None and numbers(l4t) < FIRST_STRONG_L4T:
        return Decision(
            "strong",
            f"TensorRT {tensorrt} has no DLA on L4T {l4t}: update to JetPack 7.2.2 (L4T 39.2.2)",
        )
    if offered == 0:
        return Decision("strong", f"TensorRT {tensorrt} offers no DLA core on this {board.title}")
    named = weak or board.family in NAMED_STRONG
    if not named and offered is None:
        return Decision(
            "strong",
            f"TensorRT {tensorrt} names AGX Orin alone for DLA: whether {board.title} has it "
            "shows on the board",
            certain=False,
        )
    cores = board.dla_cores if offered is None else min(offered, board.dla_cores)
    how = "implicit INT8 by dynamic ranges" if weak else "symmetric Q/DQ on every tensor"
    certain = offered is not None or (named and board.fact("dla_cores").certain)
    return Decision(
        "weak" if weak else "strong-dla",
        f"TensorRT {tensorrt} serves {cores} DLA core{'s' * (cores != 1)} with {how}",
        cores,
        certain,
    )


def of_release(board: Board, release: Release, *, offered: int | None = None) -> Decision:
    """The regime of a board under what an L4T release ships."""
    architecture = board.sm in release.architectures
    if not architecture:
        return Decision("none", f"JetPack {release.jetpack} does not run on {board.title}")
    return decide(board, release.tensorrt, l4t=release.l4t, offered=offered)


def planned_release(board: Board) -> Release | None:
    """The release that a host plans for: the newest with DLA whose components are confirmed.

    None where a board has DLA under no release that edge_trt builds for.
    """
    found = [r for r in versions.known() if not r.unsure and of_release(board, r).has_dla]
    return found[-1] if found else None
