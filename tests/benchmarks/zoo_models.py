# SPDX-License-Identifier: Apache-2.0
"""Factories of the zoo's own models for `edge_trt build tests/benchmarks/zoo_models.py:NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.zoo import ZOO
from tests.support.zoo.entry import Arguments


def _made(name: str) -> tuple[nn.Module, Arguments]:
    """A model as its library makes it, and arguments."""
    return ZOO[name].make().eval(), ZOO[name].arguments()


def bert() -> tuple[nn.Module, Arguments]:
    """An encoder of three layers."""
    return _made("transformers:bert")


def llama() -> tuple[nn.Module, Arguments]:
    """A decoder of three layers, prefill."""
    return _made("transformers:llama")


def yolo() -> tuple[nn.Module, Arguments]:
    """A one-stage detector."""
    return _made("others:yolo")
