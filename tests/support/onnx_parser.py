# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's own reading of a model: `torch.onnx` export, then TensorRT's ONNX parser."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Parsed:
    """A network definition with what has to live as long as it does."""

    definition: Any
    owners: tuple[Any, ...]
    input_names: list[str]


def parse(
    module: nn.Module,
    inputs: Sequence[torch.Tensor],
    trt: ModuleType,
    *,
    dynamic_shapes: Any = None,
    optimize: bool = True,
) -> Parsed:
    """Exports a module with `torch.onnx` (dynamo) and parses the result.

    Args:
        module: What to export, in eval mode afterwards.
        inputs: Its positional inputs.
        trt: The TensorRT module.
        dynamic_shapes: As `torch.export` takes them.
        optimize: Whether the exporter folds constants and fuses; off leaves more to the parser.

    Raises:
        AssertionError: the parser refuses the model; the message holds its reasons.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        names = _export(module, tuple(inputs), path, dynamic_shapes, optimize)
        return _parsed(trt, names, lambda parser: parser.parse_from_file(str(path)))


def parse_bytes(model: bytes, trt: ModuleType) -> Parsed:
    """Parses a serialized ONNX model without external data.

    Raises:
        AssertionError: the parser refuses the model; the message holds its reasons.
    """
    return _parsed(trt, [], lambda parser: parser.parse(model))


def feeds_for(parsed: Parsed, inputs: Sequence[torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Inputs under the names that the export gave them."""
    return dict(zip(parsed.input_names, inputs, strict=True))


def _export(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    path: Path,
    dynamic_shapes: Any,
    optimize: bool,
) -> list[str]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's dependencies warn about each other
        program = torch.onnx.export(
            module.eval(),
            inputs,
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            optimize=optimize,
            verbose=False,
        )
        assert program is not None
        program.save(str(path))
        return [value.name for value in program.model.graph.inputs]


def _parsed(trt: ModuleType, names: list[str], parse_with: Callable[[Any], bool]) -> Parsed:
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)  # what the parser refuses is told below
    builder = trt.Builder(logger)
    definition = builder.create_network(_flags(trt))
    parser = trt.OnnxParser(definition, logger)
    if not parse_with(parser):
        reasons = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise AssertionError(f"the ONNX parser refuses the model: {reasons}")
    return Parsed(definition, (logger, builder, parser), names)


def _flags(trt: ModuleType) -> int:
    """Strong typing where it is a choice; newer versions have nothing else."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)
