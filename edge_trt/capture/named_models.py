# SPDX-License-Identifier: Apache-2.0
"""Models of timm and torchvision by name, with the input that each expects.

``timm:resnet50`` and ``torchvision:resnet50`` have random weights; ``timm:resnet50@pretrained``
and ``torchvision:resnet50@DEFAULT`` (or another name of the model's weights) download theirs.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_trt.capture.inputs import Input
from edge_trt.capture.torchvision_ops import declared_on_import
from edge_trt.errors import CaptureError
from edge_trt_runtime.manifest import ImageSpec
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

_IMAGENET = ImageSpec([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
_AS_IS = ImageSpec([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
_CENTRED = ImageSpec([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])

_SLOW_INITIALISATION = ("googlenet", "inception_v3", "vgg")
_FRAMES = 16  # what torchvision's video weights were trained on
_FLOW_SIZE = (520, 960)  # torchvision's evaluation size; a multiple of 8, as RAFT needs


@dataclass(frozen=True)
class NamedModel:
    """A model with the inputs and preprocessing it was designed for."""

    model: nn.Module
    inputs: tuple[Any, ...] | None
    image: ImageSpec | None


def load_timm(name: str) -> NamedModel:
    """Create a timm model.

    Raises:
        CaptureError: When timm is not installed or has no such model.
    """
    timm = _import("timm")
    name, _, weights = name.partition("@")
    if weights not in ("", "pretrained"):
        raise CaptureError(f"timm has no weights {weights!r}", hint=f"write timm:{name}@pretrained")
    if not timm.is_model(name) and ":" not in name:
        known = did_you_mean(name, timm.list_models())
        raise CaptureError(f"timm has no model {name!r}", hint=known)
    model: nn.Module = timm.create_model(name, pretrained=bool(weights))
    config: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    size = config.get("input_size")
    image = ImageSpec([*map(float, config["mean"])], [*map(float, config["std"])]) if size else None
    return NamedModel(model, (Input((1, *size)),) if size else None, image)


def load_torchvision(name: str) -> NamedModel:
    """Create a torchvision model of any of its families (classification, segmentation, ...).

    Raises:
        CaptureError: When torchvision is not installed or has no such model or weights.
    """
    models: Any = _import("torchvision.models")
    name, _, weights = name.partition("@")
    known = [known for known in models.list_models() if not known.startswith("quantized_")]
    if name not in known:
        hint = did_you_mean(name, known)
        raise CaptureError(f"torchvision has no model {name!r}", hint=hint)
    choices = models.get_model_weights(name)
    arguments: dict[str, Any] = {"weights": None}
    if weights:
        if weights not in choices.__members__:
            hint = did_you_mean(weights, choices.__members__)
            raise CaptureError(f"{name} has no weights {weights!r}", hint=hint)
        arguments["weights"] = choices[weights]
    else:
        builder = models.get_model_builder(name)
        if "weights_backbone" in builder.__annotations__:
            arguments["weights_backbone"] = None
        if name.startswith(_SLOW_INITIALISATION):
            # Their initialisation takes seconds, and nobody deploys random weights.
            arguments["init_weights"] = False
    model: nn.Module = models.get_model(name, **arguments)
    chosen = arguments["weights"] or choices.DEFAULT
    return NamedModel(model, *_torchvision_inputs(model, chosen))


def _torchvision_inputs(model: nn.Module, weights: Any) -> tuple[tuple[Any, ...] | None, ImageSpec]:
    """Return the inputs that fit a model, from the preprocessing of its weights."""
    preset = weights.transforms()
    kind = type(preset).__name__
    if kind == "OpticalFlow":
        frame = Input((1, 3, *_FLOW_SIZE))
        return (frame, frame), _CENTRED
    if kind == "ObjectDetection":
        return ([Input((3, 640, 640))],), _AS_IS  # the model normalises and resizes by itself
    size = getattr(preset, "crop_size", None) or preset.resize_size
    height, width = (*size, *size)[:2]
    image = ImageSpec([*map(float, preset.mean)], [*map(float, preset.std)])
    if kind == "VideoClassification":
        return (Input((1, 3, _FRAMES, height, width)),), image
    # A vision transformer takes one size only, which its weights may have changed.
    fixed = getattr(model, "image_size", None)
    height, width = (fixed, fixed) if isinstance(fixed, int) else (height, width)
    return (Input((1, 3, height, width)),), image


def _import(name: str) -> ModuleType:
    """Import an optional package."""
    try:
        with declared_on_import():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name != package:
            raise
        hint = "pip install 'edge-trt[models]'"
        raise CaptureError(f"{package} is not installed", hint=hint) from error
