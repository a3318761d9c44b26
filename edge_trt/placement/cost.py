# SPDX-License-Identifier: Apache-2.0
"""What a layer takes on GPU and DLA in a power mode: seconds and watts, all of it estimated.

The forms are fixed here, the numbers are in `rates.json`, fitted to published throughput by
`python -m tests.benchmarks.dla_rates`; docs/dla.md has the error of every published row.

A layer takes the time of its multiplications, of its bytes, and a constant, added up: where they
overlap, the fit makes the terms smaller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from edge_trt.placement.graph import Graph, Work
from edge_trt.placement.rule import Precision
from edge_trt_jetson.boards import Board
from edge_trt_jetson.mode_caps import ModeCaps

FULL_EMC = 3199.0
"""Clock of the memory, in MHz, at which a board has its whole bandwidth."""
FULL_BANDWIDTH = 204.8
"""GB/s of the board that the rates were fitted on."""
BYTES: dict[Precision, int] = {"int8": 1, "fp16": 2}


@dataclass(frozen=True, slots=True)
class Rates:
    """Fitted and assumed numbers; `rates.json` says which is which.

    Attributes:
        dla_macs: dense int8 multiplications of a DLA core in a clock.
        dla_block: channels that a grouped convolution occupies at least.
        dla_bytes: bytes of a core in a second, at full memory clock.
        dla_cycles: of every layer that writes a result.
        dla_fp16: how much longer products take in fp16.
        gpu_macs: dense int8 multiplications of an SM in a clock.
        gpu_share: of these that a convolution reaches.
        gpu_bytes: bytes in a second as a share of the memory's peak.
        gpu_cycles: of every kernel.
        hop_seconds: of a tensor that passes between GPU and DLA, beside its bytes.
        hop_bytes: of such a tensor in a second.
        gpu_watts: of the busy GPU with 16 SMs at 1300.5 MHz, above idle, between products.
        gpu_product_watts: of the same while it multiplies.
        gpu_exponent: of the clock, in the energy of an operation.
        dla_watts: of a busy core at 1600 MHz, above idle.
        dla_exponent: as that of the GPU.
    """

    dla_macs: float
    dla_block: int
    dla_bytes: float
    dla_cycles: float
    dla_fp16: float
    gpu_macs: float
    gpu_share: float
    gpu_bytes: float
    gpu_cycles: float
    hop_seconds: float
    hop_bytes: float
    gpu_watts: float
    gpu_product_watts: float
    gpu_exponent: float
    dla_watts: float
    dla_exponent: float


@cache
def data() -> dict[str, Any]:
    """The whole of `rates.json`: numbers with their origin, and the rows they were checked on."""
    return json.loads(
        resources.files("edge_trt.placement").joinpath("rates.json").read_text("utf-8")
    )


@cache
def rates() -> Rates:
    """The numbers in use."""
    return Rates(**{name: entry[0] for name, entry in data()["rates"].items()})


def dla_terms(work: Work, block: int) -> tuple[float, float, int]:
    """Multiplications as a DLA core does them, elements that move, and 1 for a layer of its own."""
    channels = work.channels
    if work.groups > 1:  # groups share the array: one fills a block of channels at least
        channels = max(channels, min(block, channels * work.groups))
    macs = work.positions * work.taps * channels * work.maps * work.groups
    moved = work.read + work.written + (work.weights if work.macs else 0)
    return macs, moved, 0 if work.follows else 1


def gpu_terms(work: Work) -> tuple[float, float, int]:
    """Multiplications, elements that move, and 1 for a kernel of its own."""
    moved = work.read + work.written + (work.weights if work.macs else 0)
    return work.macs, moved, 0 if work.follows else 1


@dataclass(frozen=True, slots=True)
class Machine:
    """A board in a power mode.

    Attributes:
        board: which.
        mode: its clocks.
        idle_watts: of the module.
        rates: the numbers of the model.
    """

    board: Board
    mode: ModeCaps
    idle_watts: float
    rates: Rates

    @property
    def memory(self) -> float:
        """Bandwidth as a share of that of the board that the rates were fitted on."""
        return self.board.bandwidth_gbs / FULL_BANDWIDTH * self.mode.emc_mhz / FULL_EMC

    def dla_seconds(self, work: Work, precision: Precision) -> float:
        """Of a layer on one core."""
        r, clock = self.rates, self.mode.dla_mhz * 1e6
        macs, moved, own = dla_terms(work, r.dla_block)
        slower = 1.0 if precision == "int8" else r.dla_fp16
        seconds = macs * slower / (r.dla_macs * clock) + own * r.dla_cycles / clock
        return seconds + moved * BYTES[precision] / (r.dla_bytes * self.memory)

    def gpu_product_seconds(self, work: Work, precision: Precision) -> float:
        """Of a layer on the GPU, what its multiplications take."""
        r, clock = self.rates, self.mode.gpu_mhz * 1e6
        rate = r.gpu_macs * self.mode.gpu_sms * clock * r.gpu_share / BYTES[precision]
        return work.macs / rate

    def gpu_seconds(self, work: Work, precision: Precision) -> float:
        """Of a layer on the GPU."""
        r, clock = self.rates, self.mode.gpu_mhz * 1e6
        _, moved, own = gpu_terms(work)
        peak = FULL_BANDWIDTH * 1e9 * self.memory
        rest = moved * BYTES[precision] / (r.gpu_bytes * peak) + own * r.gpu_cycles / clock
        return self.gpu_product_seconds(work, precision) + rest

    def hop_seconds(self, elements: int, precision: Precision) -> float:
        """Of a tensor that passes between the two: reformatted by the GPU, and awaited."""
        r = self.rates
        return r.hop_seconds + elements * BYTES[precision] / (r.hop_bytes * self.memory)

    def reformat_seconds(self, elements: int, precision: Precision) -> float:
        """Of the GPU in that: a kernel that reads and writes the tensor."""
        r = self.rates
        kernel = r.gpu_cycles / (self.mode.gpu_mhz * 1e6)
        return kernel + elements * BYTES[precision] / (r.hop_bytes * self.memory)

    @property
    def gpu_watts(self) -> float:
        """Of the busy GPU between products, above idle."""
        return self.rates.gpu_watts * self._gpu_scale

    @property
    def product_watts(self) -> float:
        """What the GPU takes beyond that while it multiplies."""
        return (self.rates.gpu_product_watts - self.rates.gpu_watts) * self._gpu_scale

    @property
    def _gpu_scale(self) -> float:
        clock = self.mode.gpu_mhz / 1300.5
        return self.mode.gpu_sms / 16 * clock ** (1 + self.rates.gpu_exponent)

    @property
    def dla_watts(self) -> float:
        """Of one busy core, above idle."""
        clock = self.mode.dla_mhz / 1600.0
        return self.rates.dla_watts * clock ** (1 + self.rates.dla_exponent)


def gpu_total(machine: Machine, graph: Graph, precisions: Sequence[Precision]) -> float:
    """Seconds of a whole graph on the GPU."""
    pairs = zip(graph.works, precisions, strict=True)
    return sum(machine.gpu_seconds(work, precision) for work, precision in pairs)


def gpu_joules(machine: Machine, graph: Graph, precisions: Sequence[Precision]) -> float:
    """Of a whole graph on the GPU, above idle."""
    pairs = zip(graph.works, precisions, strict=True)
    product = sum(machine.gpu_product_seconds(work, precision) for work, precision in pairs)
    busy = gpu_total(machine, graph, precisions)
    return busy * machine.gpu_watts + product * machine.product_watts


def dla_total(machine: Machine, graph: Graph, precisions: Sequence[Precision]) -> float:
    """Seconds of a whole graph on one DLA core, without the ways to it."""
    pairs = zip(graph.works, precisions, strict=True)
    return sum(machine.dla_seconds(work, precision) for work, precision in pairs)
