# SPDX-License-Identifier: Apache-2.0
"""Runs a model itself: what every other result is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

Arguments = tuple[Any, ...] | Mapping[str, Any]
"""Positional or keyword arguments of a model."""


def outputs(model: nn.Module, arguments: Arguments) -> list[torch.Tensor]:
    """What a model itself gives, as a flat list."""
    with torch.no_grad():
        eager = model(**arguments) if isinstance(arguments, Mapping) else model(*arguments)
    return [x for x in pytree.tree_leaves(eager) if isinstance(x, torch.Tensor)]
