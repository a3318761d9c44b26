# SPDX-License-Identifier: Apache-2.0
"""How much CPU time the planner takes on large networks.

python -m tests.benchmarks.planner
"""

from __future__ import annotations

import random
import time

from edge_trt.placement.cost import Machine, rates
from edge_trt.placement.graph import Graph, Value, Work
from edge_trt.placement.planner import OBJECTIVES, Question, in_mode, plan
from edge_trt.placement.regions import regions
from edge_trt_jetson import boards, mode_caps

BOARD, MODE = "agx-orin-64gb", "30W"


def large_graph(layers: int, rng: random.Random, refused: float) -> tuple[Graph, frozenset[int]]:
    """Convolutions of random sizes in a row, with shortcuts; and those that a DLA takes."""
    readers: list[list[int]] = [[] for _ in range(layers)]
    for i in range(1, layers):
        readers[i - 1].append(i)
        if rng.random() < 0.3 and i > 1:
            readers[max(0, i - rng.randint(2, 6))].append(i)
    works = tuple(
        Work(f"l{i}", "Convolution", 1, rng.randint(49, 3136), 9, 64, 64,
             read=200_000, written=200_000, weights=36_864)
        for i in range(layers)
    )  # fmt: skip
    values = [Value(-1, (0,), 200_000)]
    values += [Value(i, tuple(dict.fromkeys(r)), 200_000, not r) for i, r in enumerate(readers)]
    allowed = frozenset(i for i in range(layers) if rng.random() >= refused)
    return Graph(works, tuple(values)), allowed


def main() -> None:
    """Prints seconds of CPU time for graphs of growing size."""
    board, caps = boards.find(BOARD), mode_caps.caps_of(BOARD)
    assert board is not None
    assert caps is not None
    machines = {n: Machine(board, m, caps.idle_watts, rates()) for n, m in caps.modes.items()}
    print(
        f"{'layers':>6} {'refused':>7} {'objective':10} {'plan, s':>8} {'+ modes, s':>10} loadables"
    )
    for layers in (100, 300, 1000, 2000):
        for refused in (0.0, 0.01, 0.05):
            graph, allowed = large_graph(layers, random.Random(0), refused)
            for objective in OBJECTIVES:
                precisions = ["int8"] * layers
                asked = Question(graph, precisions, allowed, frozenset(), 2, 1, objective)
                begin = time.process_time()
                found = plan(asked, machines[MODE])
                planned = time.process_time() - begin
                for name, machine in machines.items():
                    if name != MODE:
                        in_mode(asked, machine, found)
                total = time.process_time() - begin
                count = len(regions(found.problem, found.chosen.labels))
                print(
                    f"{layers:6} {refused:7.0%} {objective:10} {planned:8.2f} {total:10.2f} {count}"
                )


if __name__ == "__main__":
    main()
