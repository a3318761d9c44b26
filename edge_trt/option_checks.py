# SPDX-License-Identifier: Apache-2.0
"""Which compile options go together."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from edge_trt.errors import OptionError
from edge_trt.option_values import unknown

if TYPE_CHECKING:
    from edge_trt.options import CompileOptions


HOST_TARGETS = ("cpu", "rtx", "cuda")
"""Targets that are not a board: ONNX Runtime, TensorRT-RTX, and desktop TensorRT."""


def check_together(options: CompileOptions) -> None:
    """Refuse options that contradict each other, or belong to a later version.

    Raises:
        OptionError: naming the option.
    """
    _check_dla(options)
    _check_int8(options)


DLA = ("dla", "dla_objective", "dla_mode")
"""Options of the placement on DLA."""


def _check_dla(options: CompileOptions) -> None:
    """Refuse what only a placement reads, without one."""
    for name, default in (("dla_objective", "latency"), ("dla_mode", None)):
        if not options.places_dla and getattr(options, name) != default:
            given = "is not given" if options.dla is None else f"is {options.dla!r}"
            raise OptionError(
                f"{name} is about a placement on DLA, and dla {given}",
                option=name,
                hint="add dla='auto' (--dla auto, also for a bundle that is placed already), or "
                "leave it out",
            )


INT8 = (
    "calibration", "ranges", "calibration_method", "samples", "int8_except", "int8_scheme",
    "int8_weights",
)  # fmt: skip
"""Options that int8 alone reads, besides the metric."""


def _check_int8(options: CompileOptions) -> None:
    """Refuse samples beside ranges, and options of int8 in another precision."""
    if options.precision == "int8":
        if options.ranges is not None and options.samples is not None:
            raise OptionError(
                "samples says how many to calibrate with, and the ranges are there already",
                option="samples",
                hint="leave out one of --samples and --ranges",
            )
        return
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for name in (*INT8, "metric"):
        if _is_given(getattr(options, name), defaults[name]):
            raise OptionError(
                f"{name} is about int8, and precision is {options.precision!r}",
                option=name,
                hint="add precision='int8', or leave it out",
            )


def needs_data() -> OptionError:
    """What is said of int8 with neither data nor ranges, if anything is to be quantized."""
    return OptionError(
        "precision='int8' needs sample data",
        option="calibration",
        hint="add --calibration DATA, or --ranges FILE of edge_trt calibrate",
    )


def _is_given(value: object, default: object) -> bool:
    """Whether a value is another than the default; data may be anything, and is not compared."""
    plain = isinstance(value, str | int | tuple)
    return value != default if plain else value is not default


def check_target(target: str) -> None:
    """Raise OptionError unless ``target`` is a host target or the name of a board."""
    if target in HOST_TARGETS:
        return
    from edge_trt_jetson import boards

    board = boards.find(target)
    if board is not None and board.supported:
        return
    if board is not None:
        newest = max(board.jetpack, default="none")
        raise OptionError(
            f"{board} can't be a target: its newest JetPack is {newest}",
            option="target",
            hint="choose a board with JetPack 6 or newer (edge_trt boards lists them)",
        )
    known = [*HOST_TARGETS, *boards.targets()]
    raise unknown("target", target, known, option="target")
