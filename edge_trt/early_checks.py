# SPDX-License-Identifier: Apache-2.0
"""What a build refuses before work is spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt.errors import OptionError
from edge_trt.option_checks import needs_data

if TYPE_CHECKING:
    from edge_trt.capture import Captured
    from edge_trt.options import CompileOptions

QUANTIZED = ("quantized_decomposed.", "torchao.", "aten.fake_quantize_")
"""Beginnings of the operators of programs that another tool has quantized."""
LIBRARIES = ("timm:", "torchvision:")
"""Beginnings of the names of models in float32."""


def checked(options: CompileOptions, model: object) -> CompileOptions:
    """Refuses what no stage would read, and what a model of that name can't be compiled to."""
    if options.fp32_layers and options.precision == "fp32":
        raise OptionError(
            "fp32_layers says what stays fp32, and with precision='fp32' everything does",
            option="fp32_layers",
            hint="add precision='fp16', or leave it out",
        )
    check_dla(options, options.precision)
    check_source(model, options)
    return options


def check_dla(options: CompileOptions, precision: str) -> None:
    """Refuses a placement that no target can have, before work is spent.

    Args:
        options: with the targets.
        precision: of the networks, which may be those of a finished bundle.
    """
    if options.places_dla:
        from edge_trt.placement.site import check_targets

        check_targets(options.targets, options.dla, options.dla_mode, precision)


def check_files(options: CompileOptions) -> None:
    """Notices a missing file, or a method that there is not, before work is spent."""
    if options.precision == "int8":
        from edge_trt.precision import given
        from edge_trt_calibration.methods import FROM_DATA, method_of

        given.check_files(options)
        if options.calibration_method not in (None, *FROM_DATA):
            method_of(options.calibration_method)


def check_source(model: object, options: CompileOptions) -> None:
    """Refuses int8 without data before the capture, where the model can't be quantized already.

    Those of a library are not, while a program, a module or a factory may have any operators.
    """
    named = isinstance(model, str) and model.startswith(LIBRARIES)
    if named and ":quantized" not in str(model) and _lacks_data(options):
        raise needs_data()


def check_data(captured: Captured, options: CompileOptions) -> None:
    """Refuses int8 without data early, unless the model may be quantized already."""
    if not _lacks_data(options):
        return
    targets = {str(node.target) for node in captured.program.graph.nodes}
    if not any(target.startswith(QUANTIZED) for target in targets):
        raise needs_data()


def _lacks_data(options: CompileOptions) -> bool:
    """Whether int8 is asked for without data; a dry run measures no ranges."""
    given = options.calibration is not None or options.ranges is not None
    return options.precision == "int8" and not given and not options.dryrun
