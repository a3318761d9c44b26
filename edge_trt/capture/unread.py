# SPDX-License-Identifier: Apache-2.0
"""Keeps torch.export from preparing what nobody reads here: a quarter of its time.

It records the whole stack of calls at each node, and then keeps the frames of `forward`. It notes
shape and layout once more beside the tensor that has both. And each of its passes writes the
graph's Python code anew, which is not run before the last of them.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from traceback import FrameSummary, StackSummary
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from torch import nn
from torch.fx import proxy
from torch.fx._lazy_graph_module import _use_lazy_graph_module
from torch.fx.experimental import proxy_tensor

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

_CALLS_FORWARD = nn.Module._call_impl.__code__
"""Of what a module calls, as `forward` may be a function of another name."""
_ONLY_FORWARD = "_record_forward_stack_traces_only"  # as in torch 2.13
_LAYOUT = "_extract_tensor_metadata"  # as in torch 2.13


@contextmanager
def nothing_unread() -> Generator[None]:
    """While an export runs, stacks are those of `forward`, and code is made when it is called."""
    with ExitStack() as stack:
        stack.enter_context(_use_lazy_graph_module(True))
        if hasattr(proxy_tensor, _LAYOUT):
            stack.enter_context(patch.object(proxy_tensor, _LAYOUT, _no_layout))
        if hasattr(proxy.TracerBase, _ONLY_FORWARD):
            stack.enter_context(patch.object(proxy, "CapturedTraceback", _Forwards))
        yield


def _no_layout(tensor: Any, *_: Any, **__: Any) -> None:
    """The node's `val` has it too."""


class _Forwards:
    """Stands for `torch.utils._traceback.CapturedTraceback` where a tracer asks for the stack."""

    def __init__(self, frame: FrameType | None) -> None:
        self._frame = frame

    @classmethod
    def extract(cls) -> _Forwards:
        """The stack of who calls."""
        return cls(sys._getframe(1))

    def summary(self) -> StackSummary:
        """The frames that a tracer keeps, the innermost last."""
        found: list[FrameSummary] = []
        frame = self._frame
        while frame is not None:
            code, caller = frame.f_code, frame.f_back
            is_forward = caller is not None and caller.f_code is _CALLS_FORWARD
            name = "forward" if is_forward else code.co_name  # which torch looks for once more
            if _is_kept(code.co_filename, name):
                found.append(FrameSummary(code.co_filename, frame.f_lineno, name))
            frame = caller
        return StackSummary.from_list(found[::-1])


def _is_kept(file: str, function: str) -> bool:
    anchors: Any = getattr(proxy, "_STACK_TRACE_ANCHORS", ())
    return (
        function == "forward" or file.endswith("torch/__init__.py") or (file, function) in anchors
    )
