# SPDX-License-Identifier: Apache-2.0
"""In which line of the model torch.export fixes a size that was to stay open."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from torch.fx.experimental.symbolic_shapes import ShapeEnv

from edge_trt.user_code import current_line

if TYPE_CHECKING:
    from collections.abc import Generator

_SIZE = re.compile(r"(.*)\.size\(\)\[(\d+)\]$")


@dataclass(frozen=True)
class Fixed:
    """One size that became a number.

    Attributes:
        tensor: How torch.export calls the input, as in ``L['x']``.
        index: Which dimension of it.
        size: The number.
        line: `` at file:line in f: code``, of the model.
        source: ``file:line``.
    """

    tensor: str
    index: int
    size: int
    line: str
    source: str


def where_fixed(found: list[Fixed], label: str, index: int, size: int) -> tuple[str, str]:
    """Return line and source of what fixed a dimension of the input of this name, or nothing."""
    alike = [fixed for fixed in found if (fixed.index, fixed.size) == (index, size)]
    named = [fixed for fixed in alike if label in re.findall(r"\w+", fixed.tensor)]
    return next(((fixed.line, fixed.source) for fixed in named or alike), ("", ""))


@contextmanager
def fixed_sizes(found: list[Fixed]) -> Generator[None]:
    """Record the sizes that become numbers while torch.export runs."""
    replace: Any = ShapeEnv._set_replacement  # as in torch 2.8 to 2.13

    def recording(env: Any, symbol: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(target, "is_Integer", False) and symbol not in env.replacements:
            line, source = current_line()
            matches = filter(None, map(_SIZE.match, _names(env, symbol)))
            found.extend(Fixed(m[1], int(m[2]), int(target), line, source) for m in matches)
        return replace(env, symbol, target, *args, **kwargs)

    with patch.object(ShapeEnv, "_set_replacement", recording):
        yield


def _names(env: Any, symbol: Any) -> list[str]:
    """What torch.export calls the sizes of a symbol: an attribute once was a method."""
    sources: Any = env.var_to_sources.get(symbol, ())
    return [str(s.name() if callable(s.name) else s.name) for s in sources]
