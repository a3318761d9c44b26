# SPDX-License-Identifier: Apache-2.0
"""What falls back by cost, and as few blocks as the order of calls allows."""

from __future__ import annotations

import itertools
import operator
import re

import pytest
import torch
from hypothesis import given
from torch import fx, nn

from edge_trt.partitioning import cut
from edge_trt.partitioning.phases import split
from tests.partitioning.cutting import Cut, assert_equal, cut_up, run
from tests.partitioning.test_blocks import Drawn, drawings

aten = torch.ops.aten
IMAGE = torch.randn(1, 3, 64, 64)


def by_cost(module: nn.Module, *inputs: torch.Tensor) -> Cut:
    return cut_up(module, inputs, min_block_size=None)


def spectrum(x: torch.Tensor) -> torch.Tensor:
    return torch.fft.rfft(x).abs()


class Island(nn.Module):
    """A convolution, then two operators that TensorRT lacks with something between them."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3))
        self.between = between

    def forward(self, image):
        x = spectrum(self.backbone(image)[..., :60])
        return spectrum(self.between(x))


def test_a_small_island_joins_its_neighbours() -> None:
    done = by_cost(Island(nn.ReLU()), IMAGE)
    assert done.kinds == ["tensorrt", "fallback"]
    assert "aten.conv2d.default" not in done.refused
    reason = done.refused["aten.relu.default"]
    number = r"\d[\d.e+]*"
    assert re.fullmatch(
        f"runs with its neighbours on the host: in TensorRT it would save some {number} us and add "
        rf"{number} us of copies \({number} [kM]B to and from the device\)",
        reason,
    )
    assert_equal(done(IMAGE), [done_eager(done)])


def done_eager(done: Cut) -> torch.Tensor:
    return done.captured.program.module()(IMAGE)


def test_an_island_that_is_worth_its_copies_stays() -> None:
    heavy = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1))
    done = by_cost(Island(heavy), IMAGE)
    assert done.kinds == ["tensorrt", "fallback", "tensorrt", "fallback"]


def test_a_chain_that_only_feeds_the_fallback_joins_where_it_widens_the_border() -> None:
    """One value crosses and not four."""

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3))

        def forward(self, image):
            parts = self.backbone(image).mean((2, 3)).chunk(4, 1)
            return [spectrum(part.sigmoid() * 2) for part in parts]

    done = by_cost(Chain(), IMAGE)
    assert done.kinds == ["tensorrt", "fallback"]
    assert {"aten.slice.Tensor", "aten.sigmoid.default", "aten.mul.Tensor"} <= set(done.refused)
    assert "aten.mean.dim" not in done.refused
    (fallback,) = [b for b in done.coverage.blocks if b.kind == "fallback"]
    assert fallback.to_host == 64 * 4


def test_a_model_too_small_for_any_copy_keeps_its_blocks() -> None:
    """All of it would be cheaper on the host, and TensorRT was asked for."""

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            return spectrum(self.layer(x))

    done = by_cost(Tiny(), torch.randn(3, 8))
    assert done.kinds == ["tensorrt", "fallback"]
    assert set(done.refused) == {"aten.fft_rfft.default", "aten.abs.default"}


class Heads(nn.Module):
    """Every head has an operator that TensorRT lacks, at a depth of its own."""

    def __init__(self, count: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 64, 3, padding=1)
        self.before = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in range(count))
        self.after = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in range(count))

    def forward(self, image):
        features = self.backbone(image).relu()
        results = []
        for depth, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            x = before(features)
            for _ in range(depth):
                x = x.relu() * 0.5
            results.append(after(spectrum(x)))
        return results


def test_heads_cross_the_border_together() -> None:
    model = Heads().eval()
    done = by_cost(model, IMAGE)
    assert done.kinds == ["tensorrt", "fallback", "tensorrt"]
    assert_equal(done(IMAGE), model(IMAGE))


def test_a_head_that_needs_the_host_before_the_others_starts_there() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 64, 3)
            self.other = nn.Conv2d(64, 64, 3)

        def forward(self, image):
            return self.other(self.conv(spectrum(image) + 1)), self.conv(image)

    model = Early().eval()
    done = by_cost(model, IMAGE)
    assert done.kinds == ["fallback", "tensorrt"]
    assert_equal(done(IMAGE), model(IMAGE))


@given(drawings())
def test_blocks_alternate_and_are_the_graph(drawing: tuple[Drawn, set[fx.Node]]) -> None:
    drawn, refused = drawing
    expected = fx.Interpreter(drawn.module).run(*drawn.inputs.values())
    depth = _alternations(drawn.graph, refused)
    partition, _ = cut(drawn.module, dict.fromkeys(refused, "asked for"), 1)
    kinds = [block.kind for block in partition.blocks]
    assert all(a != b for a, b in itertools.pairwise(kinds))
    assert len(kinds) <= depth + 1
    assert_equal(run(partition, drawn.inputs), expected)


def _alternations(graph: fx.Graph, on_host: set[fx.Node]) -> int:
    """The most changes of side on a way through the graph, starting on either side."""
    depth: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        sources = [s for s in node.all_input_nodes if s in depth]
        side = _side(node, on_host)
        depth[node] = max((depth[s] + (_side(s, on_host) != side) for s in sources), default=0)
    return max(depth.values(), default=0) + 1


def _side(node: fx.Node, on_host: set[fx.Node]) -> bool:
    return (node if node.target is not operator.getitem else node.args[0]) in on_host


@given(drawings())
def test_by_cost_it_is_the_graph_too(drawing: tuple[Drawn, set[fx.Node]]) -> None:
    drawn, refused = drawing
    expected = fx.Interpreter(drawn.module).run(*drawn.inputs.values())
    names = {n.name for n in refused}
    partition, reasons = cut(drawn.module, dict.fromkeys(refused, "asked for"))
    placed = {n.name for b in partition.blocks if b.kind == "fallback" for n in b.calls}
    assert names <= placed == {n.name for n in reasons}
    assert_equal(run(partition, drawn.inputs), expected)


@pytest.mark.parametrize("first_on_host", [False, True])
def test_sizes_alone_make_no_block(first_on_host: bool) -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    x.meta["val"] = torch.randn(3, 8)
    size = graph.call_function(aten.sym_size.int, (x, 0))
    size.meta["val"] = 3
    relu = graph.call_function(aten.relu.default, (x,))
    relu.meta["val"] = x.meta["val"]
    view = graph.call_function(aten.view.default, (relu, [size, 8]))
    view.meta["val"] = x.meta["val"]
    graph.output((view,))
    phases = split(graph, {relu, view} if first_on_host else set())
    assert [(p.on_host, p.size) for p in phases] == [(first_on_host, 2)]
    assert size in phases[0].calls
