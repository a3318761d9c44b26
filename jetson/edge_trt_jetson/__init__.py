# SPDX-License-Identifier: Apache-2.0
"""NVIDIA Jetson: boards and releases as data, detection, checks of the environment.

Modules:
    boards: what each module has (SoC, compute capability, DLA cores, memory).
    versions: what each L4T release ships (JetPack, Python, CUDA, TensorRT, DLA support).
    detect: which board and release a file system tree belongs to.
    probe: what is installed on this machine and what that allows.
    telemetry: load, clocks, power, temperatures and memory, and energy with its uncertainty.
    power_modes, clocks: which power modes there are and which is active; whether clocks are locked.
    power_control: changes modes, locks clocks, and puts both back.

Only the standard library is imported, and tomli where Python is older than 3.11.
"""

from __future__ import annotations

__version__ = "0.1.0"
