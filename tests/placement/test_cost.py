# SPDX-License-Identifier: Apache-2.0
"""The cost model against published numbers, and against what has to hold in any case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_trt.network.layers import Activation, ElementWise, Scale
from edge_trt.placement.cost import Machine, data, dla_total, gpu_joules, gpu_total, rates
from edge_trt.placement.graph import Graph, describe
from edge_trt.placement.table import LIGHT, LIMIT, OUTSIDE
from edge_trt_jetson import boards, mode_caps
from tests.benchmarks.dla_rates import (
    Row,
    checked,
    energy,
    fitted,
    graph_of,
    joules_ratio,
    predict,
    results,
    rows,
)
from tests.placement.rows import conv, network, ones
from tests.precision.networks import Net


def machine(board: str = "agx-orin-64gb", mode: str = "MAXN") -> Machine:
    found, caps = boards.find(board), mode_caps.caps_of(board)
    assert found is not None
    assert caps is not None
    return Machine(found, caps.modes[mode], caps.idle_watts, rates())


def test_the_rates_are_those_of_the_fit() -> None:
    wanted = "run: python -m tests.benchmarks.dla_rates"
    found = fitted()
    for name, (value, source) in data()["rates"].items():
        assert found[name] == [pytest.approx(value, rel=0.01), source], wanted
    assert data()["checked"] == checked(rates()), wanted
    assert data()["energy"] == energy(rates()), wanted
    assert data()["sources"] == results()["sources"], wanted


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.model}-{row.metric}-{row.mode}")
def test_published_numbers_are_predicted(row: Row) -> None:
    error = predict(row, rates()) / row.value - 1
    assert abs(error) <= LIMIT or row.source in OUTSIDE


def test_what_is_outside_is_one_users_measurement() -> None:
    outside = [r for r in data()["checked"] if abs(r["predicted"] / r["value"] - 1) > LIMIT]
    assert [(r["source"], r["metric"]) for r in outside] == [("field", "gpu-latency")]


def test_half_of_the_published_models_had_no_part_in_the_fit() -> None:
    throughput = [r for r in data()["checked"] if r["metric"] == "dla-throughput"]
    assert len({r["model"] for r in throughput if r["fitted"]}) == 3
    assert len({r["model"] for r in throughput if not r["fitted"]}) == 3
    assert not any(r["fitted"] for r in data()["checked"] if r["board"] == "orin-nx-16gb")


@pytest.mark.parametrize("model", ["resnet50", "ssd-mobilenet-v1"])
def test_slower_clocks_and_wider_types_take_longer(model: str) -> None:
    graph = graph_of(model)
    int8, fp16 = ["int8"] * len(graph.works), ["fp16"] * len(graph.works)
    for total in (gpu_total, dla_total):
        times = [total(machine(mode=mode), graph, int8) for mode in ("MAXN", "50W", "30W", "15W")]
        assert times == sorted(times)
        assert total(machine(), graph, fp16) > total(machine(), graph, int8)
    assert machine(mode="15W").gpu_watts < machine().gpu_watts
    assert machine(mode="15W").dla_watts < machine().dla_watts


def test_a_batch_costs_less_than_as_many_images() -> None:
    one = graph_of("resnet50")
    eight = one.with_batch(8)
    assert eight.works[0].macs == 8 * one.works[0].macs
    for total in (gpu_total, dla_total):
        single = total(machine(), one, ["int8"] * len(one.works))
        assert single < total(machine(), eight, ["int8"] * len(one.works)) < 8 * single


@pytest.mark.parametrize("row", data()["energy"], ids=lambda row: f"{row['model']}-{row['mode']}")
def test_published_images_per_joule_are_predicted(row: dict[str, Any]) -> None:
    found = joules_ratio(row["model"], row["mode"], rates())
    assert found == pytest.approx(row["predicted"], rel=0.01)
    error = found / row["value"] - 1
    assert abs(error) <= LIMIT + 0.005 or (row["model"] in LIGHT and error < 0)


def test_products_take_more_than_the_rest_of_a_kernel() -> None:
    graph = graph_of("resnet50")
    int8: list[Any] = ["int8"] * len(graph.works)
    m = machine()
    busy = gpu_total(m, graph, int8)
    assert busy * m.gpu_watts < gpu_joules(m, graph, int8)
    assert gpu_joules(m, graph, int8) < busy * (m.gpu_watts + m.product_watts)


def test_a_graph_survives_json() -> None:
    graph = graph_of("resnet50")
    assert Graph.from_dict(graph.as_dict()) == graph


def test_work_of_a_convolution() -> None:
    graph = describe(network(conv(2, 1, groups=2), (2, 8, 16, 16), ones(6, 4, 3, 3), ones(6)))
    (work,) = graph.works
    assert (work.positions, work.taps, work.channels, work.maps, work.groups) == (128, 9, 4, 3, 2)
    assert work.macs == 128 * 9 * 4 * 6
    assert (work.batch, work.read, work.written, work.weights) == (2, 4096, 768, 222)
    assert [(v.producer, v.readers, v.output) for v in graph.values] == [
        (-1, (0,), False),
        (0, (), True),
    ]


def test_what_ends_a_kernel_writes_nothing_more() -> None:
    net = Net()
    x = net.input(1, 4, 8, 8)
    y = net.conv(x, 4)
    gate = net.network.add(Activation("SIGMOID"), y)
    product = net.network.add(ElementWise("PROD"), y, gate)
    apart = net.network.add(Activation("RELU"), net.network.add(ElementWise("SUM"), product, x))
    twice = net.network.add(ElementWise("SUM"), apart, net.network.add(Activation("TANH"), apart))
    graph = describe(net.done(twice))
    assert [work.follows for work in graph.works] == [False] + [True] * 6
    kinds = [(work.kind, work.read, work.written) for work in graph.works]
    assert kinds[3] == ("ElementWise", 256, 0)
    other = net.network.add(Activation("TANH"), product)
    net.network.mark_output(other, "y9")
    assert [w.follows for w in describe(net.network).works][3:] == [False] * 5


def test_a_gate_of_three_layers_is_inside_of_a_kernel() -> None:
    net = Net()
    x = net.conv(net.input(1, 4, 8, 8), 4)
    scaled = net.network.add(Scale(), x, net.weight(4), net.weight(4))
    gate = net.network.add(Activation("CLIP", 0.0, 1.0), scaled)
    graph = describe(net.done(net.network.add(ElementWise("PROD"), x, gate)))
    assert [work.follows for work in graph.works] == [False, True, True, True]


def test_a_machine_of_half_the_memory_is_slower() -> None:
    graph, nx = graph_of("resnet50"), machine("orin-nx-16gb")
    same = replace(nx, board=machine().board)
    int8: list[Any] = ["int8"] * len(graph.works)
    assert gpu_total(nx, graph, int8) > gpu_total(same, graph, int8)
    assert nx.hop_seconds(10**6, "int8") > same.hop_seconds(10**6, "int8")
