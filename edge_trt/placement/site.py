# SPDX-License-Identifier: Apache-2.0
"""Where a placement is for: a board, the TensorRT on it, and its power modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from edge_trt.errors import OptionError
from edge_trt.option_values import unknown
from edge_trt.placement.cost import Machine, rates
from edge_trt.placement.regimes import Decision, decide, of_release, planned_release
from edge_trt.placement.rule import Generation
from edge_trt_jetson import boards, mode_caps, versions
from edge_trt_jetson.boards import Board
from edge_trt_jetson.mode_caps import BoardCaps


@dataclass(frozen=True, slots=True)
class Site:
    """A board with DLA under one version of TensorRT.

    Attributes:
        board: which.
        decision: the regime and the cores.
        tensorrt: version, such as `10.3.0.30`.
        l4t: release, or empty.
        caps: its power modes.
        mode: name of the mode that is planned for.
    """

    board: Board
    decision: Decision
    tensorrt: str
    l4t: str
    caps: BoardCaps
    mode: str

    @property
    def generation(self) -> Generation:
        """Of its DLA."""
        return cast("Generation", self.board.dla_version)

    @property
    def version(self) -> tuple[int, ...]:
        """TensorRT's version as numbers."""
        return versions.numbers(self.tensorrt)

    def machine(self, mode: str | None = None) -> Machine:
        """The board in a power mode: the planned one unless another is named."""
        return Machine(
            self.board, self.caps.modes[mode or self.mode], self.caps.idle_watts, rates()
        )


def site_of(
    name: str,
    *,
    mode: str | None = None,
    tensorrt: str | None = None,
    l4t: str | None = None,
    offered: int | None = None,
) -> Site | Decision:
    """The site of a target, or the decision that says why it has no DLA.

    Args:
        name: a target; what is no board has no DLA.
        mode: the power mode to plan for, with or without nvpmodel's `MODE_`, in upper or lower
            case; by default the one that the board starts in.
        tensorrt: version on the board; by default that of the newest confirmed JetPack with DLA.
        l4t: release on the board, where the version is given.
        offered: DLA cores that TensorRT offers on the board, where it was asked.

    Raises:
        OptionError: the board has no such mode.
    """
    board = boards.find(name)
    if board is None:
        return Decision("strong", f"target {name} has no DLA: everything runs where it always does")
    release = planned_release(board) if tensorrt is None else None
    if release is not None:
        decision = of_release(board, release, offered=offered)
        tensorrt, l4t = release.tensorrt, release.l4t
    else:
        decision = decide(board, tensorrt or _newest(board), l4t=l4t, offered=offered)
    caps = mode_caps.caps_of(name)
    if not decision.has_dla or caps is None:
        return decision
    chosen = caps.default if mode is None else _mode(name, mode, caps)
    return Site(board, decision, tensorrt or "", l4t or "", caps, chosen)


def _mode(name: str, wanted: str, caps: BoardCaps) -> str:
    """A power mode as it is called here, from the spelling of nvpmodel or of a person.

    Raises:
        OptionError: the board has no such mode.
    """
    found = {_plain(mode): mode for mode in caps.modes}.get(_plain(wanted))
    if found is None:
        raise unknown(f"power mode of {name}", wanted, caps.modes, option="dla_mode")
    return found


def _plain(mode: str) -> str:
    """`30W` of `MODE_30W`, which is what nvpmodel and `edge_trt power` print."""
    return mode.strip().upper().replace(" ", "_").removeprefix("MODE_")


def _newest(board: Board) -> str:
    """TensorRT of the newest release that runs on a board."""
    found = [r for r in versions.known() if of_release(board, r).regime != "none"]
    return found[-1].tensorrt if found else ""


def check_targets(
    targets: tuple[str, ...], policy: str | None, mode: str | None, precision: str
) -> None:
    """Refuses `dla='only'` early where it can't be.

    Raises:
        OptionError: a board has no DLA or no target is one, the mode does not exist, or the
            precision is fp32.
    """
    if policy in (None, "off"):
        return
    found = {name: site_of(name, mode=mode) for name in targets}
    if policy != "only":
        return
    without = {name: site for name, site in found.items() if isinstance(site, Decision)}
    refused = [name for name in without if boards.find(name)]
    if refused or len(without) == len(found):
        name = (refused or [*without])[0]
        raise OptionError(
            f"dla='only' can't be on {name}: {without[name].reason}",
            option="dla",
            hint="name boards with DLA alone as targets, or use dla='auto'",
        )
    if precision == "fp32":
        raise OptionError(
            "dla='only' can't be: a DLA computes in int8 or fp16, and precision is 'fp32'",
            option="dla",
            hint="build from the model with precision='int8' and calibration data, or 'fp16'",
        )
