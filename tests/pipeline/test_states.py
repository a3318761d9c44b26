# SPDX-License-Identifier: Apache-2.0
"""Models that keep state between calls: buffers as inputs and outputs of the bundle."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import edge_trt
from edge_trt import CaptureError, Input
from edge_trt_runtime import load, run_self_test
from edge_trt_runtime.describe import describe
from edge_trt_runtime.manifest import State


class Decoder(nn.Module):
    """One layer of attention over a cache of fixed length; a step takes one token."""

    def __init__(self, width: int = 8, heads: int = 2, longest: int = 6) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads = heads
        shape = (1, heads, longest, width // heads)
        self.register_buffer("keys", torch.zeros(shape))
        self.register_buffer("values", torch.zeros(shape))

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            part.view(1, 1, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1)
        )
        self.keys.index_copy_(2, position, key)
        self.values.index_copy_(2, position, value)
        mask = torch.arange(self.keys.shape[2])[None, None, None] <= position
        mixed = F.scaled_dot_product_attention(query, self.keys, self.values, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).reshape(1, 1, -1))


class Filter(nn.Module):
    """A recursive filter that counts its samples."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.full((3,), 0.5))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("gain", torch.tensor(0.25))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.level += self.gain * (x - self.level)
        self.count += 1
        return {"smooth": self.level * 1.0, "rest": x - self.level}


class Tick(nn.Module):
    """A cache that takes as many rows as there are."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("position", torch.tensor(0))
        self.register_buffer("rows", torch.zeros(1, 32, 4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        place = torch.arange(x.shape[1]) + self.position
        self.rows.index_copy_(1, place, x)
        self.position.add_(x.shape[1])
        return self.rows.sum(1), self.position.clone()


class Average(nn.Module):
    """A running average, kept without gradients as training code does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.average.mul_(0.9).add_(x.mean((0, 1)) * 0.1)
        return x - self.average


OPEN = Input((1, "t", 4), min=(1, 1, 4), opt=(1, 4, 4), max=(1, 8, 4))


def tokens(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(1, 1, 8, generator=generator), torch.tensor([i])) for i in range(count)]


@pytest.mark.rtx
def test_a_decoder_with_a_cache(tmp_path: Path) -> None:
    model = Decoder().eval()
    bundle = edge_trt.compile(
        model, (torch.randn(1, 1, 8), torch.tensor([0])), states="io", target=["cpu", "rtx"]
    )
    path = bundle.save(tmp_path / "m.edge")
    assert [spec.name for spec in bundle.signature.inputs] == ["x", "position", "keys", "values"]
    assert [s.name for s in bundle.signature.outputs] == ["output", "keys_next", "values_next"]
    assert bundle.signature.states == [State("keys", "keys_next"), State("values", "values_next")]
    assert len(bundle.parts) == len(bundle.plans) == 1
    assert all(result.passed for result in run_self_test(path))
    expected = copy.deepcopy(model)
    again = edge_trt.load(path)
    again.save(tmp_path / "copy.edge")
    with load(tmp_path / "copy.edge") as session:
        assert "keys_next of a run is keys of the next" in describe(session.bundle)
        states = session.initial_states()
        assert all((states[name] == 0).all() for name in ("keys", "values"))
        for x, position in tokens(6):
            outputs = session.run({"x": x.numpy(), "position": position.numpy(), **states})
            states = session.next_states(outputs)
            wanted = expected(x, position).detach().numpy()
            np.testing.assert_allclose(outputs["output"], wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            states["keys"], expected.keys.detach().numpy(), rtol=1e-4, atol=1e-5
        )
    assert (model.keys == 0).all()  # the user's model saw none of it


def test_a_filter_as_a_module_keeps_its_state() -> None:
    model = Filter().eval()
    bundle = edge_trt.compile(model, torch.randn(3), states="io")
    assert {s.input for s in bundle.signature.states} == {"level", "count"}
    run, expected = bundle.module(), copy.deepcopy(model)
    assert isinstance(run.session.initial_states(), dict)
    samples = [torch.randn(3) for _ in range(4)]
    first = {name: value.clone() for name, value in run(samples[0]).items()}
    torch.testing.assert_close(first, expected(samples[0]))
    for x in samples[1:]:
        torch.testing.assert_close(run(x), expected(x))
    run.reset()
    torch.testing.assert_close(run(samples[0]), first)


def test_a_saved_program_and_dynamic_sizes_have_states_too() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("x", torch.zeros(3))  # the name of an input

        def forward(self, x):
            self.x.copy_(self.x * 0.9 + x.mean(0) * 0.1)
            return x - self.x

    model = Mean().eval()
    sizes = Input(("n", 3), min=1, opt=4, max=8)
    bundle = edge_trt.compile(model, sizes, states="io")
    assert [spec.name for spec in bundle.signature.inputs] == ["x", "x_state"]
    run, expected = bundle.module(), copy.deepcopy(model)
    for size in (1, 4, 8, 3):
        x = torch.randn(size, 3)
        torch.testing.assert_close(run(x), expected(x))
    program = torch.export.export(model, (torch.randn(2, 3),))
    again = edge_trt.compile(program, states="io")
    assert again.signature.states == [State("x_state", "x_state_next")]


@pytest.mark.parametrize("given", [OPEN, torch.ones(1, 3, 4)])
@pytest.mark.parametrize("kind", [Tick, Average])
def test_no_run_while_compiling_leaves_anything(kind: type[nn.Module], given: object) -> None:
    model = kind().eval()
    before, expected = copy.deepcopy(model.state_dict()), copy.deepcopy(model)
    bundle = edge_trt.compile(model, given, states="io")
    torch.testing.assert_close(model.state_dict(), before)
    run = bundle.module()
    for _ in range(3):
        x = torch.randn(1, 3, 4)
        torch.testing.assert_close(run(x), expected(x))


def test_a_state_of_a_numbered_module() -> None:
    model = nn.Sequential(Average(), nn.Linear(4, 2)).eval()
    expected = copy.deepcopy(model)
    bundle = edge_trt.compile(model, torch.randn(1, 3, 4), states="io")
    assert bundle.signature.states == [State("state_0_average", "state_0_average_next")]
    run = bundle.module()
    for x in torch.randn(3, 1, 3, 4):
        torch.testing.assert_close(run(x), expected(x))


class Held(nn.Module):
    """A cache that is an object, whose tensors are registered too, as Hugging Face does."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = SimpleNamespace(rows=torch.zeros(1, 4, 3), seen=torch.zeros(1).long())
        self.register_buffer("rows", self.cache.rows)
        self.register_buffer("seen", self.cache.seen)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.cache.rows.index_copy_(1, self.cache.seen, x)
        self.cache.seen.add_(1)
        return self.cache.rows.sum(1)


class HeldAndNamed(Held):
    """The same, which also reads by name, and through a view."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.cache.rows[:, 1:].add_(x)
        self.seen.add_(1)
        return self.rows.sum(1) * self.cache.seen


@pytest.mark.parametrize("kind", [Held, HeldAndNamed])
def test_a_buffer_that_an_object_holds_too(kind: type[nn.Module]) -> None:
    model = kind().eval()
    expected = copy.deepcopy(model)
    bundle = edge_trt.compile(model, torch.ones(1, 1, 3), states="io")
    assert {state.input for state in bundle.signature.states} == {"rows", "seen"}
    assert not model.rows.any()
    assert not model.seen.any()
    run = bundle.module()
    for x in torch.randn(3, 1, 1, 3):
        torch.testing.assert_close(run(x), expected(x))
    with pytest.raises(CaptureError, match=r"writes to its buffer .* with states='io'"):
        edge_trt.compile(model, torch.ones(1, 1, 3))


@pytest.mark.parametrize("states", ["refuse", "io"])
def test_a_written_tensor_that_is_no_buffer_is_refused(states: str) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kept = torch.zeros(4)

        def forward(self, x):
            self.kept.add_(x[0, 0])
            return x - self.kept

    model = Plain().eval()
    with pytest.raises(CaptureError, match=r"writes to its tensor 'kept' at .*register_buffer"):
        edge_trt.compile(model, OPEN, states=states)
    assert (model.kept == 0).all()


def test_states_are_refused_unless_asked_for() -> None:
    with pytest.raises(CaptureError, match=r"writes to its buffer 'level' at .*states='io'"):
        edge_trt.compile(Filter().eval(), torch.randn(3))


def test_a_model_without_states_is_as_it_was() -> None:
    bundle = edge_trt.compile(nn.Linear(3, 2).eval(), torch.randn(1, 3), states="io")
    assert bundle.signature.states == []
    assert bundle.states == {}
    assert bundle.module().session.initial_states() == {}


@pytest.mark.parametrize("given", [OPEN, torch.ones(1, 3, 4)])
def test_an_input_that_is_written_to_is_refused_all_the_same(given: object) -> None:
    class Writes(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                x.mul_(2)
            return x + 1

    with pytest.raises(CaptureError, match="changes its input 'x' in place"):
        edge_trt.compile(Writes().eval(), given, states="io")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x, x.view(-1), x + 1),
        lambda x: (y := x.relu(), y.view(3, 2), y[0], y),
        lambda x: (x.T, x.T.contiguous(), x[:1]),
    ],
)
def test_outputs_that_alias_inputs_and_each_other(function) -> None:
    class Aliases(nn.Module):
        def forward(self, x):
            return function(x)

    x = torch.randn(2, 3)
    run = edge_trt.compile(Aliases().eval(), x).module()
    got = run(x)
    torch.testing.assert_close(tuple(got), tuple(function(x)))
    got[0].add_(1)  # what a caller does to one result is seen in no other
    torch.testing.assert_close(tuple(got[1:]), tuple(function(x)[1:]))


class Counted(nn.Module):
    """A recurrent layer of sequences of any length, beside a state that is written."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = kind(6, 5, batch_first=True)
        self.register_buffer("calls", torch.zeros(1))
        self.calls: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.layer(x)[0] + self.calls


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_recurrent_layer_beside_a_state_keeps_its_ranges(
    kind: type[nn.RNNBase], tmp_path: Path
) -> None:
    model = Counted(kind).eval()
    given = edge_trt.Input(("b", "s", 6), min=(1, 1, 6), opt=(2, 7, 6), max=(3, 19, 6))
    bundle = edge_trt.compile(model, (given,), states="io")
    with load(bundle.save(tmp_path / "m.edge")) as session:
        states = session.initial_states()
        for calls, shape in enumerate([(1, 1, 6), (3, 19, 6), (2, 7, 6)], start=1):
            x = torch.randn(shape)
            outputs = session.run({"x": x.numpy(), **states})
            states = session.next_states(outputs)
            (output,) = (value for name, value in outputs.items() if name != "calls_next")
            expected = model.layer(x)[0].detach() + calls
            torch.testing.assert_close(torch.from_numpy(output), expected, rtol=1e-4, atol=1e-5)
