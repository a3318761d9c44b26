# SPDX-License-Identifier: Apache-2.0
"""A trace that takes long says where it is; one of fixed sizes, or a fast one, says nothing."""

from __future__ import annotations

import sys
import time
import warnings

import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.capture import CaptureWarning, capture, slow_traces


class _Slow(nn.Module):
    def forward(self, x):
        time.sleep(0.2)
        return x * 2


OPEN = edge_trt.Input(("n", 3), min=2, opt=4, max=8)
MODEL = nn.Sequential(nn.ReLU(), nn.Sequential(_Slow())).eval()


def test_a_slow_trace_says_where_it_is(monkeypatch):
    monkeypatch.setattr(slow_traces, "PATIENCE", 0.0)
    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: said.append((type(message), str(message)))
        capture(nn.Sequential(_Slow(), nn.Sequential(_Slow())).eval(), OPEN)
    ((kind, text),) = said
    assert kind is CaptureWarning
    assert "fix those that need not change" in text
    assert "tracing for 0 s" in text


def test_the_place_is_the_innermost_module_and_its_line(monkeypatch):
    found = []
    monkeypatch.setattr(time, "sleep", lambda _: found.append(slow_traces._where(MODEL, _frame())))
    MODEL(torch.ones(1))
    assert "now in module 1.0 (" in found[0]
    assert "test_slow_traces.py:" in found[0]


def _frame():
    return sys._getframe(1).f_back


@pytest.mark.parametrize(("patience", "given"), [(0.0, torch.ones(2, 3)), (60.0, OPEN)])
def test_nothing_is_said_of_other_traces(monkeypatch, patience, given):
    monkeypatch.setattr(slow_traces, "PATIENCE", patience)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        capture(MODEL, given)
