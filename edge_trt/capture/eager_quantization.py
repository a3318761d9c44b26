# SPDX-License-Identifier: Apache-2.0
"""Modules that PyTorch's quantization puts into a model: what they do is in buffers.

A fake quantizer asks its buffers whether it observes and whether it quantizes, which torch.export
takes for control flow by values. Its answers are known before anything runs.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from edge_trt.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import nn

_QUANTIZED = "torch.ao.nn.quantized"
_FLOAT = {"FloatFunctional", "FXFloatFunctional"}
"""Modules of that package which compute in floats."""


@contextmanager
def decided_fake_quantizers(model: nn.Module) -> Generator[None]:
    """While the block runs, fake quantizers do what their flags say, and ask none.

    Raises:
        CaptureError: When a module still observes, or computes in integers that have no export.
    """
    _refuse_quantized(model)
    quantization: Any = sys.modules.get("torch.ao.quantization")  # slow to import in vain
    if quantization is None:
        yield
        return
    observers = (quantization.ObserverBase, quantization.FakeQuantize)
    found: list[tuple[str, Any]] = [
        (name, m) for name, m in model.named_modules() if isinstance(m, observers)
    ]
    plain = [pair for pair in found if type(pair[1]).forward is quantization.FakeQuantize.forward]
    inside = {id(fake.activation_post_process) for _, fake in found if hasattr(fake, "scale")}
    for name, module in found:
        if isinstance(module, quantization.ObserverBase) and id(module) not in inside:
            raise CaptureError(
                f"the module {name!r} only observes, as after torch.ao.quantization.prepare",
                hint="compile the float model by precision='int8' with calibration data, or one "
                "that was trained with fake quantizers (prepare_qat)",
            )
    fixed = quantization.FixedQParamsFakeQuantize
    for name, module in plain:
        if module.observer_enabled[0] == 1 and not isinstance(module, fixed):
            raise still_observes(name)
    on = {id(module): bool(module.fake_quant_enabled[0] == 1) for _, module in plain}

    def forward(module: Any, x: torch.Tensor) -> torch.Tensor:
        return _fake_quantized(module, x) if on[id(module)] else x

    with patch.object(quantization.FakeQuantize, "forward", forward):
        yield


def still_observes(name: str, where: str = "") -> CaptureError:
    """Return the error for a fake quantizer whose observer is on."""
    return CaptureError(
        f"the fake quantizer {name!r}{where} still observes, so that each run would change its "
        "scale",
        hint="turn observers off: model.apply(torch.ao.quantization.disable_observer)",
    )


def _fake_quantized(module: Any, x: torch.Tensor) -> torch.Tensor:
    limits = module.activation_post_process
    parameters, ends = (module.scale, module.zero_point), (limits.quant_min, limits.quant_max)
    if module.is_per_channel:
        return torch.fake_quantize_per_channel_affine(x, *parameters, module.ch_axis, *ends)
    return torch.fake_quantize_per_tensor_affine(x, *parameters, *ends)


def _refuse_quantized(model: nn.Module) -> None:
    for name, module in model.named_modules():
        kind = type(module)
        floats = kind.__name__ in _FLOAT or ".reference" in kind.__module__
        if kind.__module__.startswith(_QUANTIZED) and not floats:
            raise CaptureError(
                f"the module {name!r} computes in integers by PyTorch's own kernels "
                f"({kind.__module__}.{kind.__name__}), which have no export",
                hint="compile the model as it was before torch.ao.quantization.convert",
            )
