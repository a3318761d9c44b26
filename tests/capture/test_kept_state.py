# SPDX-License-Identifier: Apache-2.0
"""A module is left as it was found, whatever its forward writes to, and however capture ends."""

from __future__ import annotations

import re
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.capture import CaptureWarning, capture
from edge_trt.errors import EdgeTrtError

WEIGHT = r"weight 'w' .*keep what changes in a buffer"


class _Keeping(nn.Module):
    """Runs a function, which may keep what it likes."""

    def __init__(self, function) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))
        self.register_buffer("c", torch.zeros(4))
        self.plain, self.kept, self.named = torch.zeros(4), [torch.zeros(4)], {"k": torch.zeros(4)}
        self.function = function

    def forward(self, x):
        with torch.no_grad():
            return self.function(self, x)


def _weight(m, x):
    m.w.add_(x.mean(0))
    return x * m.w


def _weight_then_cut(m, x):
    m.w.copy_(x[0])
    return x[1:-1] * m.w


def _weight_by_a_view(m, x):
    m.w.detach()[:2].zero_()
    return x[:, : x.shape[1]] * m.w


def _weight_and_choice(m, x):
    m.w.mul_(2)
    return x * m.w if x.shape[0] % 2 == 0 else x + m.w


def _data(m, x):
    m.w.data.mul_(2)
    return x * m.w


def _new_weight(m, x):
    m.w = nn.Parameter(m.w + 1)
    return x * m.w


def _attributes(m, x):
    m.c.add_(1)
    m.plain.add_(1)
    return x * m.plain


def _new_attributes(m, x):
    m.c = m.c + 1
    m.cache, m.count = x, getattr(m, "count", 0) + 1
    return x * m.c


def _containers(m, x):
    m.kept[0].add_(1)
    m.kept.append(x)
    m.named["k"] = x
    m.named["l"] = x
    return x * m.kept[0]


def _contents(model):
    """Every attribute: tensors as themselves and their values, lists and dicts with theirs."""

    def content(value):
        if isinstance(value, torch.Tensor):
            return id(value), value.tolist()
        if isinstance(value, dict):
            return {key: content(item) for key, item in value.items()}
        return [content(item) for item in value] if isinstance(value, list) else value

    return content(vars(model))


@pytest.mark.parametrize("rows", ["5", "3..5..8", "1..5..8"])
@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (_weight, WEIGHT),
        (_weight_then_cut, WEIGHT),
        (_weight_by_a_view, WEIGHT),
        (_weight_and_choice, f"{WEIGHT}|chooses by a condition"),
        (_data, r"write .detach\(\) for .data"),
        (_new_weight, None),
        (_attributes, "writes to its tensor 'plain'"),
        (_new_attributes, "writes to its buffer 'c'"),
        (_containers, "writes to its tensor"),
    ],
)
def test_the_module_is_left_as_it_was(forward, message, rows):
    model = _Keeping(forward).eval()
    before = _contents(model)
    try:
        edge_trt.compile(model, edge_trt.Input.parse(f"x={rows}x4"), target="cpu", dryrun=True)
        said = None
    except EdgeTrtError as error:
        said = str(error)
    assert _contents(model) == before
    assert (said is None) if message is None else re.search(message, said or "")


class _Remembering(nn.Module):
    """Keeps something of its calls, by one of the functions below."""

    def __init__(self, function) -> None:
        super().__init__()
        self.cache, self.past, self.calls, self.function = None, [], 0, function

    def forward(self, x):
        return self.function(self, x)


def _cache(m, x):
    m.cache = x if m.cache is None else torch.cat([m.cache, x])
    return m.cache.sum()


def _past(m, x):
    m.past.append(x)
    return sum(m.past)


def _calls(m, x):
    m.calls += 1
    return x * m.calls


def _mean(m, x):
    m.cache = x if m.cache is None else (m.cache + x) / 2
    return m.cache


def _grid(m, x):
    m.calls += 1
    m.cache = torch.arange(x.shape[1]) if m.cache is None else m.cache
    return x + m.cache


@pytest.mark.parametrize(
    ("function", "kept"),
    [(_cache, "cache"), (_past, "past"), (_calls, "calls"), (_mean, "cache"), (_grid, None)],
)
def test_state_in_attributes_is_told_where_it_changes_answers(function, kept):
    model = nn.Sequential(_Remembering(function)).eval()
    warnings = pytest.warns(CaptureWarning, match=f"keeps '0.{kept}' from one call to the next")
    with warnings if kept else nullcontext():
        capture(model, torch.ones(2, 3))
    assert (model[0].cache, model[0].past, model[0].calls) == (None, [], 0)


class _Tracker:
    """A helper object with a list, a number and a tensor."""

    def __init__(self) -> None:
        self.past, self.calls, self.last = [], 0, None


@dataclass(frozen=True)
class _Frozen:
    """What it holds changes all the same."""

    past: list


class _Slotted:
    """An object without a dict."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = None


class _Helped(nn.Module):
    """Keeps something of its calls beside itself, by one of the functions below."""

    def __init__(self, function) -> None:
        super().__init__()
        self.ring, self.nested = deque(maxlen=3), {"front": ([], _Tracker())}
        self.tracker, self.frozen, self.slotted = _Tracker(), _Frozen([]), _Slotted()
        self.function = function

    def forward(self, x):
        return self.function(self, x)

    def content(self):
        """All that it could keep."""
        inner, outer = self.nested["front"][1], self.tracker
        objects = [(t.past, t.calls, t.last) for t in (inner, outer)]
        kept = ([*self.ring], [*self.nested["front"][0]], [*self.frozen.past], self.slotted.last)
        return kept, objects


def _appended(past, x):
    past.append(x)
    return sum(past)


def _last(holder, x):
    holder.last = x if holder.last is None else holder.last + x
    return holder.last * 1


def _counted(m, x):
    m.tracker.calls += 1
    return x * m.tracker.calls


def _made_once(m, x):
    m.tracker.last = torch.arange(x.shape[1]) if m.tracker.last is None else m.tracker.last
    return x + m.tracker.last


@pytest.mark.parametrize(
    ("function", "kept"),
    [
        (lambda m, x: _appended(m.ring, x), r"0\.ring"),
        (lambda m, x: _appended(m.tracker.past, x), r"0\.tracker\.past"),
        (lambda m, x: _appended(m.frozen.past, x), r"0\.frozen\.past"),
        (lambda m, x: _appended(m.nested["front"][0], x), r"0\.nested\['front'\]\[0\]"),
        (lambda m, x: _last(m.nested["front"][1], x), r"0\.nested\['front'\]\[1\]"),
        (lambda m, x: _last(m.tracker, x), r"0\.tracker"),
        (lambda m, x: _last(m.slotted, x), r"0\.slotted"),
        (_counted, r"0\.tracker"),
        (_made_once, None),
        (lambda m, x: x * len(m.ring), None),
    ],
)
def test_state_beside_modules_is_told_and_left_as_it_was(function, kept):
    model = nn.Sequential(_Helped(function)).eval()
    before = model[0].content()
    says = f"keeps ['\"]{kept}['\"] from one call to the next.*register_buffer"
    with pytest.warns(CaptureWarning, match=says) if kept else nullcontext():
        capture(model, torch.ones(2, 3))
    assert model[0].content() == before
    assert model[0].ring.maxlen == 3


def test_a_tensor_of_a_helper_is_left_as_it_was():
    model = _Helped(lambda m, x: m.tracker.last.add_(x) * 1).eval()
    model.tracker.last = kept = torch.zeros(2, 3)
    with pytest.raises(EdgeTrtError, match="writes to"):
        capture(model, torch.ones(2, 3))
    assert model.tracker.last is kept
    assert not kept.any()
