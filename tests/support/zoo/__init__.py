# SPDX-License-Identifier: Apache-2.0
"""The models that the compiler has to take whole, with random weights that hide nothing.

entry = ZOO["vit_b_16"]
model, image = entry.build(), entry.example()
"""

from __future__ import annotations

from tests.support.zoo import detectors, others, timm, torchvision, transformers
from tests.support.zoo.entry import Entry
from tests.support.zoo.randomise import randomise

__all__ = ["CORE", "ZOO", "Entry", "randomise"]

ZOO: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        *torchvision.entries(),
        *detectors.entries(),
        *timm.entries(),
        *transformers.entries(),
        *others.entries(),
    )
}
"""Every model of the coverage list, by name."""

CORE: dict[str, Entry] = {
    name: ZOO[name]
    for name in (
        *torchvision.CORE,
        *torchvision.INCEPTIONS,
        *(f"timm:{name}" for name in timm.CORE),
        "fcn_resnet50",
        "deeplabv3_mobilenet_v3_large",
    )
}
"""Those that are tested at ranges of sizes and by every oracle."""
