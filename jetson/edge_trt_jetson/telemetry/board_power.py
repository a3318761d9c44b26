# SPDX-License-Identifier: Apache-2.0
"""Which rails add up to the power of a whole board.

Some boards measure their input, others only its parts, and some parts lie inside of others: on
AGX Orin, VDDQ_VDD2_1V8AO is fed from VIN_SYS_5V0 and must not be added to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_trt_jetson.telemetry.sample import Rail

AGX_ORIN = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
AGX_XAVIER = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")

TOTALS: dict[str, tuple[str, ...]] = {
    "nano": ("POM_5V_IN",),
    "tx1": ("VDD_IN",),
    "tx2": ("VDD_IN",),
    "tx2-nx": ("VDD_IN",),
    "xavier-nx": ("VDD_IN",),
    "agx-xavier": AGX_XAVIER,
    "orin-nano": ("VDD_IN",),
    "orin-nx": ("VDD_IN",),
    "agx-orin": AGX_ORIN,
    "igx-orin": AGX_ORIN,
    "thor": ("VIN",),
}
"""Rails to add, by family (`edge_trt_jetson.boards`)."""

_BY_NAMES = (("VIN",), ("VDD_IN",), ("POM_5V_IN",), AGX_ORIN, AGX_XAVIER)
"""For a board that is not known: the first rule whose rails are all there."""

_UNCONNECTED = ("NC", "")


def is_connected(label: str) -> bool:
    """Whether a channel of that label measures something."""
    return label.upper() not in _UNCONNECTED


def total_of(names: Iterable[str], family: str = "") -> tuple[str, ...]:
    """Rails whose sum is the board's power.

    Args:
        names: The rails that there are.
        family: Family of the board, if it is known.

    Returns:
        Names to add; empty if no rule fits. A carrier of its own may lack a family's rails: then
        the names decide.
    """
    there = set(names)
    family = family.removesuffix("-devkit").removesuffix("-industrial")
    rules = (TOTALS.get(family, ()), *_BY_NAMES)
    return next((rule for rule in rules if rule and there.issuperset(rule)), ())


def total(rails: Iterable[Rail], names: tuple[str, ...]) -> float | None:
    """Sum of the named rails in W; None without names, or if one of them wasn't read."""
    watts = [rail.watts for rail in rails if rail.name in names]
    return sum(watts) if names and len(watts) == len(names) else None
