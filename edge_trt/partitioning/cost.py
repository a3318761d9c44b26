# SPDX-License-Identifier: Apache-2.0
"""What a call costs on the device and on its host, and what a copy between them costs.

Seconds on a board of the Orin class, to the order of magnitude: they only have to tell a
convolution from the copy of its result. Where a share of a peak is named, it is an assumption.
"""

from __future__ import annotations

from torch import fx

from edge_trt.partitioning.flops import bytes_of, flops_of

DEVICE_FLOPS = 0.9e12
"""Half of 1024 CUDA cores (Orin NX, `edge_trt boards`) x 2 x 0.9 GHz; float32, no tensor cores."""

DEVICE_BYTES = 60e9
"""Per second: about 60 % of the 102 GB/s of its LPDDR5."""

KERNEL = 1e-6
"""Of a call within an engine: 20 small kernels and their copies took 52 us as one CUDA graph (H200,
measured), and TensorRT makes one kernel of several calls (of three, say). Not above `OPERATOR`, so
that nothing leaves TensorRT unless that saves copies."""

HOST_FLOPS = 30e9
"""Some tenth of 8 Cortex-A78AE x 2 GHz x 16 operations per cycle."""

HOST_BYTES = 10e9
"""Per second: what few cores reach of the same memory."""

OPERATOR = 1e-6
"""Of an operator in ONNX Runtime: 0.25 us on x86-64 (measured), four times that on the board."""

COPY_BYTES = 20e9
"""Per second: a copy within the same memory reads and writes it."""

CROSSING = 20e-6
"""Of a value that passes between device and host: two copies with a synchronization took 23 to
27 us (H200, measured), half of it for their 606 kB; a board's cores are 2 to 4 times slower."""


def device_seconds(node: fx.Node) -> float:
    """Of a call in TensorRT."""
    return KERNEL + max(flops_of(node) / DEVICE_FLOPS, _traffic(node) / DEVICE_BYTES)


def host_seconds(node: fx.Node) -> float:
    """Of a call in ONNX Runtime."""
    return OPERATOR + max(flops_of(node) / HOST_FLOPS, _traffic(node) / HOST_BYTES)


def copy_seconds(size: int) -> float:
    """Of a value of so many bytes that passes between device and host."""
    return CROSSING + size / COPY_BYTES


def _traffic(node: fx.Node) -> int:
    """Bytes that a call reads and writes."""
    return bytes_of(node) + sum(map(bytes_of, node.all_input_nodes))
