# SPDX-License-Identifier: Apache-2.0
"""Load, clocks, power, temperatures and memory of a board, read from the kernel or from tegrastats.

Modules:
    sample: what one look at a board tells, in SI units.
    reader: looks at the machine below a root path.
    sampler: a thread that looks at a bounded rate and keeps the last samples.
    energy: energy of a stretch of samples, with its uncertainty.
    tegrastats: lines of tegrastats as samples.
    cpu, engines, heat, rails: the parts of a look.
    board_power: which rails make a board's power.
"""
