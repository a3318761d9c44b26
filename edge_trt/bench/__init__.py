# SPDX-License-Identifier: Apache-2.0
"""Measuring bundles on the machine that runs them.

Modules:
    record: what one measurement says, as JSON.
    loads: callers side by side, and the energy of their runs.
    measure: the measurement: latency, throughput, energy.
    lanes: the same for each lane of a bundle, alone and together.
    machine: the machine, its state before and after, and what makes figures doubtful.
    compare: two records, with confidence intervals.
    chart: a record as a picture.
"""
