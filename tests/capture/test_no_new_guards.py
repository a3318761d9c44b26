# SPDX-License-Identifier: Apache-2.0
"""Questions about symbolic sizes that get no answer, in this PyTorch and as in older ones."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from edge_trt.capture.oblivious import no_new_guards


@pytest.mark.parametrize("older", [False, True])
def test_a_question_fails_and_later_ones_do_not(
    older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if older:  # 2.8 and 2.11 have no such method
        monkeypatch.delattr(ShapeEnv, "error_on_new_guards")
    shapes = ShapeEnv()
    size = FakeTensorMode(shape_env=shapes).from_tensor(torch.zeros(6, 4)).shape[0]
    assert isinstance(size, torch.SymInt)
    with no_new_guards(shapes), pytest.raises(Exception, match="guards are frozen"):
        bool(size > 5)
    assert not shapes.guards
    assert bool(size > 5)
    assert len(shapes.guards) == 1
